package raft

import (
	"errors"
	"fmt"
	"time"

	etcdraft "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/fastness-dev/fastness/storage"
)

// run drives the node until Close or a failure. Without space it waits.
func (l *Log) run() {
	ticks := l.o.Ticks
	if ticks == nil {
		t := time.NewTicker(l.o.Tick)
		defer t.Stop()
		ticks = t.C
	}
	for {
		err := guardRaft(func() error { return l.drive(ticks) })
		if errors.Is(err, storage.ErrFull) {
			err = guardRaft(func() error { return l.wait(ticks, err) })
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

// guardRaft turns a panic of the raft package, which says so when what it is
// told cannot be, into an error: this node stops, and the others go on.
func guardRaft(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the log contradicts what other members say of it: %v: %s", storage.ErrCorrupt, r, advice)
		}
	}()
	return f()
}

func (l *Log) drive(ticks <-chan time.Time) error {
	for {
		select {
		case <-l.stop:
			return errStopped
		case <-ticks:
			l.tick()
		case p := <-l.props:
			l.take(p)
		case m := <-l.inbox:
			l.receive(m)
		case f := <-l.calls:
			f()
		case r := <-l.reads.asked:
			l.ask(r)
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

func (l *Log) tick() {
	l.node.Tick()
	l.readTick()
	l.standTick()
}

// maxBatch is how many proposals, or messages, share one write to disk at most.
const maxBatch = 256

// take proposes an entry and all that wait behind it, so that they share the
// next write to disk.
func (l *Log) take(p proposal) {
	for n := 1; ; n++ {
		p.result <- l.proposeOne(p)
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

func (l *Log) proposeOne(p proposal) proposed {
	if l.leads.Load() != p.term {
		return proposed{err: storage.ErrNotLeader}
	}
	if err := l.node.Propose(p.data); err != nil {
		if errors.Is(err, etcdraft.ErrProposalDropped) {
			err = storage.ErrNotLeader // it hands over
		}
		return proposed{err: err}
	}
	return proposed{fate: l.fate}
}

// receive steps a message and those that wait behind it.
func (l *Log) receive(m *raftpb.Message) {
	for n := 1; ; n++ {
		l.step(m)
		if n == maxBatch {
			return
		}
		select {
		case m = <-l.inbox:
		default:
			return
		}
	}
}

// ready makes durable what raft has to be kept, sends what is to be sent and
// applies what is committed. A leader's own disk writes while the others' do.
func (l *Log) ready() error {
	rd := l.node.Ready()
	if rd.SoftState != nil {
		l.stand(rd.SoftState)
	}
	leading := l.node.BasicStatus().RaftState == etcdraft.StateLeader
	if leading {
		l.send(rd.Messages)
	}
	if !etcdraft.IsEmptySnap(rd.Snapshot) {
		if err := l.install(rd.Snapshot, rd.HardState); err != nil {
			return err
		}
	}
	if rd.HardState != nil || len(rd.Entries) > 0 {
		if err := l.save(rd); err != nil {
			return err
		}
	}
	if !leading {
		l.send(rd.Messages)
	}
	for _, e := range rd.CommittedEntries {
		if err := l.applyOne(e); err != nil {
			return err
		}
	}
	l.answer(rd.ReadStates)
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
	index := e.GetIndex()
	switch e.GetType() {
	case raftpb.EntryNormal:
		// After a start, what the state machine has comes once more.
		if len(e.GetData()) > 0 && index > l.applied.Load() {
			if err := l.machine.Apply(index, e.GetData()); err != nil {
				return err
			}
		}
	case raftpb.EntryConfChange:
		c := &raftpb.ConfChange{}
		if err := proto.Unmarshal(e.GetData(), c); err != nil {
			return fmt.Errorf("%w: entry %d does not say how the membership changes: %w", storage.ErrCorrupt, index, err)
		}
		l.changed(index, c, c.GetContext())
	case raftpb.EntryConfChangeV2:
		c := &raftpb.ConfChangeV2{}
		if err := proto.Unmarshal(e.GetData(), c); err != nil {
			return fmt.Errorf("%w: entry %d does not say how the membership changes: %w", storage.ErrCorrupt, index, err)
		}
		l.changed(index, c, c.GetContext())
	}
	l.seen.Store(index)
	l.applied.Store(max(l.applied.Load(), index))
	l.decide(e.GetTerm())
	return nil
}
