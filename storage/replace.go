package storage

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// A replacement of all rows is an entry of the log like any other, so that every
// node makes it at the same place in the order. The entry names a stream of rows
// that was staged beforehand; [State.Install] makes it atomic on each node.
type replacement struct {
	mu   sync.Mutex    // one at a time
	at   atomic.Uint64 // index of the last one
	last atomic.Uint64 // which it was
}

// Freeze returns a snapshot of all rows as they are sealed in the store, which
// never changes. It must be closed.
func (s *Store) Freeze() Snapshot { return s.state.Snapshot() }

// ErrReplacing says that all rows are being replaced.
var ErrReplacing = errors.New("all rows are being replaced by a snapshot: retry")

// Replace has all rows replaced by those of a staged stream. Transactions that
// are under way are finished first or refused. On success the rows are durable,
// and the staged stream is not needed any longer; after [ErrUnknownOutcome], or
// while the log has failed, it is.
func (s *Store) Replace(ctx context.Context, staged string) (index uint64, err error) {
	if s.staged == nil {
		return 0, errors.New("replace rows: nothing can be staged")
	}
	if s.state.Full() || s.log.Full() {
		return 0, ErrFull
	}
	s.replaced.mu.Lock()
	defer s.replaced.mu.Unlock()
	if err := s.commits.pause(ctx, ErrReplacing); err != nil {
		return 0, fmt.Errorf("replace rows: %w", err)
	}
	defer s.commits.resume()
	term := s.log.Leads()
	if term == 0 {
		return 0, s.notLeading()
	}
	var which [8]byte
	if _, err := rand.Read(which[:]); err != nil {
		return 0, fmt.Errorf("replace rows: %w", err)
	}
	number := binary.BigEndian.Uint64(which[:])
	entry := appendOp(appendHead(nil, entryHead{node: s.node, first: number, last: number}), Op{Kind: OpReplace, Key: []byte(staged)})
	fate, err := s.log.Propose(ctx, term, entry)
	if err != nil {
		return 0, fmt.Errorf("replace rows: %w", err)
	}
	for {
		changed := s.Changed()
		if s.replaced.last.Load() == number {
			return s.replaced.at.Load(), nil
		}
		select {
		case <-changed:
		case <-fate.Decided():
			if s.replaced.last.Load() == number {
				return s.replaced.at.Load(), nil
			}
			return 0, fmt.Errorf("replace rows: %w", fate.Err())
		case <-s.log.Failed():
			return 0, fmt.Errorf("replace rows: the log has stopped: %w", s.log.Err())
		case <-s.closed:
			return 0, ErrClosed
		}
	}
}

// replaceAll is apply for an entry that replaces all rows.
func (s *Store) replaceAll(index uint64, head entryHead, staged string) error {
	if index <= s.state.Applied() {
		return nil
	}
	if s.staged == nil {
		return fmt.Errorf("entry %d replaces all rows, and nothing is staged here", index)
	}
	r, err := s.staged(staged)
	if err != nil {
		return fmt.Errorf("entry %d replaces all rows: open what was staged: %w", index, err)
	}
	install := func() error { return errors.Join(s.state.Install(index, r), r.Close()) }
	err = s.replaceRows(index, install, head.node != s.node, func() {
		s.replaced.at.Store(index)
		s.replaced.last.Store(head.first)
	})
	if err != nil {
		return fmt.Errorf("apply entry %d: %w", index, err)
	}
	return nil
}

// pause refuses new transactions and returns once none is on its way.
func (c *commits) pause(ctx context.Context, why error) error {
	c.mu.Lock()
	if c.stopped != nil {
		defer c.mu.Unlock()
		return c.stopped
	}
	c.paused = why
	for c.open != nil || len(c.flying) > 0 {
		done := c.anyOnItsWay()
		c.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			c.resume()
			return ctx.Err()
		}
		c.mu.Lock()
	}
	c.mu.Unlock()
	return nil
}

func (c *commits) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = nil
}
