package raft

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	etcdraft "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/fastness-dev/fastness/storage"
)

// Errors of changes of the membership.
var (
	// ErrChanging says that another change is under way: try again.
	ErrChanging = errors.New("another change of the members is under way: try again in a moment")
	// ErrLastVoter says that the log would have no voter left.
	ErrLastVoter = errors.New("the only voter cannot be removed or demoted: add another first")
	// ErrNoMember says that an id is not a member's.
	ErrNoMember = errors.New("no such member")
)

// members is who belongs to the log, at each index that the journal may be cut
// at.
type members struct {
	confs   []confAt
	pending *change
	heard   map[uint64]time.Time
}

type confAt struct {
	index uint64
	state *raftpb.ConfState
}

// A change of the members that is proposed and not applied.
type change struct {
	id   []byte
	fate *storage.Fate
	done chan struct{}
}

// conf notes the members from an index on.
func (l *Log) conf(index uint64, state *raftpb.ConfState) {
	l.mu.Lock()
	l.confs = append(l.confs, confAt{index, state})
	if l.heard == nil {
		l.heard = make(map[uint64]time.Time)
	}
	l.mu.Unlock()
	l.sole.Store(l.leads.Load() != 0 && l.alone())
	l.tell()
}

func (l *Log) now() *raftpb.ConfState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.confs[len(l.confs)-1].state
}

// confAt is the members as of an index, and forgets those before.
func (l *Log) confAt(index uint64) *raftpb.ConfState {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.confs) > 1 && l.confs[1].index <= index {
		l.confs = l.confs[1:]
	}
	return l.confs[0].state
}

// alone says whether this node is the only voter.
func (l *Log) alone() bool {
	c := l.now()
	return len(c.GetVoters()) == 1 && c.GetVoters()[0] == l.ID() && len(c.GetVotersOutgoing()) == 0
}

// changed applies a change of the members.
func (l *Log) changed(index uint64, c raftpb.ConfChangeI, id []byte) {
	l.conf(index, l.node.ApplyConfChange(c))
	if l.pending != nil && bytes.Equal(l.pending.id, id) {
		close(l.pending.done)
		l.pending = nil
	}
}

// Add makes a member of an id, in a role, or gives a member another role. It
// returns once that is applied here. An error but ErrUnknownOutcome says that
// nothing was changed. Only the leader can.
func (l *Log) Add(ctx context.Context, id uint64, role Role) error {
	kind := raftpb.ConfChangeAddLearnerNode
	if role == Voter {
		kind = raftpb.ConfChangeAddNode
	}
	return l.change(ctx, id, kind)
}

// Remove ends a membership. The leader cannot remove itself: hand over first.
func (l *Log) Remove(ctx context.Context, id uint64) error {
	return l.change(ctx, id, raftpb.ConfChangeRemoveNode)
}

func (l *Log) change(ctx context.Context, id uint64, kind raftpb.ConfChangeType) error {
	c := &change{id: make([]byte, 16), done: make(chan struct{})}
	if _, err := rand.Read(c.id); err != nil {
		return fmt.Errorf("draw the id of a change: %w", err)
	}
	if err := l.call(ctx, func() error { return l.proposeChange(c, id, kind) }); err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-c.fate.Decided():
		return c.fate.Err()
	case <-l.failed:
		return fmt.Errorf("%w: %w", storage.ErrUnknownOutcome, l.Err())
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", storage.ErrUnknownOutcome, ctx.Err())
	}
}

func (l *Log) proposeChange(c *change, id uint64, kind raftpb.ConfChangeType) error {
	now := l.now()
	voter := slices.Contains(now.GetVoters(), id)
	switch {
	case l.leads.Load() == 0:
		return storage.ErrNotLeader
	case len(now.GetVotersOutgoing()) > 0:
		return ErrChanging
	case l.pending != nil:
		select {
		case <-l.pending.fate.Decided():
		default:
			return ErrChanging
		}
	}
	switch {
	case kind == raftpb.ConfChangeRemoveNode && !voter && !slices.Contains(now.GetLearners(), id):
		return ErrNoMember
	case kind != raftpb.ConfChangeAddNode && voter && len(now.GetVoters()) == 1:
		return ErrLastVoter
	case kind != raftpb.ConfChangeAddNode && id == l.ID():
		return fmt.Errorf("the leader cannot be removed or demoted: %w", errHandOver)
	}
	c.fate = l.fate
	err := l.node.ProposeConfChange(&raftpb.ConfChangeV2{Context: c.id, Changes: []*raftpb.ConfChangeSingle{{Type: &kind, NodeId: &id}}})
	if errors.Is(err, etcdraft.ErrProposalDropped) {
		return storage.ErrNotLeader
	}
	if err == nil {
		l.pending = c
	}
	return err
}

var errHandOver = errors.New("hand over the leadership first")

// HandOver has another member lead; 0 is whichever is furthest. It returns once
// this node does not lead any longer.
func (l *Log) HandOver(ctx context.Context, to uint64) error {
	for {
		news := l.Changed()
		if l.Leads() == 0 {
			return nil
		}
		err := l.call(ctx, func() error {
			heirs := l.heirs()
			if to != 0 {
				heirs = []uint64{to}
			}
			if len(heirs) == 0 {
				return errors.New("there is no other voter that could lead")
			}
			l.node.TransferLeader(heirs[0])
			return nil
		})
		if err != nil {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("hand over the leadership: %w", ctx.Err())
		}
	}
}

// heirs are the other voters that were heard of lately, the furthest first.
func (l *Log) heirs() []uint64 {
	var ids []uint64
	match := make(map[uint64]uint64)
	l.node.WithProgress(func(id uint64, kind etcdraft.ProgressType, p tracker.Progress) {
		if id != l.ID() && kind == etcdraft.ProgressTypePeer && p.RecentActive {
			ids, match[id] = append(ids, id), p.Match
		}
	})
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Or(cmp.Compare(match[b], match[a]), cmp.Compare(a, b)) })
	return ids
}

// peers lists the members, by id.
func (l *Log) peers(now time.Time) []Peer {
	c := l.now()
	var all []Peer
	add := func(ids []uint64, role Role) {
		for _, id := range ids {
			if !slices.ContainsFunc(all, func(p Peer) bool { return p.ID == id }) {
				all = append(all, Peer{ID: id, Role: role})
			}
		}
	}
	add(c.GetVoters(), Voter)
	add(c.GetVotersOutgoing(), Voter)
	add(c.GetLearners(), Learner)
	add(c.GetLearnersNext(), Learner)
	slices.SortFunc(all, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range all {
		if p := &all[i]; p.ID == l.ID() {
			p.Heard, p.Match = now, l.last.Load()
		} else {
			p.Heard = l.heard[p.ID]
		}
	}
	return all
}

// keepFrom is the index up to which entries may leave memory: what members that
// were heard of lately still lack stays, within bounds.
func (l *Log) keepFrom(index uint64) uint64 {
	first, err := l.store.FirstIndex()
	if err != nil || index-first > maxKept {
		return index
	}
	keep := index
	l.node.WithProgress(func(id uint64, _ etcdraft.ProgressType, p tracker.Progress) {
		if id != l.ID() && p.RecentActive {
			keep = min(keep, p.Match)
		}
	})
	return max(keep, first-1)
}

// maxKept bounds the entries that are kept for members that are behind.
const maxKept = 100_000
