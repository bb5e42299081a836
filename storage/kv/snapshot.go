package kv

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fastness-dev/fastness/storage"
)

// Snapshot is the rows as they are now. A snapshot of a closed Disk answers
// ErrClosed.
func (d *Disk) Snapshot() storage.Snapshot {
	d.lifeMu.RLock()
	defer d.lifeMu.RUnlock()
	s := &diskSnapshot{d: d, generation: d.generation.Load()}
	if d.closed {
		s.closed.Store(true)
		return s
	}
	s.rows = d.db.NewSnapshot()
	return s
}

type diskSnapshot struct {
	d          *Disk
	rows       *pebble.Snapshot
	generation uint64 // of the Disk's rows, which an Install replaces
	closed     atomic.Bool
}

// Applied asks the rows themselves: Disk may be an entry ahead of them.
func (s *diskSnapshot) Applied() (index uint64, err error) {
	if s.closed.Load() {
		return 0, storage.ErrClosed
	}
	defer recovered(&err)
	if index, err = readApplied(s.rows); err != nil {
		return 0, s.failed(err)
	}
	return index, s.valid()
}

// valid says whether what was read is of this snapshot. It is asked after the
// read: an Install counts up before it takes the old rows away.
func (s *diskSnapshot) valid() error {
	if s.d.generation.Load() != s.generation {
		return storage.ErrReplaced
	}
	return nil
}

func (s *diskSnapshot) Get(key []byte) (value []byte, err error) {
	if s.closed.Load() {
		return nil, storage.ErrClosed
	}
	if len(key) > 0 && key[0] == reserved {
		return nil, nil
	}
	defer recovered(&err)
	v, closer, err := s.rows.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, s.valid()
	}
	if err != nil {
		return nil, s.failed(err)
	}
	value = own(v)
	if err := closer.Close(); err != nil {
		return nil, s.failed(err)
	}
	if err := s.valid(); err != nil {
		return nil, err
	}
	return value, nil
}

func (s *diskSnapshot) Scan(from, to []byte, f func(key, value []byte) bool) error {
	if s.closed.Load() {
		return storage.ErrClosed
	}
	it, err := s.rows.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: bound(to)})
	if err != nil {
		return s.failed(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return s.failed(errors.Join(err, it.Close()))
		}
		if !f(it.Key(), value) {
			break
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return s.failed(err)
	}
	return s.valid()
}

// failed remembers corruption that a read met, for the State's health.
func (s *diskSnapshot) failed(err error) error {
	if pebble.IsCorruptionError(err) {
		s.d.fail(err)
	}
	return fmt.Errorf("read rows: %w", describe(err))
}

func (s *diskSnapshot) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.rows.Close()
}
