package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A conflict says that something a transaction read was changed by another
// one; with is closed when that one is applied or has failed.
type conflict struct{ with <-chan struct{} }

func (*conflict) Error() string { return "conflict with a concurrent transaction" }

// A group is the transactions of one entry.
type group struct {
	first, last uint64
	term        uint64       // of the leadership in which it was checked for conflicts
	ops         [][]byte     // of each
	size        int          // of ops together
	fresh       [][]freshRow // what they leave behind, for the cache
	drops       bool         // it drops stretches
	done        chan struct{}
	index       uint64
	err         error
}

// commits orders transactions: checking for conflicts and taking a place in the
// order happen under one lock, so whatever a transaction was checked against is
// before it in the log.
type commits struct {
	mu      sync.Mutex
	seq     uint64 // last transaction that was given a place
	applied uint64 // last own transaction that is visible
	floor   uint64 // what happened up to here is forgotten: older snapshots conflict
	open    *group // takes transactions until the proposer collects it
	flying  map[uint64]*group
	keys    map[string]uint64 // row key -> last transaction that wrote it
	ranges  map[uint64]uint64 // range -> last transaction that wrote in it
	recent  []write           // in order of seq
	held    int               // keys in recent
	wake    chan struct{}
	paused  error // why nothing is given a place for now
	stopped error
}

// A write is what one transaction changed.
type write struct {
	seq   uint64
	group *group
	keys  []string
	drops []span
}

// A freshRow is a row as its transaction left it, opened.
type freshRow struct {
	key   string
	value []byte // nil: the row is absent
	from  any    // what value is the encoding of, if readers may share it
}

// remembered is how many transactions back conflicts are looked for; a
// transaction that began earlier runs again.
const remembered = 8192

// rememberedKeys is how many rows these may have written altogether.
const rememberedKeys = 128 << 10

// maxEntry bounds the bytes of one transaction, and of a group, in the log.
const (
	maxEntry = 64 << 20
	maxGroup = 4 << 20
)

// ErrTooLarge says that a transaction does not fit in one entry of the log.
var ErrTooLarge = errors.New("too much is written in one request")

func (c *commits) init() {
	c.flying = make(map[uint64]*group)
	c.keys = make(map[string]uint64)
	c.ranges = make(map[uint64]uint64)
	c.wake = make(chan struct{}, 1)
}

func (c *commits) appliedSeq() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applied
}

// advance notes that the group that begins at first is visible, and returns it
// to be completed; nil when nobody waits for it any longer.
func (c *commits) advance(first, last uint64) *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.flying[first]
	delete(c.flying, first)
	if g == nil {
		c.forgetPast() // it was given up, and came after all
	}
	c.applied = max(c.applied, last)
	c.settle()
	return g
}

// foreign notes that another node's entry was applied: what it wrote is not in
// our tables.
func (c *commits) foreign() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetPast()
	c.settle()
}

// forgetPast lets nothing commit that began before now: the tables do not say
// any longer what such a transaction missed.
func (c *commits) forgetPast() {
	c.seq++
	c.floor = c.seq
}

// settle notes that all transactions so far are visible or have failed, once
// none is on its way.
func (c *commits) settle() {
	if len(c.flying) == 0 && c.open == nil {
		c.applied = c.seq
	}
}

// fail gives up a group that will not be applied (or of which that is not
// known). What it wrote stands in the tables over what was written before, so
// whatever began earlier runs again. renew lets snapshots begin anew.
func (c *commits) fail(g *group, err error, renew func()) {
	c.mu.Lock()
	if c.flying[g.first] != g {
		c.mu.Unlock() // it was applied in the meantime
		return
	}
	delete(c.flying, g.first)
	c.forgetPast()
	c.settle()
	c.mu.Unlock()
	renew()
	g.err = err
	close(g.done)
}

func (c *commits) failAll(err error, renew func()) {
	c.mu.Lock()
	c.stopped = err
	if c.open != nil {
		c.flying[c.open.first] = c.open
		c.open = nil
	}
	all := slices.Collect(maps.Values(c.flying))
	c.mu.Unlock()
	for _, g := range all {
		c.fail(g, err, renew)
	}
}

// commit seals what a transaction wrote, gives it its place and waits until it
// is applied. Who stops waiting does not know what became of it.
func (s *Store) commit(ctx context.Context, tx *Tx, b *buffer) (uint64, error) {
	ops, w, fresh, err := s.encode(b)
	if err != nil {
		return 0, err
	}
	g, err := s.place(tx, w, ops, fresh)
	if err != nil {
		return 0, err
	}
	select {
	case <-g.done:
		return g.index, g.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// encode turns buffered writes into ops of the log, in ciphertext.
func (s *Store) encode(b *buffer) (ops []byte, w write, fresh []freshRow, err error) {
	var sealed []byte
	w = write{keys: make([]string, 0, len(b.rows)), drops: b.drops}
	fresh = make([]freshRow, 0, len(b.rows))
	size := 64
	for k, r := range b.rows {
		size += len(k) + len(r.value) + 64
	}
	ops = make([]byte, 0, size)
	for _, d := range b.drops {
		ops = appendOp(ops, Op{Kind: OpDeleteRange, Key: d.from, Value: d.to})
	}
	for k := range b.rows {
		w.keys = append(w.keys, k)
	}
	slices.Sort(w.keys)
	for _, k := range w.keys {
		r := b.rows[k]
		op := Op{Kind: OpDelete, Key: []byte(k)}
		if r.present {
			op.Kind, op.Value = OpPut, r.value
			if r.sealed {
				if sealed, err = s.sealer.Seal(sealed[:0], op.Key, r.value); err != nil {
					return nil, w, nil, fmt.Errorf("seal row: %w", err)
				}
				op.Value = sealed
			}
		}
		ops = appendOp(ops, op)
		if r.sealed && len(r.value) <= maxFreshRow {
			fresh = append(fresh, freshRow{k, bytes.Clone(r.value), r.decoded})
		}
	}
	if len(ops) > maxEntry {
		return nil, w, nil, ErrTooLarge
	}
	return ops, w, fresh, nil
}

// maxFreshRow bounds the rows that are kept in the cache as they are written.
const maxFreshRow = 4 << 10

// place checks a transaction against everything before it and appends it. The
// check is good for the leadership that it is made in: by then all that came
// before is applied, and what others propose later will never be.
func (s *Store) place(tx *Tx, w write, ops []byte, fresh []freshRow) (*group, error) {
	c := &s.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped != nil {
		return nil, c.stopped
	}
	if c.paused != nil {
		return nil, c.paused
	}
	term := s.log.Leads()
	if term == 0 {
		return nil, s.notLeading()
	}
	if with := c.conflict(tx); with != nil {
		return nil, &conflict{with}
	}
	c.seq++
	if c.open == nil {
		c.open = &group{first: c.seq, term: term, done: make(chan struct{})}
	}
	g := c.open
	g.last = c.seq
	g.ops, g.fresh = append(g.ops, ops), append(g.fresh, fresh)
	g.size += len(ops)
	g.drops = g.drops || len(w.drops) > 0
	w.seq, w.group = c.seq, g
	for _, k := range w.keys {
		c.keys[k] = c.seq
		c.ranges[binary.BigEndian.Uint64([]byte(k[1:9]))] = c.seq
	}
	for _, d := range w.drops {
		if len(d.from) >= 9 {
			c.ranges[binary.BigEndian.Uint64(d.from[1:])] = c.seq
			continue
		}
		for r := range c.ranges { // a whole namespace
			if uint32(r>>32) == binary.BigEndian.Uint32(d.from[1:]) {
				c.ranges[r] = c.seq
			}
		}
	}
	c.recent = append(c.recent, w)
	c.held += len(w.keys)
	c.forget()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return g, nil
}

// forget bounds the memory of past writes: of the oldest half of them when there
// are too many, or when they wrote too many rows.
func (c *commits) forget() {
	if len(c.recent) <= remembered && c.held <= rememberedKeys {
		return
	}
	n := 0
	for n < len(c.recent)-1 && (len(c.recent)-n > remembered/2 || c.held > rememberedKeys/2) {
		w := &c.recent[n]
		for _, k := range w.keys {
			if c.keys[k] == w.seq {
				delete(c.keys, k)
			}
		}
		c.held -= len(w.keys)
		c.floor = w.seq
		n++
	}
	c.recent = slices.Clone(c.recent[n:])
}

var nothingToWaitFor = func() chan struct{} { ch := make(chan struct{}); close(ch); return ch }()

// conflict returns a channel to wait on when a later write than the
// transaction's snapshot touched what it read, else nil.
func (c *commits) conflict(tx *Tx) <-chan struct{} {
	since := tx.snap.seq
	if since < c.floor {
		return c.anyOnItsWay()
	}
	if since == c.seq {
		return nil
	}
	for k := range tx.reads {
		if seq := c.keys[k]; seq > since {
			return c.waitFor(seq)
		}
	}
	for _, r := range tx.ranges {
		if seq := c.ranges[r.number()]; seq > since {
			return c.waitFor(seq)
		}
	}
	for i := len(c.recent) - 1; i >= 0 && c.recent[i].seq > since; i-- {
		if c.recent[i].touches(tx) {
			return c.recent[i].group.done
		}
	}
	return nil
}

// anyOnItsWay is closed when a transaction that is not decided yet is.
func (c *commits) anyOnItsWay() <-chan struct{} {
	for _, g := range c.flying {
		return g.done
	}
	if c.open != nil {
		return c.open.done
	}
	return nothingToWaitFor
}

func (c *commits) waitFor(seq uint64) <-chan struct{} {
	i, ok := slices.BinarySearchFunc(c.recent, seq, func(w write, seq uint64) int {
		switch {
		case w.seq < seq:
			return -1
		case w.seq > seq:
			return 1
		}
		return 0
	})
	if !ok {
		return nothingToWaitFor
	}
	return c.recent[i].group.done
}

// touches says whether the write changed a stretch that tx read, or dropped
// one that holds a row it read.
func (w *write) touches(tx *Tx) bool {
	for _, s := range tx.spans {
		i, ok := slices.BinarySearch(w.keys, string(s.from))
		if ok || i < len(w.keys) && w.keys[i] < string(s.to) {
			return true
		}
		for _, d := range w.drops {
			if s.overlaps(d) {
				return true
			}
		}
	}
	for _, d := range w.drops {
		for k := range tx.reads {
			if d.holds([]byte(k)) {
				return true
			}
		}
	}
	return false
}

// inFlight is how many entries may be on their way to the disk: one is being
// made durable while the next collects transactions.
const inFlight = 2

// propose hands groups to the log, one after the other.
func (s *Store) propose() {
	slots := make(chan struct{}, inFlight)
	for {
		select {
		case <-s.closed:
			return
		case <-s.log.Failed():
			s.commits.failAll(fmt.Errorf("the log has stopped: %w", s.log.Err()), s.renew)
			return
		case <-s.commits.wake:
		}
		select {
		case slots <- struct{}{}:
		case <-s.closed:
			return
		case <-s.log.Failed():
			s.commits.failAll(fmt.Errorf("the log has stopped: %w", s.log.Err()), s.renew)
			return
		}
		g := s.commits.collect()
		if g == nil {
			<-slots
			continue
		}
		entry := appendHead(make([]byte, 0, g.size+32), entryHead{s.node, g.first, g.last})
		for _, ops := range g.ops {
			entry = append(entry, ops...)
		}
		g.ops = nil
		fate, err := s.log.Propose(context.Background(), g.term, entry)
		if err != nil {
			<-slots
			s.commits.fail(g, err, s.renew)
			continue
		}
		go func() {
			select {
			case <-g.done:
			case <-fate.Decided():
				s.commits.fail(g, fate.Err(), s.renew)
			}
			<-slots
		}()
	}
}

// collect closes the open group and returns it.
func (c *commits) collect() *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.open
	c.open = nil
	if g != nil {
		c.flying[g.first] = g
	}
	return g
}
