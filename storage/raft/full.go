package raft

import (
	"errors"
	"fmt"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// room says whether there is space for another entry. When the file system does
// not answer, writing goes on: the write itself will tell.
func (l *Log) room() bool {
	free, err := l.o.FreeSpace()
	return err != nil || free >= l.o.MinFree
}

// Full says whether every proposal is refused for want of space.
func (l *Log) Full() bool { return l.full.Load() }

// maxPause is the longest time between two tries to write again, in ticks.
const maxPause = 64

// wait refuses proposals until the journal can be opened and written again. It
// then holds what was durable; what was on its way is in it or is not.
func (l *Log) wait(ticks <-chan time.Time, why error) error {
	l.full.Store(true)
	l.o.Logger.Error("the disk is full: writes are refused and reads go on; free disk space and writes resume by themselves", "dir", l.o.Dir, "error", why)
	l.forget(fmt.Errorf("%w: the disk is full", storage.ErrUnknownOutcome))
	if !l.alone() {
		l.resign()
	}
	for pause, left := 1, 1; ; {
		select {
		case <-l.stop:
			return errStopped
		case p := <-l.props:
			p.result <- proposed{err: storage.ErrFull}
			continue
		case <-l.inbox: // the sender repeats it
			continue
		case f := <-l.calls:
			f()
			continue
		case r := <-l.asked:
			l.waiting = append(l.waiting, r)
			continue
		case <-l.flushed:
			l.flushing = false
			continue
		case <-ticks:
		}
		if left--; left > 0 || !l.room() {
			continue
		}
		pause = min(2*pause, maxPause)
		left = pause
		err := l.resume()
		if err == nil {
			l.full.Store(false)
			l.o.Logger.Info("the disk has space again: writes are taken", "dir", l.o.Dir)
			return nil
		}
		if !errors.Is(err, storage.ErrFull) {
			return err
		}
	}
}

func (l *Log) resume() error {
	if l.journal != nil {
		if err := l.journal.Close(); err != nil {
			return err
		}
		l.journal = nil
	}
	return l.begin(true)
}
