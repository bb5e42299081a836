package audit

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a sink whose writes wait to be let through.
type gate struct {
	mu     sync.Mutex
	wrote  []string
	enter  chan struct{} // one for each write that has begun
	let    chan error    // the result of a write, which then ends
	closed bool
}

func newGate() *gate { return &gate{enter: make(chan struct{}, 100), let: make(chan error)} }

func (g *gate) write(lines []byte) error {
	g.enter <- struct{}{}
	err := <-g.let
	if err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.wrote = append(g.wrote, string(lines))
	}
	return err
}
func (g *gate) reload() error { return nil }
func (g *gate) prompt() bool  { return false }
func (g *gate) close() error  { g.closed = true; return nil }

type answerTo chan error

func (a answerTo) settle(err error) { a <- err }

func submit(w *writer, line string) answerTo {
	a := make(answerTo, 1)
	w.submit([]byte(line), a, false)
	return a
}

func TestCallersShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newWriter(g, time.Second)
		first := submit(w, "1 ")
		<-g.enter
		second, third := submit(w, "2 "), submit(w, "3 ")
		g.let <- nil
		g.let <- nil
		for _, a := range []answerTo{first, second, third} {
			if err := <-a; err != nil {
				t.Error(err)
			}
		}
		if got := strings.Join(g.wrote, "|"); got != "1 |2 3 " {
			t.Errorf("writes %q", got)
		}
	})
}

func TestAFailedWriteFailsThoseWhoSharedItOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newWriter(g, time.Second)
		first := submit(w, "1")
		<-g.enter
		second := submit(w, "2")
		full := errors.New("disk full")
		g.let <- full
		g.let <- nil
		if a, b := <-first, <-second; a != full || b != nil {
			t.Errorf("first %v, second %v", a, b)
		}
	})
}

func TestAStuckWriteRefusesAllUntilItMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newWriter(g, time.Second)
		start := time.Now()
		first := submit(w, "1")
		<-g.enter
		second := submit(w, "2")
		if a, b := <-first, <-second; a != ErrStalled || b != ErrStalled {
			t.Errorf("first %v, second %v", a, b)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("they waited %v", waited)
		}
		if err := <-submit(w, "3"); err != ErrStalled || time.Since(start) != time.Second {
			t.Errorf("a newcomer is refused at once: %v", err)
		}
		g.let <- nil
		synctest.Wait()
		fourth := submit(w, "4")
		g.let <- nil
		if err := <-fourth; err != nil {
			t.Errorf("it moves again, yet: %v", err)
		}
		if got := strings.Join(g.wrote, "|"); got != "1|4" {
			t.Errorf("writes %q", got)
		}
	})
}

func TestCloseWaitsForLinesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newWriter(g, time.Second)
		first := submit(w, "1")
		<-g.enter
		done := make(chan error)
		go func() { done <- w.close() }()
		synctest.Wait()
		if err := <-submit(w, "2"); err != ErrClosed {
			t.Error(err)
		}
		g.let <- nil
		if a, b := <-first, <-done; a != nil || b != nil || !g.closed {
			t.Errorf("line %v, close %v, closed %v", a, b, g.closed)
		}
	})
}

func TestCloseLeavesAStuckSinkBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newWriter(g, time.Second)
		first := submit(w, "1")
		if err := w.close(); err != ErrStalled {
			t.Error(err)
		}
		if err := <-first; err != ErrStalled {
			t.Error(err)
		}
		g.let <- nil
	})
}

func TestTheBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newWriter(g, time.Second)
		first := submit(w, "1")
		<-g.enter
		big := submit(w, strings.Repeat("x", maxBacklog))
		if err := <-submit(w, "2"); err != ErrBacklog {
			t.Error(err)
		}
		g.let <- nil
		g.let <- nil
		if a, b := <-first, <-big; a != nil || b != nil {
			t.Error(a, b)
		}
	})
}
