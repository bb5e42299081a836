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
	s := &diskSnapshot{d: d}
	if d.closed {
		s.closed.Store(true)
		return s
	}
	s.rows = d.db.NewSnapshot()
	return s
}

type diskSnapshot struct {
	d      *Disk
	rows   *pebble.Snapshot
	closed atomic.Bool
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
		return nil, nil
	}
	if err != nil {
		return nil, s.failed(err)
	}
	value = own(v)
	if err := closer.Close(); err != nil {
		return nil, s.failed(err)
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
	return nil
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
