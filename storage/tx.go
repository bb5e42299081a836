package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A View reads one range at one index of the log.
type View interface {
	// Get returns the value at path, or nil when there is none. The caller
	// must not change the bytes.
	Get(path string) ([]byte, error)
	// Children yields, in order, the names one level below path that come
	// after the given one; folders end in "/". Path "" is the top.
	Children(path, after string) iter.Seq2[string, error]
	// Index is the index of the log that this view shows.
	Index() uint64
}

// A Writer changes one range. Writes are kept in memory until the transaction
// commits; what goes wrong with one is reported by the commit.
type Writer interface {
	Put(path string, value []byte)
	Delete(path string)
	// DeletePrefix deletes everything below a folder ("a/" or "" for all).
	DeletePrefix(prefix string)
	// PutUnlisted sets the value at path in such a way that Children does not
	// name it and DeletePrefix of its folder does not delete it: for what is
	// only ever looked up, at half the price of Put. A path is always written
	// in the one way or always in the other.
	PutUnlisted(path string, value []byte)
	// DeleteUnlisted removes what PutUnlisted set.
	DeleteUnlisted(path string)
}

// A Mode says what a transaction may do.
type Mode bool

// The modes.
const (
	ReadOnly  Mode = false
	ReadWrite Mode = true
)

// ErrUpgrade, returned from the function of a ReadOnly transaction, makes
// [Store.Do] run it again as ReadWrite: a read that turns out to need a write
// (a token with a limited number of uses).
var ErrUpgrade = errors.New("transaction has to write")

// A Tx is one transaction over the whole store, as one namespace sees it: In
// gives that namespace's rows. It is used by one goroutine.
type Tx struct {
	*work
	ns uint32
}

// work is what the namespaces' views of one transaction share.
type work struct {
	ctx    context.Context
	store  *Store
	snap   *snapshot
	mode   Mode
	keep   bool // inside Always
	err    error
	writes buffer
	kept   buffer // the part of writes that survives a failure

	reads  map[string]struct{} // row keys read
	spans  []span              // ordered stretches read
	ranges []Range             // whole ranges read
	keybuf [64]byte            // where a row key is put together
}

// A buffer holds writes by row key, and dropped stretches that came before.
type buffer struct {
	rows   map[string]row
	drops  []span
	ranges []uint64 // numbers of those written in: a few
}

type row struct {
	value   []byte // nil is deleted
	present bool
	sealed  bool // must be sealed on the way down
	decoded any  // what value is the encoding of, if readers may share it
}

type span struct{ from, to []byte }

func (s span) holds(key []byte) bool {
	return bytes.Compare(s.from, key) <= 0 && bytes.Compare(key, s.to) < 0
}

// Of is the same transaction as another namespace sees it. What belongs to one
// namespace cannot be reached through the view of another.
func (tx *Tx) Of(ns uint32) *Tx {
	if ns == tx.ns {
		return tx
	}
	return &Tx{work: tx.work, ns: ns}
}

// Namespace is the number of the namespace that the transaction sees.
func (tx *Tx) Namespace() uint32 { return tx.ns }

// Fail makes the commit return err: for those whose writes return nothing.
func (tx *Tx) Fail(err error) { tx.fail(err) }

// Context is the context of the request that the transaction serves.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Index is the index of the log that the transaction reads at.
func (tx *Tx) Index() uint64 { return tx.snap.index }

// Mode says whether the transaction may write.
func (tx *Tx) Mode() Mode { return tx.mode }

// Always runs f; what it writes is committed even if the transaction's
// function fails afterwards. It must not depend on other writes of the
// transaction.
func (tx *Tx) Always(f func()) {
	tx.keep = true
	defer func() { tx.keep = false }()
	f()
}

// In gives the rows of a range: of this namespace, unless there is one such
// range for all.
func (tx *Tx) In(r Range) Rows {
	if !r.Global {
		r.NS = tx.ns
	}
	return Rows{tx: tx, r: r}
}

// Wrote says whether the transaction has written anything so far.
func (tx *Tx) Wrote() bool { return len(tx.writes.rows) > 0 || len(tx.writes.drops) > 0 }

func (tx *Tx) fail(err error) {
	if tx.err == nil && err != nil {
		tx.err = err
	}
}

// get reads one row: own writes first, then the cache, then the snapshot.
func (tx *Tx) get(key []byte, sealed bool) ([]byte, error) {
	if tx.mode == ReadWrite {
		if w, ok := tx.writes.rows[string(key)]; ok {
			if !w.present {
				return nil, nil
			}
			return w.value, nil
		}
		if tx.dropped(key) {
			return nil, nil
		}
		tx.reads[string(key)] = struct{}{}
	}
	return tx.store.read(tx.snap, key, sealed)
}

func (tx *Tx) put(key []byte, value []byte, present, sealed bool) {
	if tx.mode != ReadWrite {
		tx.fail(ErrReadOnly)
		return
	}
	if present && value == nil {
		value = []byte{} // nil is a row that is absent
	}
	w := row{value: value, present: present, sealed: sealed}
	tx.writes.set(key, w)
	if tx.keep {
		tx.kept.set(key, w)
	}
}

func (tx *Tx) drop(s span) {
	if tx.mode != ReadWrite {
		tx.fail(ErrReadOnly)
		return
	}
	tx.writes.drop(s)
	if tx.keep {
		tx.kept.drop(s)
	}
}

func (b *buffer) set(key []byte, w row) {
	if b.rows == nil {
		b.rows = make(map[string]row, 16)
	}
	b.rows[string(key)] = w
	b.note(key)
}

// holds says whether a row was written or dropped.
func (b *buffer) holds(key []byte) bool {
	if _, ok := b.rows[string(key)]; ok {
		return true
	}
	for _, d := range b.drops {
		if d.holds(key) {
			return true
		}
	}
	return false
}

// note remembers the range of a key, or of the beginning of one.
func (b *buffer) note(key []byte) {
	if len(key) < 9 {
		return // a whole namespace: see wroteIn
	}
	if n := binary.BigEndian.Uint64(key[1:]); !slices.Contains(b.ranges, n) {
		b.ranges = append(b.ranges, n)
	}
}

func (b *buffer) drop(s span) {
	for k := range b.rows {
		if s.holds([]byte(k)) {
			delete(b.rows, k)
		}
	}
	b.drops = append(b.drops, s)
	b.note(s.from)
}

// dropped says whether the transaction has dropped the stretch of a row.
func (tx *Tx) dropped(key []byte) bool {
	for _, d := range tx.writes.drops {
		if d.holds(key) {
			return true
		}
	}
	return false
}

// scan merges own writes over the snapshot's rows of a stretch.
func (tx *Tx) scan(s span, f func(key, value []byte, own bool) bool) error {
	var mine []string
	if tx.mode == ReadWrite {
		for k := range tx.writes.rows {
			if s.holds([]byte(k)) {
				mine = append(mine, k)
			}
		}
		slices.Sort(mine)
	}
	i, more := 0, true
	give := func(k string) bool {
		if w := tx.writes.rows[k]; w.present {
			return f([]byte(k), w.value, true)
		}
		return true
	}
	err := tx.snap.rows.Scan(s.from, s.to, func(key, value []byte) bool {
		for ; i < len(mine) && mine[i] < string(key); i++ {
			if more = give(mine[i]); !more {
				return false
			}
		}
		if i < len(mine) && mine[i] == string(key) {
			return true // the own write is given in its turn
		}
		if tx.dropped(key) {
			return true
		}
		more = f(key, value, false)
		return more
	})
	if err != nil {
		return err
	}
	for ; more && i < len(mine); i++ {
		more = give(mine[i])
	}
	return nil
}

// Rows is one range within a transaction. Which methods make sense follows
// from the range's kind.
type Rows struct {
	tx *Tx
	r  Range
}

var (
	_ View   = Rows{}
	_ Writer = Rows{}
)

// Index is the index of the log that these rows show.
func (v Rows) Index() uint64 { return v.tx.Index() }

// Range is the range whose rows these are.
func (v Rows) Range() Range { return v.r }

func (v Rows) key(path string) ([]byte, error) {
	k := v.tx.keybuf[:0]
	switch v.r.Kind {
	case Ordered:
		k = append(v.r.append(k, tableOrdered), path...)
	case Bare:
		k = append(v.r.append(k, tableBare), path...)
	default:
		id, err := v.tx.store.sealer.Name(v.r, path)
		if err != nil {
			return nil, err
		}
		k = append(v.r.append(k, tableValue), id[:]...)
	}
	return k, nil
}

func (v Rows) sealed() bool { return v.r.Kind != Bare }

// Get returns the value at path, or nil.
func (v Rows) Get(path string) ([]byte, error) {
	k, err := v.key(path)
	if err != nil {
		return nil, err
	}
	return v.tx.get(k, v.sealed())
}

// Put sets the value at path.
func (v Rows) Put(path string, value []byte) {
	k, err := v.key(path)
	if err != nil {
		v.tx.fail(err)
		return
	}
	if v.r.Kind == Tree && path != "" {
		old, err := v.tx.get(k, true)
		if err != nil {
			v.tx.fail(fmt.Errorf("read before write: %w", err))
			return
		}
		key := slices.Clone(k)
		if old == nil {
			v.tx.fail(v.link(path, isLeaf))
		}
		k = key
	}
	v.tx.put(k, value, true, v.sealed())
}

// PutNew is Put for a path whose last name was drawn at random, so that nothing
// can be there: it does not look.
func (v Rows) PutNew(path string, value []byte) {
	k, err := v.key(path)
	if err != nil {
		v.tx.fail(err)
		return
	}
	v.tx.put(k, value, true, v.sealed())
	if v.r.Kind == Tree && path != "" {
		v.tx.fail(v.linkNew(path))
	}
}

// PutUnlisted sets the value at path without naming it in its folder.
func (v Rows) PutUnlisted(path string, value []byte) {
	k, err := v.key(path)
	if err != nil {
		v.tx.fail(err)
		return
	}
	v.tx.put(k, value, true, v.sealed())
}

// DeleteUnlisted removes what PutUnlisted set.
func (v Rows) DeleteUnlisted(path string) {
	k, err := v.key(path)
	if err != nil {
		v.tx.fail(err)
		return
	}
	v.tx.put(k, nil, false, v.sealed())
}

// Delete removes the value at path, and folders that it leaves empty.
func (v Rows) Delete(path string) {
	k, err := v.key(path)
	if err != nil {
		v.tx.fail(err)
		return
	}
	if v.r.Kind == Tree && path != "" {
		old, err := v.tx.get(k, true)
		if err != nil {
			v.tx.fail(fmt.Errorf("read before delete: %w", err))
			return
		}
		if old == nil {
			return
		}
		k = slices.Clone(k)
		defer func() { v.tx.fail(v.unlink(path, isLeaf)) }()
	}
	v.tx.put(k, nil, false, v.sealed())
}

// DeletePrefix deletes what lies below a folder, whose name ends in "/". The
// prefix "" empties the range, whatever its kind, in constant time.
func (v Rows) DeletePrefix(prefix string) {
	if prefix == "" {
		for _, table := range []byte{tableValue, tableChild, tableOrdered, tableBare} {
			v.tx.drop(v.whole(table))
		}
		return
	}
	if v.r.Kind != Tree || !strings.HasSuffix(prefix, "/") {
		v.tx.fail(fmt.Errorf("delete prefix %q of a range that has no folders", prefix))
		return
	}
	for name, err := range v.Children(strings.TrimSuffix(prefix, "/"), "") {
		if err != nil {
			v.tx.fail(err)
			return
		}
		if strings.HasSuffix(name, "/") {
			v.DeletePrefix(prefix + name)
		} else {
			v.Delete(prefix + name)
		}
	}
}

// DropNamespace deletes every row of a namespace in constant time. The root
// namespace cannot be dropped.
func (tx *Tx) DropNamespace(ns uint32) {
	if ns == 0 {
		tx.fail(errors.New("the root namespace cannot be dropped"))
		return
	}
	for _, table := range []byte{tableValue, tableChild, tableOrdered, tableBare} {
		from := binary.BigEndian.AppendUint32([]byte{table}, ns)
		tx.drop(span{from, after(from)})
	}
}

func (v Rows) whole(table byte) span {
	from := v.r.append(nil, table)
	return span{from, after(from)}
}

// after is the first key that does not start with prefix.
func after(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return []byte{0xff}
}

// Scan yields the rows of an Ordered range from the key from (inclusive) to
// the key to (exclusive; "" is the end), in order. Values must not be changed.
func (v Rows) Scan(from, to string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		base := v.r.append(nil, tableOrdered)
		s := span{from: append(slices.Clone(base), from...), to: after(base)}
		if to != "" {
			s.to = append(slices.Clone(base), to...)
		}
		stopped := false
		var last []byte
		err := v.tx.scan(s, func(key, value []byte, own bool) bool {
			if !own {
				var err error
				if value, err = v.tx.store.sealer.Open(nil, key, value); err != nil {
					stopped = true
					return yield(Row{}, fmt.Errorf("open row: %w", err))
				}
			}
			last = append(last[:0], key...)
			if !yield(Row{Key: slices.Clone(key[len(base):]), Value: value}, nil) {
				stopped = true
				return false
			}
			return true
		})
		if stopped {
			s.to = append(last, 0)
		}
		if v.tx.mode == ReadWrite {
			v.tx.spans = append(v.tx.spans, s)
		}
		if err != nil && !stopped {
			yield(Row{}, err)
		}
	}
}
