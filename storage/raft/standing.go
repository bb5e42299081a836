package raft

import (
	"sync"
	"sync/atomic"
	"time"

	etcdraft "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/fastness-dev/fastness/storage"
)

// standing is where this node stands among the members, and who leads.
type standing struct {
	leads   atomic.Uint64 // term; 0 when it does not
	leader  atomic.Uint64 // its id; 0 when there is none
	sole    atomic.Bool   // it leads and is the only voter
	term    atomic.Uint64
	commit  atomic.Uint64
	applied atomic.Uint64 // by the state machine
	seen    atomic.Uint64 // last entry that raft gave to be applied
	last    atomic.Uint64

	fate *storage.Fate // of what is proposed now
	past []fated       // of earlier leaderships of this node, undecided

	unable   atomic.Bool // it may not lead others
	mute     int         // ticks for which it led and should not
	orphaned int         // ticks without a leader

	mu   sync.Mutex
	news chan struct{}
}

type fated struct {
	term uint64
	fate *storage.Fate
}

func (s *standing) init() { s.news = make(chan struct{}) }

func (s *standing) tell() {
	s.mu.Lock()
	close(s.news)
	s.news = make(chan struct{})
	s.mu.Unlock()
}

// Changed is closed when this node begins or ceases to lead, another leader is
// known, or the members change. Ask for it before asking how things stand.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.news
}

// Leads is the term in which this node leads; 0 when it does not. Without space
// on its disk the only voter still does.
func (l *Log) Leads() uint64 { return l.leads.Load() }

// Leader is the id of the member that leads, as far as is known here; 0 is none.
func (l *Log) Leader() uint64 { return l.leader.Load() }

// ID is this node's among the members.
func (l *Log) ID() uint64 { return l.me.Load().ID }

// LogID is the id of the log itself.
func (l *Log) LogID() string { return l.me.Load().Log }

// Able says whether this node may lead others: it may not while it is sealed.
// One that leads already hands over or, if nobody takes it, falls silent. It
// still stands where nobody else can be elected, to hand over at once.
func (l *Log) Able(able bool) { l.unable.Store(!able) }

func (l *Log) stand(s *etcdraft.SoftState) {
	if s.RaftState != etcdraft.StateLeader {
		l.resign()
	}
	if l.leader.Swap(s.Lead) != s.Lead {
		l.tell()
	}
}

func (l *Log) resign() {
	if was := l.leads.Swap(0); was == 0 {
		return
	} else if l.fate != nil {
		l.past = append(l.past, fated{was, l.fate})
		l.fate = nil
	}
	l.sole.Store(false)
	l.tell()
}

// decide is told the term of each entry that is applied. What was proposed in
// an earlier one and is not applied will never be. With the first entry of its
// own term, a node has applied what came before, and leads.
func (l *Log) decide(term uint64) {
	for len(l.past) > 0 && l.past[0].term < term {
		l.past[0].fate.Decide(storage.ErrNotLeader)
		l.past = l.past[1:]
	}
	if l.leads.Load() != 0 {
		return
	}
	if is := l.node.BasicStatus(); is.RaftState == etcdraft.StateLeader && is.GetTerm() == term {
		l.fate = storage.NewFate()
		l.leads.Store(term)
		l.sole.Store(l.alone())
		l.tell()
	}
}

// forget decides that nothing is known of what was proposed and not applied.
func (l *Log) forget(why error) {
	for _, p := range l.past {
		p.fate.Decide(why)
	}
	l.past = nil
	if l.fate != nil {
		l.fate.Decide(why)
		l.fate = storage.NewFate()
	}
}

// patience is for how many ticks a node that may not lead waits for another to,
// and then for another to take over from it.
const patience = 4 * electionTicks

// standTick has a node that may not lead others hand over what it leads.
func (l *Log) standTick() {
	l.discardStaged()
	l.orphaned++
	if l.leader.Load() != 0 {
		l.orphaned = 0
	}
	if !l.unable.Load() || l.leads.Load() == 0 || l.alone() {
		l.mute = 0
		return
	}
	if heirs := l.heirs(); l.mute%electionTicks == 0 && len(heirs) > 0 {
		l.node.TransferLeader(heirs[l.mute/electionTicks%len(heirs)])
	}
	l.mute++
}

// silent says whether a message is not to be sent, by a node that should not
// lead. If nobody else can be elected, it may hold what all others lack: then it
// stands, brings them up, and hands over; or falls silent if nobody takes it.
func (l *Log) silent(m *raftpb.Message) bool {
	if !l.unable.Load() || l.alone() {
		return false
	}
	switch m.GetType() {
	case raftpb.MsgVote, raftpb.MsgPreVote:
		return l.orphaned < patience
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
		return l.mute > patience
	}
	return false
}

// A Status says how the log stands.
type Status struct {
	NodeID                     string
	ID, Leader                 uint64
	Leads                      uint64 // term; 0 when another does, or nobody
	Term                       uint64
	Commit, Applied, LastIndex uint64
	Peers                      []Peer // this node included
}

// Status says how the log stands.
func (l *Log) Status() Status {
	me := l.me.Load()
	return Status{NodeID: me.Node, ID: me.ID, Leader: l.leader.Load(), Leads: l.Leads(), Term: l.term.Load(),
		Commit: l.commit.Load(), Applied: max(l.applied.Load(), l.seen.Load()), LastIndex: l.last.Load(), Peers: l.peers(time.Now())}
}
