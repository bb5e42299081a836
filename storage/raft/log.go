// Package raft orders entries by consensus and keeps them on disk: the log that
// everything else is derived from.
//
// The consensus is go.etcd.io/raft/v3, a state machine without clock, goroutine
// or disk. This package owns what that leaves out: the loop that drives it, the
// journal (etcd's WAL package behind a small interface) and its compaction. It
// promises that an entry is applied after it is durable, once, and in order;
// that a save which was not finished is cut off and anything else that is not as
// it was written is reported, by file and byte, and never guessed at; that a
// node without space refuses entries until there is some, and one whose disk
// failed stops rather than acknowledges; and that it never takes up the log of
// another node.
//
// It serves one voter. Transport and membership come with the second node.
package raft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	etcdraft "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/fastness-dev/fastness/storage"
)

// Options say where the log is and how it behaves.
type Options struct {
	Dir string // of the log; made when absent, with mode 0700
	// NodeID is this node's name. It is kept with the log, and a log of another
	// name is refused; "" takes the name that is there, or draws one.
	NodeID string
	// Bind is told the log's own id before anything is applied, and refuses when
	// the state machine belongs to another log.
	Bind   func(id string) error
	Logger *slog.Logger
	// Flush makes the state machine durable and says up to which index. The
	// journal is cut behind it.
	Flush func() (uint64, error)
	// CompactBytes is how many bytes of entries are kept before the journal
	// is cut; 0 is 32 MiB.
	CompactBytes int64
	// FreeSpace says how many bytes are free for the journal; nil asks the
	// file system. Below MinFree (0 is 160 MiB: two of its files and what is
	// in flight) proposals are refused.
	FreeSpace func() (uint64, error)
	MinFree   uint64

	// wrap stands between the driver and its journal; for tests.
	wrap func(journal) journal
}

// self is the raft id of the only voter.
const self = 1

// A Log is one voter's log on disk.
type Log struct {
	o       Options
	lock    *os.File
	journal journal // nil while there is no space to open it
	store   *etcdraft.MemoryStorage
	node    *etcdraft.RawNode
	apply   func(uint64, []byte) error
	conf    *raftpb.ConfState
	props   chan proposal
	flushed chan uint64
	stop    chan struct{}
	done    sync.WaitGroup
	closing sync.Once
	failed  chan struct{}
	err     atomic.Pointer[error]
	lost    atomic.Pointer[chan struct{}]
	full    atomic.Bool
	leading atomic.Bool
	nodeID  atomic.Pointer[string]
	term    atomic.Uint64
	applied atomic.Uint64
	commit  atomic.Uint64
	last    atomic.Uint64

	size     int64 // bytes of entries since the last cut
	flushing bool
}

var _ storage.Log = (*Log)(nil)

type proposal struct {
	data   []byte
	result chan error
}

// Open prepares the log. The journal is read by Start.
func Open(o Options) (*Log, error) {
	if o.CompactBytes == 0 {
		o.CompactBytes = 32 << 20
	}
	if o.MinFree == 0 {
		o.MinFree = 160 << 20
	}
	if o.FreeSpace == nil {
		o.FreeSpace = func() (uint64, error) { return freeSpace(o.Dir) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dir == "" {
		return nil, errors.New("the log needs a directory")
	}
	l := &Log{o: o, props: make(chan proposal), flushed: make(chan uint64, 1), stop: make(chan struct{}), failed: make(chan struct{})}
	l.lost.Store(new(make(chan struct{})))
	l.nodeID.Store(&o.NodeID)
	return l, nil
}

// Start reads the journal, applies what the state machine lacks, and leads.
func (l *Log) Start(applied uint64, apply func(uint64, []byte) error) (err error) {
	if l.lock, err = lockDir(l.o.Dir); err != nil {
		return err
	}
	l.apply = apply
	l.applied.Store(applied)
	if err := l.lead(false); err != nil {
		err = errors.Join(err, l.lock.Close())
		l.lock = nil
		return err
	}
	l.done.Go(l.run)
	return nil
}

// lead opens the journal and brings the node to where it may propose: all that
// was committed is applied. When it fails, the journal is closed.
func (l *Log) lead(again bool) error {
	applied := l.applied.Load()
	j, r, err := journalPlace{l.o.Dir, l.o.NodeID, self, applied, again, l.o.Logger}.open()
	if err != nil {
		return err
	}
	if l.o.wrap != nil {
		j = l.o.wrap(j)
	}
	l.journal, l.conf = j, r.mark.GetConfState()
	l.nodeID.Store(&r.identity.Node)
	if err := l.elect(r, applied); err != nil {
		l.journal = nil
		return errors.Join(err, j.Close())
	}
	return nil
}

func (l *Log) elect(r *recovered, applied uint64) error {
	if l.o.Bind != nil {
		if err := l.o.Bind(r.identity.Log); err != nil {
			return err
		}
	}
	if err := l.recover(r, applied); err != nil {
		return err
	}
	if err := l.node.Campaign(); err != nil {
		return fmt.Errorf("campaign: %w", err)
	}
	// One voter wins at once; the first entry of its term is applied after
	// everything that was committed before.
	for i := 0; !l.leading.Load() || l.applied.Load() < l.commit.Load() || l.node.HasReady(); i++ {
		if !l.node.HasReady() {
			if i > 10*electionTicks {
				return errors.New("the log found no leader: it names other voters")
			}
			l.node.Tick()
			continue
		}
		if err := l.ready(); err != nil {
			return err
		}
	}
	return nil
}

const (
	tick           = 100 * time.Millisecond
	electionTicks  = 10
	heartbeatTicks = 1
)

// recover builds the raft node from what the journal held.
func (l *Log) recover(r *recovered, applied uint64) error {
	l.store = etcdraft.NewMemoryStorage()
	snap := &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: r.mark.Index, Term: r.mark.Term, ConfState: l.conf}}
	if err := l.store.ApplySnapshot(snap); err != nil {
		return fmt.Errorf("recover log: %w", err)
	}
	if err := l.store.SetHardState(r.hard); err != nil {
		return fmt.Errorf("recover log: %w", err)
	}
	if err := l.store.Append(r.entries); err != nil {
		return fmt.Errorf("recover log: %w", err)
	}
	start := max(applied, r.mark.GetIndex())
	l.applied.Store(start)
	l.leading.Store(false)
	l.last.Store(start)
	if n := len(r.entries); n > 0 {
		l.last.Store(r.entries[n-1].GetIndex())
	}
	var err error
	l.node, err = etcdraft.NewRawNode(&etcdraft.Config{
		ID: self, ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks, Storage: l.store, Applied: start,
		MaxSizePerMsg: 1 << 20, MaxCommittedSizePerReady: 16 << 20, MaxInflightMsgs: 256, MaxUncommittedEntriesSize: math.MaxUint64,
		PreVote: true, CheckQuorum: true, DisableProposalForwarding: true, Logger: quiet{l.o.Logger},
	})
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	return nil
}

// run drives the node until Close or a failure. Without space it waits.
func (l *Log) run() {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		err := l.drive(t.C)
		if errors.Is(err, storage.ErrFull) {
			err = l.wait(t.C, err)
		}
		switch {
		case errors.Is(err, errStopped):
			return
		case err != nil:
			l.fail(err)
			return
		}
	}
}

var errStopped = errors.New("the log was closed")

func (l *Log) drive(ticks <-chan time.Time) error {
	for {
		select {
		case <-l.stop:
			return errStopped
		case <-ticks:
			l.node.Tick()
		case p := <-l.props:
			l.take(p)
		case index := <-l.flushed:
			l.flushing = false
			if err := l.cut(index); err != nil {
				return err
			}
		}
		for l.node.HasReady() {
			if err := l.ready(); err != nil {
				return err
			}
		}
	}
}

// maxBatch is how many proposals share one write to disk at most.
const maxBatch = 256

// take proposes an entry and all that wait behind it, so that they share the
// next write to disk.
func (l *Log) take(p proposal) {
	for n := 1; ; n++ {
		err := l.node.Propose(p.data)
		if errors.Is(err, etcdraft.ErrProposalDropped) {
			err = storage.ErrNotLeader
		}
		p.result <- err
		if n == maxBatch {
			return
		}
		select {
		case p = <-l.props:
		default:
			return
		}
	}
}

// ready makes durable what raft has to be kept and applies what is committed.
func (l *Log) ready() error {
	rd := l.node.Ready()
	if rd.SoftState != nil {
		l.leading.Store(rd.RaftState == etcdraft.StateLeader)
	}
	if rd.HardState != nil || len(rd.Entries) > 0 {
		if err := l.save(rd); err != nil {
			return err
		}
	}
	for _, e := range rd.CommittedEntries {
		if err := l.applyOne(e); err != nil {
			return err
		}
	}
	l.node.Advance(rd)
	l.compact()
	return nil
}

func (l *Log) save(rd etcdraft.Ready) error {
	hard := rd.HardState
	if hard == nil {
		hard = &raftpb.HardState{}
	}
	if err := l.journal.Save(hard, rd.Entries); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	if rd.HardState != nil {
		if err := l.store.SetHardState(rd.HardState); err != nil {
			return err
		}
		l.term.Store(hard.GetTerm())
		l.commit.Store(hard.GetCommit())
	}
	if n := len(rd.Entries); n > 0 {
		for _, e := range rd.Entries {
			l.size += int64(len(e.GetData())) + 64
		}
		l.last.Store(rd.Entries[n-1].GetIndex())
		return l.store.Append(rd.Entries)
	}
	return nil
}

func (l *Log) applyOne(e *raftpb.Entry) error {
	switch e.GetType() {
	case raftpb.EntryNormal:
		if len(e.GetData()) > 0 {
			if err := l.apply(e.GetIndex(), e.GetData()); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%w: entry %d changes the membership, which one voter never does", storage.ErrCorrupt, e.GetIndex())
	}
	l.applied.Store(e.GetIndex())
	return nil
}

// compact has the state machine flushed once enough was written; the journal
// is cut when that is done.
func (l *Log) compact() {
	if l.size < l.o.CompactBytes || l.flushing || l.o.Flush == nil {
		return
	}
	l.size, l.flushing = 0, true
	l.done.Go(func() {
		index, err := l.o.Flush()
		if err != nil {
			l.o.Logger.Error("flush the state before cutting the log", "error", err)
			index = 0
		}
		select {
		case l.flushed <- index:
		case <-l.stop:
		}
	})
}

func (l *Log) cut(index uint64) error {
	first, err := l.store.FirstIndex()
	if err != nil {
		return err
	}
	if index < first {
		return nil
	}
	term, err := l.store.Term(index)
	if err != nil {
		return fmt.Errorf("cut the log: %w", err)
	}
	if err := l.journal.Cut(&walpb.Snapshot{Index: new(index), Term: new(term), ConfState: l.conf}); err != nil {
		return err
	}
	if _, err := l.store.CreateSnapshot(index, l.conf, nil); err != nil {
		return fmt.Errorf("cut the log: %w", err)
	}
	return l.store.Compact(index)
}

func (l *Log) fail(err error) {
	l.leading.Store(false)
	l.full.Store(false)
	l.o.Logger.Error("the log has stopped", "error", err)
	l.err.Store(&err)
	close(l.failed)
}

// Propose hands an entry to the log.
func (l *Log) Propose(ctx context.Context, entry []byte) error {
	if l.full.Load() || !l.room() {
		return storage.ErrFull
	}
	p := proposal{entry, make(chan error, 1)}
	select {
	case l.props <- p:
	case <-l.failed:
		return l.Err()
	case <-l.stop:
		return storage.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-p.result
}

// Leading says whether this node is the one that proposes. A full disk does not
// change that.
func (l *Log) Leading() bool { return l.leading.Load() || l.full.Load() }

// Term is the number of the current leadership.
func (l *Log) Term() uint64 { return l.term.Load() }

// Failed is closed when the log cannot go on.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Err says why the log stopped, or nil.
func (l *Log) Err() error {
	if p := l.err.Load(); p != nil {
		return *p
	}
	return nil
}

// Close stops the loop and closes the journal.
func (l *Log) Close() (err error) {
	l.closing.Do(func() {
		close(l.stop)
		l.done.Wait()
		l.leading.Store(false)
		if l.journal != nil {
			err = l.journal.Close()
		}
		if l.lock != nil {
			err = errors.Join(err, l.lock.Close())
		}
	})
	return err
}

// A Status says how the log stands.
type Status struct {
	NodeID                     string
	Leader                     bool
	Term                       uint64
	Commit, Applied, LastIndex uint64
}

// Status says how the log stands.
func (l *Log) Status() Status {
	return Status{*l.nodeID.Load(), l.Leading(), l.Term(), l.commit.Load(), l.applied.Load(), l.last.Load()}
}
