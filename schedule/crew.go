package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// A crew is the workers of a Runner and what they are at.
type crew struct {
	r     *Runner
	ctx   context.Context
	paced bool
	done  chan struct{} // has one when a job has ended since it was emptied
	all   sync.WaitGroup

	// The search: what is due is looked through from cursor on. Jobs whose mount
	// has no hand free wait in its queue; those that the queue has no room for
	// are passed over, and found by the next search from the start.
	cursor string
	passed int                 // jobs passed over or queued since the start
	queues map[string][]dueJob // by mount; together is that of Runner.Together
	queued map[string]bool     // keys
	began  time.Time           // when the search last began from the start
	// While a crowd is worked off, the start is where it begins: the index before
	// it is full of what was removed, which is as much work to pass over as what is
	// there. Now and then it is looked at all the same.
	floor string
	whole time.Time     // when the search last began from the very start
	took  time.Duration // and how long it was until the first job

	mu     sync.Mutex
	busy   int             // hands at work
	at     map[string]bool // keys of jobs that run
	mounts map[string]int  // how many of each queue
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
	together    = "\x00" // names the queue of Runner.Together
	// A search from the very start may take one part in so many of the time.
	wholeShare = 50
	inOne      = 32 // how many of these share a transaction
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
	busy := w.busy
	w.mu.Unlock()
	hands := max(w.r.Workers, 1) - busy
	if w.passed <= page || busy == 0 || time.Since(w.began) >= searchPause {
		w.cursor, w.passed, w.began = w.start(), 0, time.Now()
	}
	begin := func(j ...dueJob) {
		w.run(j, now)
		hands--
		started = true
	}
	w.waiting(&hands, begin)
	for hands > 0 {
		jobs, end, err := w.look(now, hands)
		if err != nil {
			return started, err
		}
		for _, j := range jobs {
			begin(j)
		}
		if end {
			break
		}
	}
	w.waiting(&hands, begin)
	return started, nil
}

// start is where a search begins.
func (w *crew) start() string {
	if len(w.queues[together]) == 0 || time.Since(w.whole) >= max(searchPause, wholeShare*w.took) {
		w.floor, w.whole = "", time.Now()
	}
	return w.floor
}

// waiting begins jobs from the queues of mounts that have a hand free.
func (w *crew) waiting(hands *int, begin func(...dueJob)) {
	for name, q := range w.queues {
		if name == together {
			if n := min(len(q), inOne); n > 0 && *hands > 0 && !w.sharing() {
				w.dequeue(name, n)
				begin(q[:n]...)
			}
			continue
		}
		for len(q) > 0 && *hands > 0 {
			running, busy := w.state(q[0], nil)
			if busy && !running {
				break
			}
			j := q[0]
			if q = w.dequeue(name, 1); !running {
				begin(j)
			}
		}
	}
}

// dequeue drops the first n jobs of a queue.
func (w *crew) dequeue(name string, n int) []dueJob {
	q := w.queues[name]
	for _, j := range q[:n] {
		delete(w.queued, j.key)
	}
	if w.queues[name] = q[n:]; len(q) == n {
		delete(w.queues, name)
	}
	return q[n:]
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
		room := maxQueue - len(w.queues[together])
		first := from == w.floor
		for row, err := range tx.In(storage.Due).Scan(from, dueAfter(now)) {
			if err != nil {
				return err
			}
			j := dueJob{key: string(row.Key)}
			if first {
				if first = false; w.floor == "" {
					w.took = time.Since(w.whole)
				}
				w.floor = j.key
			}
			w.cursor = j.key + "\x00"
			if !w.queued[j.key] {
				if err := json.Unmarshal(row.Value, &j.job); err != nil {
					return fmt.Errorf("decode job: %w", err)
				}
				switch running, busy := w.state(j, more); {
				case running:
				case w.r.Together[j.job.Kind]:
					if room--; room < 0 { // the others behind it wait in order
						w.cursor = j.key
						return nil
					}
					crowd = append(crowd, j)
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
		name := w.r.queue(j)
		if name != together {
			w.passed++
		}
		if q := w.queues[name]; len(q) < maxQueue {
			w.queues[name] = append(q, j)
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

// queue names the queue that a job waits in.
func (r *Runner) queue(j dueJob) string {
	if r.Together[j.job.Kind] {
		return together
	}
	return j.job.Mount
}

// sharing says whether jobs that share a transaction run.
func (w *crew) sharing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mounts[together] > 0
}

// run runs one job, or several that share a transaction.
func (w *crew) run(jobs []dueJob, now time.Time) {
	name := w.r.queue(jobs[0])
	w.mu.Lock()
	for _, j := range jobs {
		w.at[j.key] = true
	}
	w.mounts[name]++
	w.busy++
	w.mu.Unlock()
	work := func() {
		began := time.Now()
		ran, err := w.r.some(w.ctx, jobs, now)
		if w.paced && len(jobs) == inOne { // more wait, and others for the machine
			w.rest(time.Since(began))
		}
		w.end(name, jobs, ran, err)
	}
	if w.r.Workers <= 1 {
		work() // in order, and in the caller's time
		return
	}
	w.all.Go(work)
}

// rest waits.
func (w *crew) rest(d time.Duration) {
	t := time.NewTimer(min(d, pause))
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.ctx.Done():
	}
}

func (w *crew) end(name string, jobs []dueJob, ran int, err error) {
	w.mu.Lock()
	for _, j := range jobs {
		delete(w.at, j.key)
	}
	w.busy--
	if w.mounts[name]--; w.mounts[name] == 0 {
		delete(w.mounts, name)
	}
	w.ran += ran
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
