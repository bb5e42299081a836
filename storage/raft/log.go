// Package raft orders entries by consensus and keeps them on disk: the log that
// everything else is derived from.
//
// The consensus is go.etcd.io/raft/v3, a state machine without clock, goroutine
// or disk. This package owns what that leaves out: the loop that drives it, the
// journal (etcd's WAL package behind a small interface) and its compaction,
// membership, and the transfer of all rows to a node that is too far behind. It
// promises that an entry is applied after it is durable on a majority, once, and
// in order; that a save which was not finished is cut off and anything else that
// is not as it was written is reported, by file and byte, and never guessed at;
// that a node without space refuses entries until there is some, and one whose
// disk failed stops rather than acknowledges; and that it never takes up the log
// of another node.
//
// Members are numbers here. Where they are, and who may speak for them, is the
// business of the [Transport].
package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
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

	// Transport carries messages to other members; nil is for a log that never
	// has any.
	Transport Transport
	// Rows gives the state machine's rows as they are now, for a member that
	// is too far behind.
	Rows func() (Rows, error)
	// Stage takes the rows that another member has sent.
	Stage func(r io.Reader) (Staged, error)
	// Rebind ties rows, of which there are none yet, to the log of another id.
	Rebind func(id string) error
	// Tick is the time between two heartbeats of a leader; 0 is 40 ms. A member
	// that hears nothing for 10 to 20 of them stands for election.
	Tick time.Duration
	// Ticks replaces the clock; for tests.
	Ticks <-chan time.Time

	// wrap stands between the driver and its journal; for tests.
	wrap func(journal) journal
}

// Rows is what a state machine holds, as one entry left it.
type Rows struct {
	Index uint64 // of that entry
	Write func(io.Writer) error
	Close func() error
}

// Staged is rows that are complete, and not in place.
type Staged interface {
	Index() uint64 // of the last entry that changed them
	// Put makes them the state machine's, as of an entry, durably and at once.
	Put(index uint64) error
	Discard() error
}

// A Log is one member's log on disk.
type Log struct {
	o       Options
	lock    *os.File
	journal journal // nil while there is no space to open it
	store   *entries
	node    *etcdraft.RawNode
	machine storage.Machine
	me      atomic.Pointer[identity]

	props   chan proposal
	inbox   chan *raftpb.Message
	calls   chan func()
	flushed chan uint64
	stop    chan struct{}
	done    sync.WaitGroup
	closing sync.Once
	failed  chan struct{}
	err     atomic.Pointer[error]
	full    atomic.Bool

	standing
	members
	reads
	transfer

	size     int64 // bytes of entries since the last cut
	flushing bool
}

var _ storage.Log = (*Log)(nil)

type proposal struct {
	term   uint64
	data   []byte
	result chan proposed
}

type proposed struct {
	fate *storage.Fate
	err  error
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
	if o.Tick == 0 {
		o.Tick = 40 * time.Millisecond
	}
	if o.Dir == "" {
		return nil, errors.New("the log needs a directory")
	}
	l := &Log{o: o, props: make(chan proposal), inbox: make(chan *raftpb.Message, 256), calls: make(chan func()),
		flushed: make(chan uint64, 1), stop: make(chan struct{}), failed: make(chan struct{})}
	l.me.Store(&identity{Node: o.NodeID})
	l.standing.init()
	l.reads.init()
	return l, nil
}

// Start reads the journal and applies what the state machine lacks. The only
// voter leads when it returns.
func (l *Log) Start(applied uint64, m storage.Machine) (err error) {
	if l.lock, err = lockDir(l.o.Dir); err != nil {
		return err
	}
	l.machine = m
	l.applied.Store(applied)
	if err := l.begin(false); err != nil {
		err = errors.Join(err, l.lock.Close())
		l.lock = nil
		return err
	}
	l.done.Go(l.run)
	return nil
}

// begin opens the journal and brings the node to where all that it knows to be
// committed is applied. When it fails, the journal is closed.
func (l *Log) begin(again bool) error {
	applied := l.applied.Load()
	j, r, err := journalPlace{dir: l.o.Dir, node: l.o.NodeID, applied: applied, again: again, logger: l.o.Logger}.open()
	if err != nil {
		return err
	}
	if l.o.wrap != nil {
		j = l.o.wrap(j)
	}
	l.journal = j
	l.me.Store(&r.identity)
	if err := guardRaft(func() error { return l.catchUp(r, applied) }); err != nil {
		l.journal = nil
		return errors.Join(err, j.Close())
	}
	return nil
}

func (l *Log) catchUp(r *recovered, applied uint64) error {
	if l.o.Bind != nil {
		if err := l.o.Bind(r.identity.Log); err != nil {
			return err
		}
	}
	if err := l.recover(r, applied); err != nil {
		return err
	}
	for l.node.HasReady() {
		if err := l.ready(); err != nil {
			return err
		}
	}
	if !l.alone() {
		return nil
	}
	if err := l.node.Campaign(); err != nil {
		return fmt.Errorf("campaign: %w", err)
	}
	// One voter wins at once; the first entry of its term is applied after
	// everything that was committed before.
	for i := 0; l.leads.Load() == 0; i++ {
		switch {
		case i > 1e6:
			return errors.New("the only voter of the log was not elected")
		case !l.node.HasReady():
			l.node.Tick()
		default:
			if err := l.ready(); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	electionTicks  = 10
	heartbeatTicks = 1
)

// recover builds the raft node from what the journal held. Raft is given again
// whatever was committed after the mark, for the changes of membership in it.
func (l *Log) recover(r *recovered, applied uint64) error {
	l.store = l.newEntries()
	l.conf(r.mark.GetIndex(), r.mark.ConfState)
	snap := &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: r.mark.Index, Term: r.mark.Term, ConfState: r.mark.ConfState}}
	if r.mark.GetIndex() > 0 {
		if err := l.store.ApplySnapshot(snap); err != nil {
			return fmt.Errorf("recover log: %w", err)
		}
	}
	if err := l.store.SetHardState(r.hard); err != nil {
		return fmt.Errorf("recover log: %w", err)
	}
	if err := l.store.Append(r.entries); err != nil {
		return fmt.Errorf("recover log: %w", err)
	}
	l.resign()
	l.applied.Store(max(applied, r.mark.GetIndex()))
	l.seen.Store(r.mark.GetIndex())
	l.term.Store(r.hard.GetTerm())
	l.commit.Store(r.hard.GetCommit())
	l.last.Store(r.mark.GetIndex())
	if n := len(r.entries); n > 0 {
		l.last.Store(r.entries[n-1].GetIndex())
	}
	var err error
	l.node, err = etcdraft.NewRawNode(&etcdraft.Config{
		ID: r.identity.ID, ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks, Storage: l.store, Applied: r.mark.GetIndex(),
		MaxSizePerMsg: 1 << 20, MaxCommittedSizePerReady: 16 << 20, MaxInflightMsgs: 256, MaxUncommittedEntriesSize: math.MaxUint64,
		PreVote: true, CheckQuorum: true, DisableProposalForwarding: true, Logger: quiet{l.o.Logger},
	})
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
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
	if index < first || index > l.seen.Load() {
		return nil
	}
	term, err := l.store.Term(index)
	if err != nil {
		return fmt.Errorf("cut the log: %w", err)
	}
	conf := l.confAt(index)
	if err := l.journal.Cut(&walpb.Snapshot{Index: new(index), Term: new(term), ConfState: conf}); err != nil {
		return err
	}
	if err := l.store.Compact(l.keepFrom(index)); err != nil && !errors.Is(err, etcdraft.ErrCompacted) {
		return fmt.Errorf("cut the log: %w", err)
	}
	return nil
}

func (l *Log) fail(err error) {
	l.resign()
	l.full.Store(false)
	l.o.Logger.Error("the log has stopped", "error", err)
	l.err.Store(&err)
	close(l.failed)
}

// Propose hands an entry to the log.
func (l *Log) Propose(ctx context.Context, term uint64, entry []byte) (*storage.Fate, error) {
	if l.full.Load() || !l.room() {
		return nil, storage.ErrFull
	}
	p := proposal{term, entry, make(chan proposed, 1)}
	select {
	case l.props <- p:
	case <-l.failed:
		return nil, l.Err()
	case <-l.stop:
		return nil, storage.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r := <-p.result
	return r.fate, r.err
}

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
		l.resign()
		if l.journal != nil {
			err = l.journal.Close()
		}
		if l.lock != nil {
			err = errors.Join(err, l.lock.Close())
		}
	})
	return err
}
