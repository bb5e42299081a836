package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/cluster"
	"go.etcd.io/raft/v3/raftpb"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// A town is several nodes in this process, over TCP, with one clock.
type town struct {
	t         *testing.T
	authority *cluster.Authority
	nodes     map[uint64]*node

	mu        sync.Mutex
	now       time.Time
	members   []uint64
	addresses map[uint64]string
}

// A node is one of them. Its receiver puts what comes into channels.
type node struct {
	*cluster.Net
	t        *testing.T
	town     *town
	id       uint64
	identity *cluster.Identity
	messages chan *raftpb.Message
	state    func(m *raftpb.Message, r io.Reader) error
	serve    http.HandlerFunc
	listener net.Listener
	served   chan error
}

func newTown(t *testing.T, ids ...uint64) *town {
	t.Helper()
	w := &town{t: t, now: start, members: ids, nodes: map[uint64]*node{}, addresses: map[uint64]string{}}
	w.authority = newAuthority(t, start.Add(-60*24*time.Hour))
	for _, id := range ids {
		w.add(id, w.identity(id, w.authority, start))
	}
	return w
}

func newAuthority(t *testing.T, now time.Time) *cluster.Authority {
	t.Helper()
	a, err := cluster.NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// identity is a new one, by an authority, that trusts it and others.
func (w *town) identity(id uint64, by *cluster.Authority, now time.Time, others ...*cluster.Authority) *cluster.Identity {
	w.t.Helper()
	i, err := cluster.NewIdentity()
	if err != nil {
		w.t.Fatal(err)
	}
	leaf, err := by.Issue(i.PublicKey(), fmt.Sprint("node-", id), id, now)
	if err != nil {
		w.t.Fatal(err)
	}
	trusted := [][]byte{by.Certificate()}
	for _, other := range others {
		trusted = append(trusted, other.Certificate())
	}
	if i, err = i.With(leaf, trusted); err != nil {
		w.t.Fatal(err)
	}
	return i
}

func (w *town) add(id uint64, i *cluster.Identity) *node {
	w.t.Helper()
	return w.addLimited(id, i, cluster.Limits{})
}

func (w *town) addLimited(id uint64, i *cluster.Identity, limits cluster.Limits) *node {
	w.t.Helper()
	n := &node{t: w.t, town: w, id: id, identity: i, messages: make(chan *raftpb.Message, 10_000)}
	var err error
	n.Net, err = cluster.New(cluster.Config{
		Identity: i, Address: w.address, Member: w.member, Now: w.clock, Limits: limits,
		Forwarded: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { n.serve(rw, r) }),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n.Deliver(n)
	w.nodes[id] = n
	n.listen()
	w.t.Cleanup(n.Close)
	return n
}

func (n *node) listen() {
	n.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.listenOn(ln)
}

func (n *node) listenOn(ln net.Listener) {
	n.listener, n.served = ln, make(chan error, 1)
	n.town.move(n.id, ln.Addr().String())
	go func(served chan error) { served <- n.Serve(ln) }(n.served)
}

// deafen closes the listener and with it all that came over it.
func (n *node) deafen() {
	n.t.Helper()
	n.listener.Close()
	if err := <-n.served; err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) Receive(_ context.Context, m *raftpb.Message) error {
	n.messages <- m
	return nil
}

func (n *node) ReceiveState(_ context.Context, m *raftpb.Message, r io.Reader) error {
	return n.state(m, r)
}

func (w *town) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *town) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *town) member(id uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.members, id)
}

func (w *town) remove(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members = slices.DeleteFunc(slices.Clone(w.members), func(m uint64) bool { return m == id })
}

func (w *town) address(id uint64) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.addresses[id]
	return a, ok
}

func (w *town) move(id uint64, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addresses[id] = address
}

// heartbeat is a message with a number to know it by.
func heartbeat(from, to, number uint64) *raftpb.Message {
	kind := raftpb.MsgHeartbeat
	return &raftpb.Message{Type: &kind, From: &from, To: &to, Index: &number}
}

// sayUntilHeard repeats a message, as raft does, until it or one of its
// repetitions has arrived.
func (n *node) sayUntilHeard(to *node, number uint64) {
	for {
		n.Send(heartbeat(n.id, to.id, number))
		select {
		case m := <-to.messages:
			if m.GetIndex() == number {
				return
			}
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestMessagesArriveInOrder(t *testing.T) {
	w := newTown(t, 1, 2, 3)
	const many = 2000
	for number := range uint64(many) {
		for _, from := range w.nodes {
			for to := range w.nodes {
				from.Send(heartbeat(from.id, to, number)) // to itself is lost
			}
		}
	}
	for _, to := range w.nodes {
		next := map[uint64]uint64{}
		for range 2 * many {
			m := <-to.messages
			if m.GetIndex() != next[m.GetFrom()] {
				t.Fatalf("node %d: message %d of node %d is next, and %d came", to.id, next[m.GetFrom()], m.GetFrom(), m.GetIndex())
			}
			next[m.GetFrom()]++
		}
		if next[to.id] != 0 || len(to.messages) != 0 {
			t.Errorf("node %d has messages of itself or too many", to.id)
		}
	}
}

func TestLargeMessage(t *testing.T) {
	w := newTown(t, 1, 2)
	data := make([]byte, 20<<20)
	for i := range data {
		data[i] = byte(i % 251)
	}
	m := heartbeat(1, 2, 1)
	m.Entries = []*raftpb.Entry{{Data: data}}
	w.nodes[1].Send(m)
	got := <-w.nodes[2].messages
	if !slices.Equal(got.GetEntries()[0].GetData(), data) {
		t.Error("the entry came out as another one")
	}
}

// TestQueueIsBounded sends while there is no way to the other node. Of all that,
// what fits into the queue is kept, and that is less than a message of 600 bytes
// more than once.
func TestQueueIsBounded(t *testing.T) {
	w := newTown(t, 2)
	w.members = []uint64{1, 2}
	dialed, open := make(chan struct{}), make(chan struct{})
	n, err := cluster.New(cluster.Config{Identity: w.identity(1, w.authority, start),
		Address: w.address, Member: w.member, Now: w.clock, Limits: cluster.Limits{Queue: 1000},
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			close(dialed)
			<-open
			return net.Dial("tcp", address)
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	n.Send(heartbeat(1, 2, 0))
	<-dialed
	for number := range uint64(100) {
		m := heartbeat(1, 2, number+1)
		m.Context = make([]byte, 600)
		n.Send(m)
	}
	close(open)
	for _, want := range []uint64{0, 1} {
		if m := <-w.nodes[2].messages; m.GetIndex() != want {
			t.Errorf("message %d came and not %d", m.GetIndex(), want)
		}
	}
	n.Send(heartbeat(1, 2, 200))
	if m := <-w.nodes[2].messages; m.GetIndex() != 200 {
		t.Errorf("message %d was kept", m.GetIndex())
	}
}

func TestStreamComesBackAfterTheListener(t *testing.T) {
	w := newTown(t, 1, 2)
	a, b := w.nodes[1], w.nodes[2]
	if _, ok := b.Heard(1); ok {
		t.Error("node 2 heard of node 1 before it spoke")
	}
	a.sayUntilHeard(b, 1)
	w.pass(time.Hour)
	b.deafen()
	if at, ok := b.Heard(1); !ok || !at.Equal(start) {
		t.Errorf("node 2 heard of node 1 at %v, %v", at, ok)
	}
	b.listen()
	a.sayUntilHeard(b, 2)
	if at, _ := b.Heard(1); !at.Equal(start.Add(time.Hour)) {
		t.Errorf("node 2 heard of node 1 at %v", at)
	}
}

func TestStreamBeginsWhenTheNodeIsThere(t *testing.T) {
	w := newTown(t, 1)
	w.members = []uint64{1, 2}
	n := w.add(2, nil) // it listens and is not of a cluster yet
	w.nodes[1].Send(heartbeat(1, 2, 1))
	if _, err := n.Call(t.Context(), 1, "echo", nil); !errors.Is(err, cluster.ErrNoIdentity) {
		t.Errorf("a node without a certificate called: %v", err)
	}
	n.Use(w.identity(2, w.authority, start))
	w.nodes[1].sayUntilHeard(n, 2)
	n.sayUntilHeard(w.nodes[1], 3)
}

func TestRemovedNodeIsCutOff(t *testing.T) {
	w := newTown(t, 1, 2, 3)
	a, b, c := w.nodes[1], w.nodes[2], w.nodes[3]
	entered, ended := make(chan struct{}), make(chan struct{})
	b.Handle("wait", func(ctx context.Context, _ uint64, _ []byte) ([]byte, error) {
		close(entered)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	b.Handle("echo", func(_ context.Context, _ uint64, q []byte) ([]byte, error) { return q, nil })
	a.sayUntilHeard(b, 1)
	failed := make(chan error)
	go func() { _, err := a.Call(context.Background(), 2, "wait", nil); failed <- err }()
	<-entered

	w.remove(1)
	// A connection that is there is no use any more, even before Drop.
	if _, err := a.Call(t.Context(), 2, "echo", nil); err == nil {
		t.Error("a removed node called over a connection of before")
	}
	b.Drop(1)
	<-ended
	var broken cluster.ErrBroken
	if err := <-failed; !errors.As(err, &broken) || !broken.Sent {
		t.Errorf("what was under way ended with %v", err)
	}
	if _, err := b.Call(t.Context(), 1, "echo", nil); !errors.Is(err, cluster.ErrNotMember) {
		t.Errorf("the removed node was called: %v", err)
	}
	a.Send(heartbeat(1, 2, 2))
	b.Send(heartbeat(2, 1, 2))
	c.sayUntilHeard(b, 3)
	b.sayUntilHeard(c, 3)
}

// TestRotation replaces certificates, then the authority, with requests and
// messages under way, of which none is lost.
func TestRotation(t *testing.T) {
	w := newTown(t, 1, 2)
	a, b := w.nodes[1], w.nodes[2]
	b.Handle("echo", func(_ context.Context, _ uint64, q []byte) ([]byte, error) { return q, nil })
	asked, stop, finished := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var number uint64
	go func() {
		defer close(finished)
		for {
			a.Send(heartbeat(1, 2, number))
			if _, err := a.Call(context.Background(), 2, "echo", []byte("1")); err != nil {
				t.Errorf("call: %v", err)
			}
			if m := <-b.messages; m.GetIndex() != number {
				t.Errorf("message %d arrived for %d", m.GetIndex(), number)
			}
			number++
			select {
			case asked <- struct{}{}:
			case <-stop:
				return
			}
		}
	}()
	// The first may have begun before, the second ends the stream of before, and
	// the third goes over the new one.
	traffic := func() { <-asked; <-asked; <-asked }

	next := newAuthority(t, start)
	stages := []func(id uint64) *cluster.Identity{
		func(id uint64) *cluster.Identity { return w.identity(id, w.authority, w.clock()) },
		func(id uint64) *cluster.Identity { return w.identity(id, w.authority, w.clock(), next) },
		func(id uint64) *cluster.Identity { return w.identity(id, next, w.clock(), w.authority) },
		func(id uint64) *cluster.Identity { return w.identity(id, next, w.clock()) },
	}
	for _, stage := range stages {
		for id, n := range w.nodes {
			traffic()
			n.Use(stage(id))
			traffic()
		}
		w.pass(9 * 24 * time.Hour)
	}
	close(stop)
	<-finished
	b.sayUntilHeard(a, 1)

	old := w.identity(1, w.authority, w.clock(), next)
	a.Use(old)
	if _, err := a.Call(t.Context(), 2, "echo", nil); err == nil {
		t.Error("a certificate of the authority of before was taken")
	}
}
