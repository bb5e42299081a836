package schedule

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// A Handler does a job in a transaction of its own. It is level-based: it
// finds out what is left to do, and nil says that nothing is. It may schedule
// the same job again.
type Handler = func(tx *storage.Tx, j Job) error

// A Runner does what is due. Only the active node may run one.
type Runner struct {
	Store    *storage.Store
	Now      func() time.Time // nil is time.Now
	Handlers map[string]Handler
	// Logger is told of every attempt that failed; nil discards it.
	Logger *slog.Logger
}

// A job that failed is tried again after a second, then after twice as long
// each time, up to an hour.
const (
	firstBackoff = time.Second
	maxBackoff   = time.Hour
)

// pause is how long Run leaves a store alone that cannot be written.
const pause = time.Second

func (r *Runner) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// Run does jobs as they become due, until the context ends or the store is
// closed. While the store is sealed or this node does not lead, it waits.
func (r *Runner) Run(ctx context.Context) {
	for ctx.Err() == nil {
		seen := r.Store.LastChange(storage.Due)
		_, err := r.RunDue(ctx, r.now())
		var next time.Time
		if err == nil {
			next, err = r.next(ctx)
		}
		switch {
		case errors.Is(err, storage.ErrClosed):
			return
		case err != nil:
			next = r.now().Add(pause)
		}
		r.wait(ctx, seen, next, err != nil)
	}
}

// wait returns at the given time (zero is never), or when the index of what is
// due has changed since. After an error a change is no reason to hurry.
func (r *Runner) wait(ctx context.Context, seen uint64, next time.Time, failed bool) {
	var due <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(next.Sub(r.now()))
		defer t.Stop()
		due = t.C
	}
	for {
		changed := r.Store.Changed()
		if failed {
			changed = nil
		} else if r.Store.LastChange(storage.Due) != seen {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-due:
			return
		}
	}
}

func (r *Runner) next(ctx context.Context) (time.Time, error) {
	var next time.Time
	err := r.Store.View(ctx, func(tx *storage.Tx) error {
		next = time.Time{}
		for row, err := range tx.In(storage.Due).Scan("", "") {
			if err != nil {
				return err
			}
			next = timeOf(string(row.Key))
			break
		}
		return nil
	})
	return next, err
}

// page is how many due jobs are read at a time.
const page = 256

// RunDue does, in order, everything that is due at the given time, including
// what these jobs schedule up to then. n counts the attempts, also those that
// failed; err is of the store, never of a job.
func (r *Runner) RunDue(ctx context.Context, now time.Time) (n int, err error) {
	for {
		keys, err := r.due(ctx, now)
		if err != nil || len(keys) == 0 {
			return n, err
		}
		for _, key := range keys {
			ran, err := r.one(ctx, key, now)
			if ran {
				n++
			}
			if err != nil {
				return n, err
			}
		}
	}
}

func (r *Runner) due(ctx context.Context, now time.Time) ([]string, error) {
	var end [timeSize]byte
	binary.BigEndian.PutUint64(end[:], uint64(max(now.UnixMilli(), 0))+1)
	var keys []string
	err := r.Store.View(ctx, func(tx *storage.Tx) error {
		keys = keys[:0]
		for row, err := range tx.In(storage.Due).Scan("", string(end[:])) {
			if err != nil {
				return err
			}
			if keys = append(keys, string(row.Key)); len(keys) == page {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is due: %w", err)
	}
	return keys, nil
}

// A jobError tells what a handler returned from what the store did.
type jobError struct{ err error }

func (e *jobError) Error() string { return e.err.Error() }
func (e *jobError) Unwrap() error { return e.err }

// one does one job. It says whether there was one: it may have been moved or
// called off since its key was read.
func (r *Runner) one(ctx context.Context, key string, now time.Time) (ran bool, err error) {
	var job Job
	_, err = r.Store.Update(ctx, func(tx *storage.Tx) error {
		j, err := take(tx, key)
		if ran = j != nil; err != nil || !ran {
			return err
		}
		job = *j
		if err := r.do(tx, job); err != nil {
			return &jobError{err}
		}
		return nil
	})
	var failed *jobError
	if !errors.As(err, &failed) || stops(failed.err) {
		return ran, err
	}
	if r.Logger != nil { // the id of a job may be a name
		r.Logger.Warn("job failed", "kind", job.Kind, "mount", job.Mount, "attempt", job.Attempts+1, "error", failed.err)
	}
	_, err = r.Store.Update(ctx, func(tx *storage.Tx) error {
		j, err := take(tx, key)
		if err != nil || j == nil {
			return err
		}
		delay := min(firstBackoff<<min(j.Attempts, 12), maxBackoff)
		j.Attempts++
		return at(tx, now.Add(delay), *j)
	})
	return true, err
}

// stops says whether an error is about this node rather than the job.
func stops(err error) bool {
	for _, e := range []error{storage.ErrSealed, storage.ErrNotLeader, storage.ErrClosed, context.Canceled} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (r *Runner) do(tx *storage.Tx, j Job) error {
	f := r.Handlers[j.Kind]
	if f == nil {
		return fmt.Errorf("no handler for jobs of kind %q", j.Kind)
	}
	return f(tx.Of(j.NS), j)
}

// take reads and removes a job. It is nil when it is not there any more.
func take(tx *storage.Tx, key string) (*Job, error) {
	j, err := storage.In[Job](tx.In(storage.Due), "").Get(key)
	if err != nil || j == nil {
		return nil, err
	}
	return j, j.remove(tx)
}
