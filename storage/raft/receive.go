package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	etcdraft "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/fastness-dev/fastness/storage"
)

// A call runs in the driver's goroutine.
func (l *Log) call(ctx context.Context, f func() error) error {
	result := make(chan error, 1)
	run := func() {
		if l.full.Load() {
			result <- storage.ErrFull
			return
		}
		result <- f()
	}
	select {
	case l.calls <- run:
		return <-result
	case <-l.failed:
		return l.Err()
	case <-l.stop:
		return storage.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Receive takes a message of another member. It may be dropped.
func (l *Log) Receive(ctx context.Context, m *raftpb.Message) error {
	switch {
	case m.GetTo() != l.ID():
		return fmt.Errorf("a message for member %x came to %x", m.GetTo(), l.ID())
	case m.GetType() == raftpb.MsgSnap:
		return errors.New("a message that announces rows came without them")
	case m.GetType() == raftpb.MsgProp || etcdraft.IsLocalMsg(m.GetType()):
		return fmt.Errorf("a message of type %s is not for others", m.GetType())
	}
	select {
	case l.inbox <- m:
		return nil
	case <-l.failed:
		return l.Err()
	case <-l.stop:
		return storage.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) step(m *raftpb.Message) {
	if m.GetType() == raftpb.MsgTimeoutNow && l.unable.Load() {
		return
	}
	l.mu.Lock()
	l.heard[m.GetFrom()] = time.Now()
	l.mu.Unlock()
	// What raft refuses is from who is not a member any longer.
	_ = l.node.Step(m)
}

// entries are those that raft may ask for. To a member that lacks older ones it
// offers all rows, as of what is applied.
type entries struct {
	*etcdraft.MemoryStorage
	offer func() (uint64, *raftpb.ConfState)
}

// Snapshot says what the rows that would be sent contain.
func (e *entries) Snapshot() (*raftpb.Snapshot, error) {
	index, conf := e.offer()
	term, err := e.Term(index)
	if err != nil {
		return nil, etcdraft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: &index, Term: &term, ConfState: conf}}, nil
}

func (l *Log) newEntries() *entries {
	return &entries{etcdraft.NewMemoryStorage(), func() (uint64, *raftpb.ConfState) { return l.seen.Load(), l.now() }}
}

// transfer is the rows that another member has sent.
type transfer struct{ staged Staged }

// send hands messages to the transport.
func (l *Log) send(all []*raftpb.Message) {
	for _, m := range all {
		switch {
		case l.o.Transport == nil || l.silent(m):
		case m.GetType() == raftpb.MsgSnap:
			l.sendState(m)
		default:
			l.o.Transport.Send(m)
		}
	}
}

// sendState sends all rows, as they are now, beside the log's work.
func (l *Log) sendState(m *raftpb.Message) {
	to := m.GetTo()
	rows, err := l.rows()
	if err != nil {
		l.o.Logger.Error("read all rows for a member that is far behind", "member", to, "error", err)
		l.node.ReportSnapshot(to, etcdraft.SnapshotFailure)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.done.Go(func() {
		select {
		case <-l.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	l.done.Go(func() {
		defer cancel()
		err := l.o.Transport.SendState(ctx, m, rows.Write)
		status := etcdraft.SnapshotFinish
		if err = errors.Join(err, rows.Close()); err != nil {
			l.o.Logger.Warn("send all rows to a member that is far behind", "member", to, "error", err)
			status = etcdraft.SnapshotFailure
		}
		_ = l.call(ctx, func() error { l.node.ReportSnapshot(to, status); return nil }) // fails when all is over
	})
}

func (l *Log) rows() (Rows, error) {
	if l.o.Rows == nil {
		return Rows{}, errors.New("this log does not know its rows")
	}
	return l.o.Rows()
}

// ReceiveState takes a message that announces rows, and the rows. It returns
// once they are in place, or are not needed.
func (l *Log) ReceiveState(ctx context.Context, m *raftpb.Message, r io.Reader) error {
	if m.GetTo() != l.ID() || m.GetType() != raftpb.MsgSnap {
		return fmt.Errorf("a message of type %s for member %x announces no rows for %x", m.GetType(), m.GetTo(), l.ID())
	}
	if l.o.Stage == nil {
		return errors.New("this log takes no rows")
	}
	staged, err := l.o.Stage(r)
	if err != nil {
		return fmt.Errorf("take the rows of another member: %w", err)
	}
	err = l.call(ctx, func() error {
		l.discardStaged()
		l.staged = staged
		l.step(m)
		return nil
	})
	if err != nil {
		return errors.Join(err, staged.Discard())
	}
	return l.call(ctx, func() error { return nil }) // behind what raft made of it
}

// discardStaged removes rows that raft had no use for.
func (l *Log) discardStaged() {
	if l.staged == nil {
		return
	}
	if err := l.staged.Discard(); err != nil {
		l.o.Logger.Error("remove the rows that another member has sent", "error", err)
	}
	l.staged = nil
}

// install puts the rows in place that another member has sent, and begins the
// journal anew behind them. See [journalPlace.promote] for a crash in between.
func (l *Log) install(snap *raftpb.Snapshot, hard *raftpb.HardState) error {
	meta, staged := snap.GetMetadata(), l.staged
	if staged == nil || staged.Index() > meta.GetIndex() {
		return errors.New("take the rows of another member: they are not those that were announced")
	}
	l.staged = nil
	if hard == nil {
		was, _, err := l.store.InitialState()
		if err != nil {
			return err
		}
		hard = was
	}
	hard = &raftpb.HardState{Term: new(hard.GetTerm()), Vote: new(hard.GetVote()), Commit: new(meta.GetIndex())}
	mark := &walpb.Snapshot{Index: meta.Index, Term: meta.Term, ConfState: meta.ConfState}
	if err := l.journal.Prepare(mark, hard); err != nil {
		return errors.Join(err, staged.Discard())
	}
	index := meta.GetIndex()
	if err := l.machine.Replace(index, func() error { return staged.Put(index) }); err != nil {
		return err
	}
	l.applied.Store(index)
	if err := l.journal.Close(); err != nil {
		return err
	}
	l.journal = nil
	j, _, err := journalPlace{dir: l.o.Dir, node: l.o.NodeID, applied: index, logger: l.o.Logger}.open()
	if err != nil {
		return fmt.Errorf("begin the log anew: %w", err)
	}
	if l.o.wrap != nil {
		j = l.o.wrap(j)
	}
	l.journal = j
	if err := l.store.ApplySnapshot(snap); err != nil {
		return fmt.Errorf("begin the log anew: %w", err)
	}
	l.seen.Store(index)
	l.last.Store(index)
	l.mu.Lock()
	l.confs = nil
	l.mu.Unlock()
	l.conf(index, meta.GetConfState())
	l.forget(fmt.Errorf("%w: this node was behind, and took the rows of another", storage.ErrUnknownOutcome))
	l.o.Logger.Info("took all rows of another member", "index", index)
	return nil
}

// Adopt makes this node a member of a log that others hold, in the place of its
// own, of which it keeps nothing. It is a stranger to that log until a leader
// adds it. Only a node whose state machine is empty can.
func (l *Log) Adopt(ctx context.Context, a Adoption) error {
	return l.call(ctx, func() error {
		if l.o.Rebind == nil || l.applied.Load() > firstIndex+1 && !l.alone() {
			return errors.New("this node has members or rows of its own")
		}
		p := journalPlace{dir: l.o.Dir, node: l.o.NodeID, logger: l.o.Logger}
		if err := p.adopt(identity{Node: l.me.Load().Node, Log: a.Log, ID: a.ID, Joined: true}); err != nil {
			return err
		}
		l.resign()
		l.forget(storage.ErrNotLeader)
		if err := l.o.Rebind(a.Log); err != nil {
			return err
		}
		if err := l.journal.Close(); err != nil {
			return err
		}
		l.journal = nil
		l.applied.Store(0)
		l.mu.Lock()
		l.confs = nil
		l.mu.Unlock()
		return l.begin(false)
	})
}
