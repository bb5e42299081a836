package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
)

// Options say what a Store is made of.
type Options struct {
	State  State
	Log    Log
	Sealer Sealer
	// CacheBytes bounds the opened rows kept in memory; 0 is 32 MiB.
	CacheBytes int
	// Staged opens a stream of rows that an entry names, to replace all rows by.
	// Without it there is no [Store.Replace].
	Staged func(name string) (io.ReadCloser, error)
	// Followed is told of each row of [Core] that another node has written, before
	// anything written later can be seen; what it is given is only valid during
	// the call. It must not use the store.
	Followed func(path string, value []byte)
	// Logger gets what no caller can be told; nil discards it.
	Logger *slog.Logger
}

// A Store runs transactions. Its methods are safe for concurrent use.
type Store struct {
	state  State
	log    Log
	sealer Sealer
	logger *slog.Logger
	staged func(name string) (io.ReadCloser, error)
	cache  *rowCache
	node   uint64 // random per process: whose entries are ours

	followed func(path string, value []byte)

	index atomic.Uint64 // index of the last applied entry

	// mu guards the current snapshot; apply holds it while rows change.
	mu  sync.RWMutex
	cur *snapshot

	commits  commits
	touched  sync.Map // Range key (8 bytes as uint64) -> *atomic.Uint64, index of the last change
	watch    watchers
	replaced replacement
	retries  atomic.Uint64
	closed   chan struct{}
	stopping sync.Once
	done     sync.WaitGroup
}

// A snapshot is shared by all transactions that begin at one index.
type snapshot struct {
	rows  Snapshot
	index uint64
	seq   uint64 // our own transactions up to this one are in it
	refs  atomic.Int64
}

func (s *snapshot) release() {
	if s.refs.Add(-1) == 0 {
		_ = s.rows.Close()
	}
}

// Open starts the log, which brings the state up to date, and then takes
// transactions.
func Open(o Options) (*Store, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("draw node id: %w", err)
	}
	s := &Store{
		state: o.State, log: o.Log, sealer: o.Sealer, logger: o.Logger, staged: o.Staged,
		node: binary.BigEndian.Uint64(id[:]), followed: o.Followed, closed: make(chan struct{}),
	}
	s.cache = newRowCache(o.CacheBytes, &s.index)
	s.commits.init()
	s.watch.init()
	s.index.Store(o.State.Applied())
	if err := o.Log.Start(o.State.Applied(), Machine{Apply: s.apply, Replace: s.replace}); err != nil {
		return nil, fmt.Errorf("start log: %w", err)
	}
	s.done.Go(s.propose)
	return s, nil
}

// Close stops taking transactions and closes log and state.
func (s *Store) Close() error {
	var err error
	s.stopping.Do(func() {
		close(s.closed)
		s.done.Wait()
		s.commits.failAll(ErrClosed, s.renew)
		err = s.log.Close()
		s.renew()
		err = errors.Join(err, s.state.Close())
	})
	return err
}

// Index is the index of the last applied entry.
func (s *Store) Index() uint64 { return s.index.Load() }

// Retries counts how often a transaction ran again because of a conflict.
func (s *Store) Retries() uint64 { return s.retries.Load() }

// Leading says whether this node may write.
func (s *Store) Leading() bool { return s.log.Leads() != 0 }

// Leads is the term in which this node may write; 0 when it may not.
func (s *Store) Leads() uint64 { return s.log.Leads() }

// Fresh returns once this node shows all that was acknowledged, by whichever
// node, before the call. It waits for a leader, and for this node to have caught
// up, until ctx ends.
func (s *Store) Fresh(ctx context.Context) error {
	_, err := s.log.ReadIndex(ctx)
	return err
}

// Failed is closed when the log cannot go on; Err says why.
func (s *Store) Failed() <-chan struct{} { return s.log.Failed() }

// Err says why the log stopped.
func (s *Store) Err() error { return s.log.Err() }

// Forget drops every opened row from memory: the barrier was sealed.
func (s *Store) Forget() { s.cache.clear() }

// View runs f over a read-only transaction.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error {
	_, err := s.Do(ctx, ReadOnly, f)
	return err
}

// Update runs f over a transaction and commits what it wrote. When another
// transaction changed what f had read, f runs again from the start.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) (index uint64, err error) {
	return s.Do(ctx, ReadWrite, f)
}

// Do runs f in the given mode and commits. The index returned is that of the
// entry, or of the snapshot when nothing was written. An error of f is returned
// as it is, and only what was written under [Tx.Always] is kept.
func (s *Store) Do(ctx context.Context, mode Mode, f func(*Tx) error) (uint64, error) {
	for {
		index, err := s.once(ctx, mode, f)
		if errors.Is(err, ErrUpgrade) && mode == ReadOnly {
			mode = ReadWrite
			continue
		}
		if errors.Is(err, ErrReplaced) {
			continue // the next snapshot is of the rows that came
		}
		if errors.Is(err, ErrNotLeader) && s.log.Leads() != 0 {
			s.retries.Add(1) // it came between two leaderships of this node
			continue
		}
		if errors.Is(err, ErrReplaced) {
			continue
		}
		var c *conflict
		if !errors.As(err, &c) {
			return index, err
		}
		s.retries.Add(1)
		select {
		case <-c.with:
		case <-ctx.Done():
			return index, ctx.Err()
		case <-s.closed:
			return index, ErrClosed
		}
	}
}

func (s *Store) once(ctx context.Context, mode Mode, f func(*Tx) error) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if mode == ReadWrite && s.log.Leads() == 0 {
		return 0, s.notLeading()
	}
	snap, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer snap.release()
	both := &struct {
		Tx
		work
	}{work: work{ctx: ctx, store: s, snap: snap, mode: mode}}
	both.Tx.work = &both.work
	tx := &both.Tx
	if mode == ReadWrite {
		tx.reads = make(map[string]struct{}, 16)
	}
	ferr := f(tx)
	writes := &tx.writes
	if ferr != nil {
		writes = &tx.kept
	} else if tx.err != nil {
		return snap.index, tx.err
	}
	if len(writes.rows) == 0 && len(writes.drops) == 0 {
		return snap.index, ferr
	}
	if !s.room(writes) {
		return snap.index, ErrFull
	}
	index, err := s.commit(ctx, tx, writes)
	if err != nil {
		return snap.index, err
	}
	return index, ferr
}

// notLeading says why this node may not write.
func (s *Store) notLeading() error {
	select {
	case <-s.closed:
		return ErrClosed
	case <-s.log.Failed():
		return fmt.Errorf("the log has stopped: %w", s.log.Err())
	default:
	}
	if s.log.Full() {
		return ErrFull
	}
	return ErrNotLeader
}

// acquire takes a reference to the snapshot of the last applied entry.
func (s *Store) acquire() (*snapshot, error) {
	s.mu.RLock()
	if c := s.cur; c != nil {
		c.refs.Add(1)
		s.mu.RUnlock()
		return c, nil
	}
	s.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return nil, ErrClosed
	default:
	}
	if s.cur == nil {
		s.cur = &snapshot{rows: s.state.Snapshot(), index: s.index.Load(), seq: s.commits.appliedSeq()}
		s.cur.refs.Store(1) // the store's own
	}
	s.cur.refs.Add(1)
	return s.cur, nil
}

// renew has transactions begin with a snapshot of their own from now on.
func (s *Store) renew() {
	s.mu.Lock()
	old := s.cur
	s.cur = nil
	s.mu.Unlock()
	if old != nil {
		old.release()
	}
}

// read gets a row as of a snapshot, opened.
func (s *Store) read(snap *snapshot, key []byte, sealed bool) ([]byte, error) {
	r, err := s.readRow(snap, key, sealed)
	if err != nil {
		return nil, err
	}
	return r.value, nil
}

func (s *Store) readRow(snap *snapshot, key []byte, sealed bool) (*cachedRow, error) {
	if r := s.cache.get(key, snap.index); r != nil {
		return r, nil
	}
	value, err := snap.rows.Get(key)
	if err != nil {
		return nil, fmt.Errorf("read row: %w", err)
	}
	if value != nil && sealed {
		if value, err = s.sealer.Open(nil, key, value); err != nil {
			return nil, fmt.Errorf("open row: %w", err)
		}
		if value == nil {
			value = []byte{}
		}
	}
	r := s.cache.put(key, value, snap.index)
	if sealed && s.sealer.Sealed() {
		s.cache.drop(key) // the barrier was sealed meanwhile, and the cache forgotten
	}
	return r, nil
}

// apply makes one entry of the log visible. The log calls it in order.
func (s *Store) apply(index uint64, entry []byte) error {
	head, ops, err := decodeEntry(entry)
	if err != nil {
		return err
	}
	if len(ops) == 1 && ops[0].Kind == OpReplace {
		return s.replaceAll(index, head, string(ops[0].Key))
	}
	s.mu.Lock()
	if err := s.state.Apply(index, ops); err != nil {
		s.mu.Unlock()
		return fmt.Errorf("apply entry %d: %w", index, err)
	}
	s.index.Store(index)
	for i := range ops {
		s.forget(&ops[i], index)
	}
	var own *group
	if head.node == s.node {
		own = s.commits.advance(head.first, head.last)
	} else {
		s.commits.foreign()
		s.follow(ops)
	}
	if own != nil {
		s.remember(own, index)
	}
	old := s.cur
	s.cur = nil
	s.mu.Unlock()
	if old != nil {
		old.release()
	}
	if own != nil {
		own.index = index
		close(own.done)
	}
	s.watch.notify()
	return nil
}

// replace has put replace all rows, by those of the entry of an index.
func (s *Store) replace(index uint64, put func() error) error {
	return s.replaceRows(index, put, true, func() { s.replaced.at.Store(index) })
}

// replaceRows is replace, and calls done before anybody sees the new rows. Whoever
// has them replaced sees to Core itself; others, if follow says so, are told.
func (s *Store) replaceRows(index uint64, put func() error, follow bool, done func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur != nil {
		s.cur.release()
		s.cur = nil
	}
	if err := put(); err != nil {
		return fmt.Errorf("replace the rows by those of entry %d: %w", index, err)
	}
	s.index.Store(index)
	s.cache.clear()
	s.touched.Range(func(_, last any) bool { last.(*atomic.Uint64).Store(index); return true })
	s.commits.foreign()
	done()
	if follow {
		if err := s.followAll(); err != nil {
			return err
		}
	}
	s.watch.notify()
	return nil
}

// remember keeps what a group of ours wrote, which is what is read next.
func (s *Store) remember(g *group, index uint64) {
	if !g.drops { // else an earlier row of the group may have been dropped
		for _, rows := range g.fresh {
			for _, r := range rows {
				if c := s.cache.put([]byte(r.key), r.value, index); r.from != nil {
					c.decoded.Store(r.from)
				}
			}
		}
	}
	g.fresh = nil
	if s.sealer.Sealed() {
		s.cache.clear() // the barrier was sealed meanwhile, and the cache forgotten
	}
}

// core is what the keys of bare rows begin with.
var core = Core.append(nil, tableBare)

// follow shows who asked what another node changed among the bare rows.
func (s *Store) follow(ops []Op) {
	if s.followed == nil {
		return
	}
	for i := range ops {
		if op := &ops[i]; op.Kind == OpPut && bytes.HasPrefix(op.Key, core) {
			s.followed(string(op.Key[len(core):]), op.Value)
		}
	}
}

// followAll shows all bare rows of the root namespace, since any may have changed.
func (s *Store) followAll() error {
	if s.followed == nil {
		return nil
	}
	rows := s.state.Snapshot()
	err := rows.Scan(core, Range{ID: Core.ID + 1}.append(nil, tableBare), func(key, value []byte) bool {
		s.followed(string(key[len(core):]), value)
		return true
	})
	return errors.Join(err, rows.Close())
}

// forget takes what an op changed out of the caches.
func (s *Store) forget(op *Op, index uint64) {
	if op.Kind == OpDeleteRange {
		s.cache.clear()
	} else {
		s.cache.drop(op.Key)
	}
	if len(op.Key) >= 9 {
		s.touch(binary.BigEndian.Uint64(op.Key[1:])).Store(index)
		return
	}
	// A whole namespace went: all its ranges changed.
	ns := binary.BigEndian.Uint32(op.Key[1:])
	s.touched.Range(func(number, last any) bool {
		if uint32(number.(uint64)>>32) == ns {
			last.(*atomic.Uint64).Store(index)
		}
		return true
	})
}

func (r Range) number() uint64 { return uint64(r.NS)<<32 | uint64(r.ID) }

func (s *Store) touch(number uint64) *atomic.Uint64 {
	if t, ok := s.touched.Load(number); ok {
		return t.(*atomic.Uint64)
	}
	t, _ := s.touched.LoadOrStore(number, new(atomic.Uint64))
	return t.(*atomic.Uint64)
}

// watchers wake those who wait for the index to move.
type watchers struct {
	mu sync.Mutex
	ch chan struct{}
}

func (w *watchers) init() { w.ch = make(chan struct{}) }

func (w *watchers) notify() {
	w.mu.Lock()
	close(w.ch)
	w.ch = make(chan struct{})
	w.mu.Unlock()
}

func (w *watchers) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ch
}

// Changed returns a channel that is closed when the next entry is applied.
func (s *Store) Changed() <-chan struct{} { return s.watch.next() }

// LastChange is the index of the last entry that changed a range of the root
// namespace, as far as this process has seen; 0 is none.
func (s *Store) LastChange(r Range) uint64 {
	return max(s.touch(r.number()).Load(), s.replaced.at.Load())
}

// Wait returns once the given index is applied.
func (s *Store) Wait(ctx context.Context, index uint64) error {
	for {
		ch := s.Changed()
		if s.Index() >= index {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return ErrClosed
		}
	}
}
