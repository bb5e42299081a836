package raft_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/raft"
)

var faults = flag.Int("faults", 40, "how many faults TestClusterUnderFaults makes")

// A cluster is several logs in one process, and what is between them.
type cluster struct {
	t     *testing.T
	mu    sync.Mutex
	nodes []*member
	cut   func(from, to *member) bool // whether messages are lost
	rng   *rand.Rand                  // under mu
	loss  float64

	acked, refused sync.Map // texts
}

// A member is a log and its state machine, which outlives it.
type member struct {
	c     *cluster
	dir   string
	rows  *rows
	log   *raft.Log
	ticks chan time.Time
	stop  chan struct{}
	done  sync.WaitGroup
}

// rows is a state machine: entries by index. It is durable at once.
type rows struct {
	mu      sync.Mutex
	applied uint64
	entries []entry
	news    chan struct{}
	logID   string
}

type entry struct {
	Index uint64
	Text  string
}

func newRows() *rows { return &rows{news: make(chan struct{})} }

func (r *rows) apply(index uint64, b []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if index <= r.applied {
		return fmt.Errorf("entry %d comes after %d", index, r.applied)
	}
	r.applied = index
	r.entries = append(r.entries, entry{index, string(b)})
	close(r.news)
	r.news = make(chan struct{})
	return nil
}

func (r *rows) all() (uint64, []entry, chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied, slices.Clone(r.entries), r.news
}

func (r *rows) dump() (raft.Rows, error) {
	applied, all, _ := r.all()
	return raft.Rows{Index: applied, Write: func(w io.Writer) error { return gob.NewEncoder(w).Encode(all) }, Close: func() error { return nil }}, nil
}

func (r *rows) stage(from io.Reader) (raft.Staged, error) {
	s := &stagedRows{to: r}
	return s, gob.NewDecoder(from).Decode(&s.entries)
}

type stagedRows struct {
	to      *rows
	entries []entry
}

func (s *stagedRows) Index() uint64 {
	if len(s.entries) == 0 {
		return 0
	}
	return s.entries[len(s.entries)-1].Index
}

func (s *stagedRows) Put(index uint64) error {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	s.to.applied, s.to.entries = index, s.entries
	close(s.to.news)
	s.to.news = make(chan struct{})
	return nil
}

func (s *stagedRows) Discard() error { return nil }

func (r *rows) bind(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.logID != "" && r.logID != id {
		return fmt.Errorf("rows of log %s, and the log is %s", r.logID, id)
	}
	r.logID = id
	return nil
}

func (r *rows) rebind(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logID, r.applied, r.entries = id, 0, nil
	return nil
}

func newCluster(t *testing.T, seed uint64) *cluster {
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1)), cut: func(_, _ *member) bool { return false }}
	t.Cleanup(func() {
		for _, m := range c.nodes {
			m.halt()
		}
	})
	return c
}

func (c *cluster) add() *member {
	c.t.Helper()
	m := &member{c: c, dir: filepath.Join(c.t.TempDir(), fmt.Sprint(len(c.nodes))), rows: newRows()}
	m.boot()
	c.mu.Lock()
	c.nodes = append(c.nodes, m)
	c.mu.Unlock()
	return m
}

// boot starts a member on what its last life left.
func (m *member) boot() {
	m.c.t.Helper()
	m.ticks, m.stop = make(chan time.Time), make(chan struct{})
	l, err := raft.Open(raft.Options{Dir: m.dir, Transport: m, Bind: m.rows.bind, Rebind: m.rows.rebind, Rows: m.rows.dump, Stage: m.rows.stage,
		Ticks: m.ticks, FreeSpace: func() (uint64, error) { return 1 << 40, nil }, CompactBytes: 20_000,
		Flush: func() (uint64, error) { i, _, _ := m.rows.all(); return i, nil }})
	if err != nil {
		m.c.t.Fatal(err)
	}
	applied, _, _ := m.rows.all()
	if err := l.Start(applied, storage.Machine{Apply: m.rows.apply, Replace: func(_ uint64, put func() error) error { return put() }}); err != nil {
		m.c.t.Fatal(err)
	}
	m.c.mu.Lock()
	m.log = l
	m.c.mu.Unlock()
	m.done.Go(func() { // time passes as fast as the log takes it
		t := time.NewTicker(2 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-m.stop:
				return
			case now := <-t.C:
				select {
				case m.ticks <- now:
				case <-m.stop:
					return
				}
			}
		}
	})
}

// halt ends a life.
func (m *member) halt() {
	m.c.mu.Lock()
	l := m.log
	m.log = nil
	m.c.mu.Unlock()
	if l == nil {
		return
	}
	close(m.stop)
	m.done.Wait()
	if err := l.Close(); err != nil {
		m.c.t.Error(err)
	}
}

func (m *member) live() *raft.Log {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	return m.log
}

// to finds who a message is for, if it arrives.
func (m *member) to(id uint64) (*raft.Log, bool) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	for _, n := range m.c.nodes {
		if n.log != nil && n.log.ID() == id && n != m {
			return n.log, !m.c.cut(m, n) && m.c.rng.Float64() >= m.c.loss
		}
	}
	return nil, false
}

func (m *member) Send(msg *raftpb.Message) {
	to, ok := m.to(msg.GetTo())
	if !ok {
		return
	}
	copied := proto.Clone(msg).(*raftpb.Message)
	go func() { _ = to.Receive(context.Background(), copied) }() // any order
}

func (m *member) SendState(ctx context.Context, msg *raftpb.Message, write func(io.Writer) error) error {
	to, ok := m.to(msg.GetTo())
	if !ok {
		return errors.New("lost")
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return to.ReceiveState(ctx, proto.Clone(msg).(*raftpb.Message), &b)
}

// leader waits for one, among those that run.
func (c *cluster) leader() *member { return c.leaderBut(nil) }

func (c *cluster) leaderBut(not *member) *member {
	for {
		c.mu.Lock()
		nodes := slices.Clone(c.nodes)
		c.mu.Unlock()
		for _, m := range nodes {
			if l := m.live(); m != not && l != nil && l.Leads() != 0 {
				return m
			}
		}
		time.Sleep(time.Millisecond) // a poll, of what has no signal of its own: several logs
	}
}

// join makes a member of a node.
func (c *cluster) join(m *member, role raft.Role) {
	c.t.Helper()
	if err := m.live().Adopt(ctx, raft.Adoption{Log: c.leaderBut(m).live().LogID(), ID: raft.NewID()}); err != nil {
		c.t.Fatal(err)
	}
	add := func(role raft.Role) {
		for {
			err := c.leaderBut(m).live().Add(ctx, m.live().ID(), role)
			if err == nil {
				return
			}
			if !errors.Is(err, storage.ErrNotLeader) && !errors.Is(err, raft.ErrChanging) {
				c.t.Fatal(err)
			}
		}
	}
	add(raft.Learner)
	if role == raft.Voter {
		add(raft.Voter)
	}
	// A member counts voters as it has applied them.
	for _, n := range c.nodes {
		for {
			news := n.live().Changed()
			is := n.live().Status()
			if i := slices.IndexFunc(is.Peers, func(p raft.Peer) bool { return p.ID == m.live().ID() }); i >= 0 && is.Peers[i].Role == role {
				break
			}
			<-news
		}
	}
}

// write proposes until an entry is known to be applied, whoever leads. Each try
// has a text of its own.
func (c *cluster) write(text string) {
	for n, again := 1, text; !c.try(again); n++ {
		again = fmt.Sprint(text, " again ", n)
	}
}

func (c *cluster) try(text string) bool {
	m := c.leader()
	l := m.live()
	if l == nil {
		return false
	}
	done, err := m.propose(l, text)
	if done || errors.Is(err, storage.ErrClosed) && m.has(text) {
		c.acked.Store(text, true)
		return true
	}
	if errors.Is(err, storage.ErrNotLeader) {
		c.refused.Store(text, true) // that is a promise
	}
	return false
}

func (m *member) has(text string) bool {
	_, all, _ := m.rows.all()
	return slices.ContainsFunc(all, func(e entry) bool { return e.Text == text })
}

func (m *member) propose(l *raft.Log, text string) (bool, error) {
	fate, err := l.Propose(ctx, l.Leads(), []byte(text))
	if err != nil {
		return false, err
	}
	for {
		_, all, news := m.rows.all()
		if slices.ContainsFunc(all, func(e entry) bool { return e.Text == text }) {
			return true, nil
		}
		select {
		case <-news:
		case <-fate.Decided():
			return m.has(text), fate.Err()
		case <-l.Failed():
			return false, l.Err()
		case <-m.stopped():
			return false, storage.ErrClosed
		}
	}
}

func (m *member) stopped() chan struct{} {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	return m.stop
}

// settles waits until all members that run hold the same, and returns it.
func (c *cluster) settles(last string) []entry {
	for _, m := range c.nodes {
		for {
			_, all, news := m.rows.all()
			if len(all) > 0 && all[len(all)-1].Text == last {
				break
			}
			<-news
		}
	}
	_, want, _ := c.nodes[0].rows.all()
	for i, m := range c.nodes[1:] {
		if _, got, _ := m.rows.all(); !slices.Equal(got, want) {
			c.t.Errorf("member %d holds other entries than member 0: %d and %d", i+1, len(got), len(want))
		}
	}
	return want
}

func TestMembersHoldTheSame(t *testing.T) {
	c := newCluster(t, 1)
	c.add()
	c.write("before")
	for range 2 {
		c.join(c.add(), raft.Voter)
	}
	c.join(c.add(), raft.Learner)
	for i := range 20 {
		c.write(fmt.Sprint(i))
	}
	want := []string{"before"}
	for i := range 20 {
		want = append(want, fmt.Sprint(i))
	}
	var got []string
	for _, e := range c.settles("19") {
		got = append(got, e.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	is := c.leader().live().Status()
	if len(is.Peers) != 4 || is.Leader != is.ID {
		t.Errorf("%+v", is)
	}
}

// Every member answers what was acknowledged by any of them before it was asked.
func TestReadsAreFreshEverywhere(t *testing.T) {
	c := newCluster(t, 2)
	c.add()
	for range 2 {
		c.join(c.add(), raft.Voter)
	}
	for i := range 30 {
		text := fmt.Sprint("v", i)
		c.write(text)
		for n, m := range c.nodes {
			index, err := m.live().ReadIndex(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for {
				applied, _, news := m.rows.all()
				if applied >= index || m.has(text) {
					break
				}
				<-news
			}
			if !m.has(text) {
				t.Fatalf("member %d at index %d does not show %s", n, index, text)
			}
		}
	}
}

// A member that was away for longer than the log is brought up by all rows; its
// journal begins anew, and it restarts from that.
func TestAMemberThatIsFarBehindIsBroughtUp(t *testing.T) {
	c := newCluster(t, 3)
	c.add()
	for range 2 {
		c.join(c.add(), raft.Voter)
	}
	away := c.nodes[0]
	if c.leader() == away {
		if err := away.live().HandOver(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	away.halt()
	for i := range 60 {
		c.write(fmt.Sprintf("%d %s", i, make([]byte, 2000)))
	}
	away.boot()
	c.write("it is back")
	c.settles("it is back")
	away.halt()
	away.boot()
	c.write("and again")
	c.settles("and again")
}

func TestMembersAreRemovedAndRolesChange(t *testing.T) {
	c := newCluster(t, 4)
	first := c.add()
	id := first.live().ID()
	if err := first.live().Remove(ctx, id); !errors.Is(err, raft.ErrLastVoter) {
		t.Errorf("the only voter: %v", err)
	}
	second := c.add()
	c.join(second, raft.Voter)
	c.join(c.add(), raft.Voter)
	if err := first.live().Remove(ctx, 12345); !errors.Is(err, raft.ErrNoMember) {
		t.Errorf("a stranger: %v", err)
	}
	if err := second.live().Add(ctx, id, raft.Learner); !errors.Is(err, storage.ErrNotLeader) {
		t.Errorf("by a follower: %v", err)
	}
	if err := first.live().Add(ctx, second.live().ID(), raft.Learner); err != nil {
		t.Fatal(err)
	}
	for _, p := range first.live().Status().Peers {
		if want := map[bool]raft.Role{true: raft.Learner, false: raft.Voter}[p.ID == second.live().ID()]; p.Role != want {
			t.Errorf("member %x is a %s", p.ID, p.Role)
		}
	}
	if err := first.live().Remove(ctx, second.live().ID()); err != nil {
		t.Fatal(err)
	}
	second.halt()
	c.write("two are left")
	if err := first.live().HandOver(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if c.leader() == first {
		t.Error("it still leads")
	}
	c.write("under the other")
}

// A member that may not lead votes and does not stand; one that led hands over.
func TestWhoMayNotLeadDoesNot(t *testing.T) {
	c := newCluster(t, 5)
	first := c.add()
	second := c.add()
	c.join(second, raft.Voter)
	third := c.add()
	c.join(third, raft.Voter)
	second.live().Able(false)
	first.live().Able(false)
	for c.leader() != third {
	}
	first.halt()
	c.write("third leads with the vote of second")
	third.halt()
	first.boot()
	first.live().Able(true)
	for c.leader() != first {
	}
	c.write("first leads with the vote of second")
}

// While members are cut off from each other, are killed and started again,
// and lose messages, nothing that was acknowledged is lost, nothing is applied
// twice or after it was said never to be, and all hold the same in the end.
func TestClusterUnderFaults(t *testing.T) {
	seed := *powerSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d -faults=%d", seed, *faults)
	c := newCluster(t, seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	c.add()
	for range 4 {
		c.join(c.add(), raft.Voter)
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				c.write(fmt.Sprintf("%d-%d %s", w, i, make([]byte, 300)))
			}
		})
	}
	for range *faults {
		c.fault(rng)
		for range 20 {
			c.leader()
			time.Sleep(time.Millisecond) // lets the writers go on between two faults; nothing is asserted on it
		}
		c.heal()
	}
	close(stop)
	writers.Wait()
	for !c.try("the end") {
	}
	all := c.settles("the end")
	seen := make(map[string]int)
	for _, e := range all {
		seen[e.Text]++
	}
	n := 0
	c.acked.Range(func(text, _ any) bool {
		n++
		if seen[text.(string)] == 0 {
			t.Errorf("%.20q was acknowledged and is gone", text)
		}
		return true
	})
	for text, n := range seen {
		if _, refused := c.refused.Load(text); n > 1 || refused {
			t.Errorf("%.20q is there %d times; said never to be: %t", text, n, refused)
		}
	}
	t.Logf("%d writes were acknowledged, %d entries are there", n, len(all))
	if n < *faults {
		t.Errorf("only %d writes were acknowledged: the test saw nothing", n)
	}
}

// fault takes something away, but never the majority.
func (c *cluster) fault(rng *rand.Rand) {
	a, b := rng.IntN(len(c.nodes)), rng.IntN(len(c.nodes))
	set := func(cut func(from, to *member) bool, loss float64) {
		c.mu.Lock()
		c.cut, c.loss = cut, loss
		c.mu.Unlock()
	}
	in := func(m *member) bool { return m == c.nodes[a] || m == c.nodes[b] }
	switch rng.IntN(6) {
	case 0: // two are killed
		c.nodes[a].halt()
		c.nodes[b].halt()
	case 1: // two are cut off together
		set(func(from, to *member) bool { return in(from) != in(to) }, 0)
	case 2: // one hears and is not heard
		set(func(from, _ *member) bool { return from == c.nodes[a] }, 0)
	case 3: // one is heard and does not hear
		set(func(_, to *member) bool { return to == c.nodes[a] }, 0)
	case 4: // a third of all messages is lost
		set(func(_, _ *member) bool { return false }, 0.3)
	case 5: // the leader is killed
		c.leader().halt()
	}
}

func (c *cluster) heal() {
	c.mu.Lock()
	c.cut, c.loss = func(_, _ *member) bool { return false }, 0
	c.mu.Unlock()
	for _, m := range c.nodes {
		if m.live() == nil {
			m.boot()
		}
	}
}
