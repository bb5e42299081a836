package storage

import (
	"encoding/json"
	"fmt"
	"sync"
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
	if tx.mode == ReadWrite && tx.Wrote() {
		return t.Get(name)
	}
	k, err := t.rows.key(t.prefix + name)
	if err != nil {
		return nil, err
	}
	if tx.mode == ReadWrite {
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
// changes, on every node: mount tables, parsed policies. It replaces caches
// that are invalidated by hand.
type Derived[T any] struct {
	Range Range
	Build func(Rows) (T, error)

	mu    sync.Mutex
	built bool
	index uint64
	value T
}

// Get returns the value as of the transaction.
func (d *Derived[T]) Get(tx *Tx) (T, error) {
	if tx.mode == ReadWrite {
		tx.ranges = append(tx.ranges, d.Range)
		if tx.wroteIn(d.Range) {
			return d.Build(tx.In(d.Range))
		}
	}
	last := tx.store.touch(d.Range.number()).Load()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.built && last <= d.index && last <= tx.snap.index {
		return d.value, nil
	}
	v, err := d.Build(tx.In(d.Range))
	if err == nil && last <= tx.snap.index {
		d.built, d.index, d.value = true, tx.snap.index, v
	}
	return v, err
}

// Drop forgets the value: the barrier was sealed.
func (d *Derived[T]) Drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	var zero T
	d.built, d.value = false, zero
}

func (tx *Tx) wroteIn(r Range) bool {
	if !tx.Wrote() {
		return false
	}
	for _, table := range []byte{tableValue, tableChild, tableOrdered, tableBare} {
		from := r.append(nil, table)
		s := span{from, after(from)}
		for k := range tx.writes.rows {
			if s.holds([]byte(k)) {
				return true
			}
		}
		for _, d := range tx.writes.drops {
			if s.overlaps(d) {
				return true
			}
		}
	}
	return false
}
