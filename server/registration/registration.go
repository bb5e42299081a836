// Package registration tells a directory of services how a node stands: Consul's
// agent, or the labels of the pod that the node runs in.
//
// It promises that what is told last is how the node stood last, that a
// directory which does not answer is told again and holds up nothing, and that
// no token of the directory is in an error.
package registration

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// A State is how a node stands.
type State struct {
	Initialized bool
	Sealed      bool
	Active      bool
	// PerfStandby says that it answers reads without being active.
	PerfStandby bool
	Version     string // API level
}

// A Directory is told.
type Directory interface {
	// Tell makes the directory say s. It is called again with the same state.
	Tell(ctx context.Context, s State) error
	// Leave takes the node out.
	Leave(ctx context.Context) error
}

// A Reporter tells a directory until its context ends.
type Reporter struct {
	Directory Directory
	// State is how the node stands.
	State func(context.Context) (State, error)
	// Tick says when to look, and when to say again what was said: a directory
	// may have forgotten it.
	Tick   <-chan time.Time
	Again  int // ticks after which an unchanged state is told again; 0 is never
	Logger *slog.Logger
}

// leaveTime is how long the directory gets for the last word.
const leaveTime = 5 * time.Second

// Run tells at once, at each change and now and then, and takes the node out at
// the end.
func (r *Reporter) Run(ctx context.Context) {
	var told *State
	since := 0
	for {
		since++
		if s, err := r.State(ctx); err != nil {
			r.failed(ctx, fmt.Errorf("read how the node stands: %w", err))
		} else if told == nil || *told != s || r.Again > 0 && since > r.Again {
			told, since = nil, 0
			if err := r.Directory.Tell(ctx, s); err != nil {
				r.failed(ctx, err)
			} else {
				told = &s
			}
		}
		select {
		case <-r.Tick:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
			defer cancel()
			if err := r.Directory.Leave(last); err != nil {
				r.Logger.Error("leave the directory of services", "error", err)
			}
			return
		}
	}
}

func (r *Reporter) failed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		r.Logger.Error("tell the directory of services", "error", err)
	}
}
