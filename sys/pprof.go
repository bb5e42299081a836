package sys

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/pprof"
	"runtime/trace"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

// sys/pprof shows what the process does, in the form that `go tool pprof` reads.

type pprofRequest struct {
	Name    string `path:"name" doc:"Kind of the profile."`
	Debug   int    `json:"debug" doc:"1 or 2 gives text in place of the binary form."`
	Seconds int    `json:"seconds" doc:"How long to take a profile or trace: 30 or 1 if not set."`
}

// pprofIndex lists the profiles, and those that are taken over a time.
func (s *System) pprofIndex(context.Context, *engine.Caller, engine.None) (*engine.Raw, error) {
	var b bytes.Buffer
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(&b, "%s %d\n", p.Name(), p.Count())
	}
	b.WriteString("cmdline\nprofile\ntrace\n")
	return &engine.Raw{ContentType: "text/plain; charset=utf-8", Body: b.Bytes()}, nil
}

func (s *System) pprofProfile(ctx context.Context, _ *engine.Caller, req pprofRequest) (*engine.Raw, error) {
	switch req.Name {
	case "cmdline":
		// The arguments may hold a root token.
		return &engine.Raw{ContentType: "text/plain; charset=utf-8", Body: []byte(os.Args[0])}, nil
	case "profile":
		return over(ctx, req.Seconds, 30, pprof.StartCPUProfile, pprof.StopCPUProfile)
	case "trace":
		return over(ctx, req.Seconds, 1, trace.Start, trace.Stop)
	}
	p := pprof.Lookup(req.Name)
	if p == nil {
		return nil, engine.Status(http.StatusNotFound, "there is no profile %q", req.Name)
	}
	var b bytes.Buffer
	if err := p.WriteTo(&b, req.Debug); err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	kind := "application/octet-stream"
	if req.Debug != 0 {
		kind = "text/plain; charset=utf-8"
	}
	return &engine.Raw{ContentType: kind, Body: b.Bytes()}, nil
}

// over takes what start writes until stop, after so many seconds. There is one
// of a kind at a time in a process.
func over(ctx context.Context, seconds, unset int, start func(io.Writer) error, stop func()) (*engine.Raw, error) {
	if seconds == 0 {
		seconds = unset
	}
	if seconds < 0 || seconds > 3600 {
		return nil, engine.Bad("seconds must be from 1 to 3600")
	}
	var b bytes.Buffer
	if err := start(&b); err != nil {
		return nil, engine.Bad("another is being taken: try again when it is done")
	}
	done := time.NewTimer(time.Duration(seconds) * time.Second)
	defer done.Stop()
	select {
	case <-done.C:
		stop()
		return &engine.Raw{ContentType: "application/octet-stream", Body: b.Bytes()}, nil
	case <-ctx.Done():
		stop()
		return nil, ctx.Err()
	}
}

func pprofRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Outside("pprof", engine.OpRead, (*System).pprofIndex).Sudo().RootNamespace().Doc("List the profiles of the process."),
		engine.Outside("pprof/{name}", engine.OpRead, (*System).pprofProfile).Sudo().RootNamespace().Doc("Take a profile of the process."),
	}
}
