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
// the same job again. It may run again from the start, so what it does outside
// must be such that doing it twice is doing it once.
type Handler = func(tx *storage.Tx, j Job) error

// A Runner does what is due. Only the active node may run one.
type Runner struct {
	Store    *storage.Store
	Now      func() time.Time // nil is time.Now
	Handlers map[string]Handler
	// GiveUp, if a kind has one, is asked in a transaction of its own after the
	// job has failed with err; j.Attempts counts this failure. False means that
	// the job is not tried again.
	GiveUp map[string]func(tx *storage.Tx, j Job, err error) (again bool, _ error)
	// Workers is how many jobs run at a time, 0 is 1. PerMount is how many of
	// them may be of one mount, 0 is all: what a mount has to reach outside may
	// be dead, and the others must not wait for it.
	Workers  int
	PerMount int
	// Together are the kinds whose jobs are quick, act on nothing but storage and
	// come in crowds: many of them share a transaction, and Run leaves the machine
	// to others between full ones.
	Together map[string]bool
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
	w := r.crew(ctx)
	w.paced = true
	defer w.wait()
	for ctx.Err() == nil {
		seen := r.Store.LastChange(storage.Due)
		started, err := w.round(r.now())
		var next time.Time
		if err == nil && !started {
			next, err = r.next(ctx, r.now())
		}
		switch {
		case errors.Is(err, storage.ErrClosed):
			return
		case err != nil:
			next = r.now().Add(pause)
		case started:
			continue
		}
		r.wait(ctx, w, seen, next, err != nil)
	}
}

// wait returns at the given time (zero is never), when the index of what is
// due has changed since, or when a job is done. After an error nothing but time
// is a reason to hurry.
func (r *Runner) wait(ctx context.Context, w *crew, seen uint64, next time.Time, failed bool) {
	var due <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(next.Sub(r.now()))
		defer t.Stop()
		due = t.C
	}
	done := w.done
	for {
		changed := r.Store.Changed()
		if failed {
			changed, done = nil, nil
		} else if r.Store.LastChange(storage.Due) != seen {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-done:
			return
		case <-due:
			return
		}
	}
}

// next is when something is due after now; what is due already waits for a job
// to end.
func (r *Runner) next(ctx context.Context, now time.Time) (time.Time, error) {
	var next time.Time
	err := r.Store.View(ctx, func(tx *storage.Tx) error {
		next = time.Time{}
		for row, err := range tx.In(storage.Due).Scan(dueAfter(now), "") {
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

// dueAfter is the key behind all that is due at a time.
func dueAfter(now time.Time) string {
	var end [timeSize]byte
	binary.BigEndian.PutUint64(end[:], uint64(max(now.UnixMilli(), 0))+1)
	return string(end[:])
}

// RunDue does everything that is due at the given time, including what these
// jobs schedule up to then; with one worker, in order. n counts the attempts,
// also those that failed; err is of the store, never of a job.
func (r *Runner) RunDue(ctx context.Context, now time.Time) (n int, err error) {
	w := r.crew(ctx)
	defer func() { n = w.wait() }()
	for {
		started, err := w.round(now)
		if err != nil {
			return 0, err
		}
		if started {
			continue
		}
		if w.idle() {
			return 0, w.err()
		}
		<-w.done
	}
}

// A jobError tells what a handler returned from what the store did.
type jobError struct{ err error }

func (e *jobError) Error() string { return e.err.Error() }
func (e *jobError) Unwrap() error { return e.err }

// some does jobs in one transaction; if one of them fails, each in its own. ran is
// how many there were.
func (r *Runner) some(ctx context.Context, jobs []dueJob, now time.Time) (ran int, err error) {
	if len(jobs) > 1 {
		_, err = r.Store.Update(ctx, func(tx *storage.Tx) error {
			ran = 0
			for _, at := range jobs {
				j, err := take(tx, at.key)
				if err != nil {
					return err
				}
				if j == nil {
					continue
				}
				if ran++; r.do(tx, *j) != nil {
					return errApart
				}
			}
			return nil
		})
		if err == nil || stops(err) {
			return ran, err
		}
		ran = 0
	}
	for _, j := range jobs {
		did, err := r.one(ctx, j.key, now)
		if did {
			ran++
		}
		if err != nil {
			return ran, err
		}
	}
	return ran, nil
}

// errApart says that jobs cannot share a transaction.
var errApart = errors.New("one of several jobs failed")

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
	return true, r.again(ctx, key, now, failed.err)
}

// again schedules a job that failed, later each time, unless it is given up.
func (r *Runner) again(ctx context.Context, key string, now time.Time, cause error) error {
	_, err := r.Store.Update(ctx, func(tx *storage.Tx) error {
		j, err := take(tx, key)
		if err != nil || j == nil {
			return err
		}
		delay := min(firstBackoff<<min(j.Attempts, 12), maxBackoff)
		j.Attempts++
		if ask := r.GiveUp[j.Kind]; ask != nil {
			again, err := ask(tx.Of(j.NS), *j, cause)
			if err != nil || !again {
				return err
			}
		}
		return at(tx, now.Add(delay), *j)
	})
	return err
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
