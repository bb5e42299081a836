package schedule

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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

// A crew is the workers of a Runner and what they are at.
type crew struct {
	r    *Runner
	ctx  context.Context
	done chan struct{} // has one when a job has ended since it was emptied
	all  sync.WaitGroup

	// The search: what is due is looked through from cursor on. Jobs whose mount
	// has no hand free wait in its queue; those that the queue has no room for
	// are passed over, and found by the next search from the start.
	cursor string
	passed int // jobs passed over or queued since the start
	queues map[string][]dueJob
	queued map[string]bool // keys
	began  time.Time       // when the search last began from the start

	mu     sync.Mutex
	at     map[string]bool // keys of jobs that run
	mounts map[string]int  // how many of each mount
	ran    int
	failed error // of the store
}

func (r *Runner) crew(ctx context.Context) *crew {
	return &crew{r: r, ctx: ctx, done: make(chan struct{}, 1), at: map[string]bool{}, mounts: map[string]int{},
		queues: map[string][]dueJob{}, queued: map[string]bool{}}
}

const (
	page     = 4096 // due jobs that are looked at in one transaction
	maxQueue = 256  // jobs of one mount that wait in memory
	// A search through more jobs than page begins anew this much later at the
	// earliest: what is scheduled in the past waits so long behind a crowd.
	searchPause = 2 * time.Second
)

type dueJob struct {
	key string
	job Job
}

// round starts what is due and there are hands for. started is false when there
// was nothing that could be.
func (w *crew) round(now time.Time) (started bool, err error) {
	if err := w.err(); err != nil {
		return false, err
	}
	w.mu.Lock()
	busy := len(w.at)
	w.mu.Unlock()
	hands := max(w.r.Workers, 1) - busy
	if w.passed <= page || busy == 0 || time.Since(w.began) >= searchPause {
		w.cursor, w.passed, w.began = "", 0, time.Now()
	}
	for _, j := range w.waiting(hands) {
		w.start(j, now)
		hands--
		started = true
	}
	for hands > 0 {
		jobs, end, err := w.look(now, hands)
		if err != nil {
			return started, err
		}
		for _, j := range jobs {
			w.start(j, now)
			hands--
			started = true
		}
		if end {
			break
		}
	}
	return started, nil
}

// waiting takes jobs from the queues of mounts that have a hand free.
func (w *crew) waiting(hands int) (jobs []dueJob) {
	for mount, q := range w.queues {
		more := map[string]int{}
		for len(q) > 0 && len(jobs) < hands {
			running, busy := w.state(q[0], more)
			if busy && !running {
				break
			}
			delete(w.queued, q[0].key)
			if !running {
				more[mount]++
				jobs = append(jobs, q[0])
			}
			q = q[1:]
		}
		if w.queues[mount] = q; len(q) == 0 {
			delete(w.queues, mount)
		}
	}
	return jobs
}

// look searches on for due jobs that can be started now. end is true when it has
// seen all that is due.
func (w *crew) look(now time.Time, hands int) (jobs []dueJob, end bool, err error) {
	from := w.cursor
	var crowd []dueJob
	seen := 0
	err = w.r.Store.View(w.ctx, func(tx *storage.Tx) error {
		jobs, crowd, seen, w.cursor, end = jobs[:0], crowd[:0], 0, from, true
		more := map[string]int{}
		for row, err := range tx.In(storage.Due).Scan(from, dueAfter(now)) {
			if err != nil {
				return err
			}
			j := dueJob{key: string(row.Key)}
			w.cursor = j.key + "\x00"
			if !w.queued[j.key] {
				if err := json.Unmarshal(row.Value, &j.job); err != nil {
					return fmt.Errorf("decode job: %w", err)
				}
				switch running, busy := w.state(j, more); {
				case running:
				case busy:
					crowd = append(crowd, j)
				default:
					more[j.job.Mount]++
					jobs = append(jobs, j)
				}
			}
			if seen++; seen == page || len(jobs) == hands {
				end = false
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("read what is due: %w", err)
	}
	for _, j := range crowd {
		w.passed++
		if q := w.queues[j.job.Mount]; len(q) < maxQueue {
			w.queues[j.job.Mount] = append(q, j)
			w.queued[j.key] = true
		}
	}
	return jobs, end, nil
}

// state says whether a job runs already, and whether its mount has as many at
// work as it may have, with those about to start.
func (w *crew) state(j dueJob, more map[string]int) (running, busy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := w.r.PerMount
	return w.at[j.key], limit > 0 && j.job.Mount != "" && w.mounts[j.job.Mount]+more[j.job.Mount] >= limit
}

func (w *crew) start(j dueJob, now time.Time) {
	w.mu.Lock()
	w.at[j.key] = true
	w.mounts[j.job.Mount]++
	w.mu.Unlock()
	work := func() {
		ran, err := w.r.one(w.ctx, j.key, now)
		w.end(j, ran, err)
	}
	if w.r.Workers <= 1 {
		work() // in order, and in the caller's time
		return
	}
	w.all.Go(work)
}

func (w *crew) end(j dueJob, ran bool, err error) {
	w.mu.Lock()
	delete(w.at, j.key)
	if w.mounts[j.job.Mount]--; w.mounts[j.job.Mount] == 0 {
		delete(w.mounts, j.job.Mount)
	}
	if ran {
		w.ran++
	}
	if err != nil && w.failed == nil {
		w.failed = err
	}
	w.mu.Unlock()
	select {
	case w.done <- struct{}{}:
	default:
	}
}

func (w *crew) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.at) == 0
}

// err takes an error of the store.
func (w *crew) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.failed
	w.failed = nil
	return err
}

func (w *crew) wait() (ran int) {
	w.all.Wait()
	return w.ran
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
