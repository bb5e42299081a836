package storage

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// A Table is a typed key range: rows are the JSON of a T.
type Table[T any] struct {
	rows   Rows
	prefix string
}

// In is the table of T below prefix (which ends in "/" or is empty).
func In[T any](rows Rows, prefix string) Table[T] { return Table[T]{rows, prefix} }

// Get returns the T of a name, or nil. It belongs to the caller.
func (t Table[T]) Get(name string) (*T, error) {
	b, err := t.rows.Get(t.prefix + name)
	if err != nil || b == nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("decode %s: %w", t.prefix, err)
	}
	return v, nil
}

// Peek returns the T of a name as it is shared among readers: it must not be
// changed. It costs no decoding while the row is cached.
func (t Table[T]) Peek(name string) (*T, error) {
	tx := t.rows.tx
	k, err := t.rows.key(t.prefix + name)
	if err != nil {
		return nil, err
	}
	if tx.mode == ReadWrite {
		if tx.writes.holds(k) {
			return t.Get(name)
		}
		tx.reads[string(k)] = struct{}{}
	}
	r, err := tx.store.readRow(tx.snap, k, t.rows.sealed())
	if err != nil || r.value == nil {
		return nil, err
	}
	if v, ok := r.decoded.Load().(*T); ok {
		return v, nil
	}
	v := new(T)
	if err := json.Unmarshal(r.value, v); err != nil {
		return nil, fmt.Errorf("decode %s: %w", t.prefix, err)
	}
	r.decoded.CompareAndSwap(nil, v)
	return v, nil
}

// Put sets the T of a name.
func (t Table[T]) Put(name string, v *T) {
	b, err := json.Marshal(v)
	if err != nil {
		t.rows.tx.fail(fmt.Errorf("encode %s: %w", t.prefix, err))
		return
	}
	t.rows.Put(t.prefix+name, b)
}

// Keep is Put for a T that nobody changes afterwards: once the transaction has
// committed, Peek gives out v itself, and saves the decoding.
func (t Table[T]) Keep(name string, v *T) {
	t.Put(name, v)
	tx := t.rows.tx
	if k, err := t.rows.key(t.prefix + name); err == nil {
		if w, ok := tx.writes.rows[string(k)]; ok {
			w.decoded = v
			tx.writes.rows[string(k)] = w
		}
	}
}

// PutNew is Put for a name that ends in what was drawn at random: it does not
// look whether there is one.
func (t Table[T]) PutNew(name string, v *T) {
	b, err := json.Marshal(v)
	if err != nil {
		t.rows.tx.fail(fmt.Errorf("encode %s: %w", t.prefix, err))
		return
	}
	t.rows.PutNew(t.prefix+name, b)
}

// Delete removes the T of a name.
func (t Table[T]) Delete(name string) { t.rows.Delete(t.prefix + name) }

// Names lists one level below a folder of the table ("" is the top).
func (t Table[T]) Names(folder, after string) ([]string, error) {
	path := t.prefix + folder
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	var names []string
	for n, err := range t.rows.Children(path, after) {
		if err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, nil
}

// A Derived is a value computed from one range and kept until the range
// changes, on every node: mount tables, parsed policies. Each namespace has its
// own. It replaces caches that are invalidated by hand.
type Derived[T any] struct {
	Range Range
	Build func(Rows) (T, error)

	root  derived[T] // of the root namespace, which is asked for most
	mu    sync.RWMutex
	other map[uint32]*derived[T]
}

type derived[T any] struct {
	touched  atomic.Pointer[atomic.Uint64] // index of the range's last change
	building sync.Mutex
	cur      atomic.Pointer[built[T]]
}

type built[T any] struct {
	index uint64
	value T
}

// Get returns the value as of the transaction, in the namespace it sees.
func (d *Derived[T]) Get(tx *Tx) (T, error) {
	rows := tx.In(d.Range)
	if tx.mode == ReadWrite {
		tx.ranges = append(tx.ranges, rows.r)
		if tx.wroteIn(rows.r) {
			return d.Build(rows)
		}
	}
	of := d.of(rows.r.NS)
	if b := of.asOf(tx, rows.r); b != nil {
		return b.value, nil
	}
	of.building.Lock()
	defer of.building.Unlock()
	if b := of.asOf(tx, rows.r); b != nil {
		return b.value, nil
	}
	v, err := d.Build(rows)
	if old := of.cur.Load(); err == nil && (old == nil || old.index < tx.snap.index) {
		of.cur.Store(&built[T]{tx.snap.index, v})
	}
	return v, err
}

// Latest returns the value as of the last applied entry, in the root namespace.
// While the range does not change it begins no transaction and costs two loads.
func (d *Derived[T]) Latest(ctx context.Context, s *Store) (T, error) {
	if b := d.root.cur.Load(); b != nil {
		if t := d.root.touched.Load(); t != nil && t.Load() <= b.index {
			return b.value, nil
		}
	}
	return d.look(ctx, s)
}

func (d *Derived[T]) look(ctx context.Context, s *Store) (v T, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		v, err = d.Get(tx)
		return err
	})
	return v, err
}

// asOf returns what was built, if it is what the transaction would build. The
// index of the last change is looked at after the value: a value built of a
// later change is then seen to be.
func (d *derived[T]) asOf(tx *Tx, r Range) *built[T] {
	b := d.cur.Load()
	if b == nil {
		return nil
	}
	t := d.touched.Load()
	if t == nil {
		t = tx.store.touch(r.number())
		d.touched.Store(t)
	}
	if last := t.Load(); last > b.index || last > tx.snap.index {
		return nil
	}
	return b
}

func (d *Derived[T]) of(ns uint32) *derived[T] {
	if ns == 0 {
		return &d.root
	}
	d.mu.RLock()
	of := d.other[ns]
	d.mu.RUnlock()
	if of != nil {
		return of
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.other == nil {
		d.other = make(map[uint32]*derived[T])
	}
	if d.other[ns] == nil {
		d.other[ns] = new(derived[T])
	}
	return d.other[ns]
}

// Drop forgets the values: the barrier was sealed.
func (d *Derived[T]) Drop() {
	d.root.cur.Store(nil)
	d.root.touched.Store(nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.other)
}

// WroteIn says whether the transaction has written in a range of the namespace
// that it sees.
func (tx *Tx) WroteIn(r Range) bool { return tx.wroteIn(tx.In(r).r) }

func (tx *Tx) wroteIn(r Range) bool {
	if slices.Contains(tx.writes.ranges, r.number()) {
		return true
	}
	for _, d := range tx.writes.drops {
		if len(d.from) < 9 && binary.BigEndian.Uint32(d.from[1:]) == r.NS {
			return true
		}
	}
	return false
}
