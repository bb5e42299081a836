package storage

import "sync"

// A Fate is what becomes of the entries that were proposed in one leadership
// and are not applied yet. It is decided once for all of them: when an entry of
// a later leadership is applied, none of them ever will be.
type Fate struct {
	once    sync.Once
	decided chan struct{}
	err     error
}

// NewFate returns one that is not decided.
func NewFate() *Fate { return &Fate{decided: make(chan struct{})} }

// Decide says why what was not applied by now is not expected to be any more:
// [ErrNotLeader] when it never will be, [ErrUnknownOutcome] when that is not
// known. Only the first call counts.
func (f *Fate) Decide(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.decided)
	})
}

// Decided is closed by Decide.
func (f *Fate) Decided() <-chan struct{} { return f.decided }

// Err is what was decided. Ask once Decided is closed.
func (f *Fate) Err() error { return f.err }
