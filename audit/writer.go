package audit

import (
	"sync"
	"time"
)

// maxBacklog bounds the bytes that wait for a write under way.
const maxBacklog = 64 << 20

// keepBuffer is the size above which a buffer is not kept for the next lines.
const keepBuffer = 1 << 20

// A sink takes whole lines to the operating system. Only one call at a time is
// made. An empty write asks it to put a pending reload into effect.
type sink interface {
	write(lines []byte) error
	reload() error // may run beside a write
	prompt() bool  // writes end at once, or with the machine: a caller may do them
	close() error
}

// writer lets concurrent callers share one write. While a write is under way
// the lines of others gather, and leave together in the next one.
//
//	idle --submit--> draining --nothing waits--> idle
//	draining --timeout--> stalled: all who wait are refused, and newcomers at once
//	stalled --the write returns--> draining
type writer struct {
	sink    sink
	timeout time.Duration

	mu       sync.Mutex
	waiting  batch
	inflight batch
	draining bool
	kicked   bool // an empty write is wanted
	stalled  bool
	closed   bool
	idle     chan struct{} // closed when a closed writer has drained
	started  time.Time     // when the write under way began; zero if none
	watchdog *time.Timer
	run      func() // drain, bound once so that starting it allocates nothing
}

type batch struct {
	lines   []byte
	waiters []waiter
}

// A waiter is told once what became of its line.
type waiter interface{ settle(error) }

func newWriter(s sink, timeout time.Duration) *writer {
	w := &writer{sink: s, timeout: timeout, idle: make(chan struct{})}
	w.watchdog = time.AfterFunc(timeout, w.stall)
	w.watchdog.Stop()
	w.run = w.drain
	return w
}

// submit hands over a line, which is copied. The waiter is settled exactly once,
// at the latest when the timeout has passed. With lead, the caller may be made
// to write, which saves two switches between goroutines for every entry.
func (w *writer) submit(line []byte, who waiter, lead bool) {
	leads, err := w.enqueue(line, who, lead)
	switch {
	case err != nil:
		who.settle(err)
	case leads:
		w.drainOnce()
	}
}

func (w *writer) enqueue(line []byte, who waiter, lead bool) (leads bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return false, ErrClosed
	case w.stalled:
		return false, ErrStalled
	case len(w.waiting.lines)+len(line) > maxBacklog && len(w.waiting.lines) > 0:
		return false, ErrBacklog
	}
	w.waiting.lines = append(w.waiting.lines, line...)
	w.waiting.waiters = append(w.waiting.waiters, who)
	if lead && !w.draining && w.sink.prompt() {
		w.draining = true
		return true, nil
	}
	w.drainSoon()
	return false, nil
}

func (w *writer) drainSoon() {
	if !w.draining {
		w.draining = true
		go w.run()
	}
}

// drain writes until nothing waits.
func (w *writer) drain() {
	for w.next() {
		w.write()
	}
}

// drainOnce writes what waits, and leaves what gathers meanwhile to others: a
// caller's own entry is among the first.
func (w *writer) drainOnce() {
	if !w.next() {
		return
	}
	w.write()
	w.mu.Lock()
	more := len(w.waiting.waiters) > 0 || w.kicked || w.closed
	w.draining = more
	w.mu.Unlock()
	if more {
		go w.run()
	}
}

func (w *writer) write() {
	err := w.sink.write(w.inflight.lines)
	w.watchdog.Stop()
	for _, who := range w.finish() {
		who.settle(err)
	}
	w.recycle()
}

// next moves what waits into flight, or ends the drain.
func (w *writer) next() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting.waiters) == 0 && !w.kicked {
		w.draining = false
		if w.closed {
			close(w.idle)
		}
		return false
	}
	w.kicked = false
	w.inflight, w.waiting = w.waiting, w.inflight
	w.started = time.Now()
	w.watchdog.Reset(w.timeout)
	return true
}

// finish ends a write and returns those who still wait for its result.
func (w *writer) finish() []waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = time.Time{}
	w.stalled = false
	return w.inflight.waiters
}

func (w *writer) recycle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inflight.reset()
}

func (b *batch) reset() {
	b.lines = b.lines[:0]
	if cap(b.lines) > keepBuffer {
		b.lines = nil
	}
	clear(b.waiters)
	b.waiters = b.waiters[:0]
}

// stall runs when a write has taken too long: nobody waits for it any longer.
// The lines in flight may still arrive; those behind them are dropped, since
// their requests are refused here.
func (w *writer) stall() {
	w.mu.Lock()
	if w.started.IsZero() || time.Since(w.started) < w.timeout {
		w.mu.Unlock() // the timer of an earlier write, or it has just ended
		return
	}
	w.stalled = true
	late := append(w.inflight.waiters, w.waiting.waiters...)
	w.inflight.waiters = nil
	w.waiting = batch{}
	w.mu.Unlock()
	for _, who := range late {
		who.settle(ErrStalled)
	}
}

// reload reopens the sink; lines submitted afterwards go to what it opened.
func (w *writer) reload() error {
	if err := w.sink.reload(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	w.kicked = true
	w.drainSoon()
	return nil
}

// close refuses new lines, waits for those under way and closes the sink. A
// sink that is stuck is left behind, and its file with it.
func (w *writer) close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	draining := w.draining
	w.mu.Unlock()
	if draining {
		limit := time.NewTimer(w.timeout)
		defer limit.Stop()
		select {
		case <-w.idle:
		case <-limit.C:
			return ErrStalled
		}
	}
	return w.sink.close()
}
