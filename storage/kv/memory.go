package kv

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/google/btree"

	"github.com/fastness-dev/fastness/storage"
)

// degree of the tree: 64 rows a node are copied when a write meets a snapshot.
const degree = 32

type tree = btree.BTreeG[storage.Row]

// Memory is a State that lives as long as the process.
type Memory struct {
	applied atomic.Uint64

	mu     sync.Mutex
	rows   *tree
	shared *tree // clone of rows since the last apply; snapshots share it
	closed bool
}

// NewMemory is an empty State in memory, for -dev and tests.
func NewMemory() storage.State {
	return &Memory{rows: newTree()}
}

func newTree() *tree {
	return btree.NewG(degree, func(a, b storage.Row) bool { return bytes.Compare(a.Key, b.Key) < 0 })
}

// Apply makes ops and index visible together.
func (m *Memory) Apply(index uint64, ops []storage.Op) error {
	if err := checkOps(ops); err != nil {
		return fmt.Errorf("apply entry %d: %w", index, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return storage.ErrClosed
	}
	if index <= m.applied.Load() {
		return nil
	}
	m.shared = nil
	for _, op := range ops {
		m.apply(op)
	}
	m.applied.Store(index)
	return nil
}

func (m *Memory) apply(op storage.Op) {
	switch op.Kind {
	case storage.OpPut:
		m.rows.ReplaceOrInsert(storage.Row{Key: own(op.Key), Value: own(op.Value)})
	case storage.OpDelete:
		m.rows.Delete(storage.Row{Key: op.Key})
	case storage.OpDeleteRange:
		from, to, ok := span(op)
		if !ok {
			return
		}
		var gone []storage.Row
		m.rows.AscendRange(storage.Row{Key: from}, storage.Row{Key: to}, func(r storage.Row) bool {
			gone = append(gone, r)
			return true
		})
		for _, r := range gone {
			m.rows.Delete(r)
		}
	}
}

// Applied is the index of the last applied entry.
func (m *Memory) Applied() uint64 { return m.applied.Load() }

// Snapshot is the rows as they are now.
func (m *Memory) Snapshot() storage.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shared == nil {
		m.shared = m.rows.Clone()
	}
	s := &memorySnapshot{applied: m.applied.Load()}
	s.rows.Store(m.shared)
	return s
}

// Flush has nothing to do: nothing here outlives the process.
func (m *Memory) Flush() error { return nil }

// Full is always false: memory is not watched.
func (m *Memory) Full() bool { return false }

// Close refuses further entries; snapshots stay readable.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

type memorySnapshot struct {
	applied uint64
	rows    atomic.Pointer[tree]
}

func (s *memorySnapshot) Applied() (uint64, error) { return s.applied, nil }

func (s *memorySnapshot) Get(key []byte) ([]byte, error) {
	rows := s.rows.Load()
	if rows == nil {
		return nil, storage.ErrClosed
	}
	r, ok := rows.Get(storage.Row{Key: key})
	if !ok {
		return nil, nil
	}
	return own(r.Value), nil
}

func (s *memorySnapshot) Scan(from, to []byte, f func(key, value []byte) bool) error {
	rows := s.rows.Load()
	if rows == nil {
		return storage.ErrClosed
	}
	rows.AscendRange(storage.Row{Key: from}, storage.Row{Key: bound(to)}, func(r storage.Row) bool {
		return f(r.Key, r.Value)
	})
	return nil
}

func (s *memorySnapshot) Close() error {
	s.rows.Store(nil)
	return nil
}
