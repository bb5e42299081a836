package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"golang.org/x/net/http2"
)

var (
	// ErrNoIdentity is for a node that is not of a cluster yet.
	ErrNoIdentity = errors.New("this node has no certificate of a cluster yet")
	// ErrNotMember is for a node that was removed or never was a member.
	ErrNotMember = errors.New("not a member of the cluster")
	// ErrClosed is for a Net after Close.
	ErrClosed = errors.New("the cluster's connections are closed")
)

// A Receiver takes what other members send to this node's log.
type Receiver interface {
	// Receive takes a message. Those of one member come one after another.
	Receive(ctx context.Context, m *raftpb.Message) error
	// ReceiveState takes a message and the rows that belong to it. A state that
	// was cut short ends with an error of r other than io.EOF.
	ReceiveState(ctx context.Context, m *raftpb.Message, r io.Reader) error
}

// A Config is what a Net needs to know. Its functions are called at each message
// and must be quick.
type Config struct {
	// Identity may be nil until [Net.Use].
	Identity *Identity
	// Address is the host and port of a member's cluster listener.
	Address func(id uint64) (hostport string, ok bool)
	// Member says whether a node may speak with this one. A node that joins knows
	// those that let it in before it has their rows.
	Member func(id uint64) bool
	// Forwarded serves requests that came to another node, see [Net.Forward].
	Forwarded http.Handler
	// Logger is told about connections; nil discards.
	Logger *slog.Logger
	// Now is the time for certificates and for [Net.Heard]; nil is time.Now.
	Now func() time.Time
	// Dial opens a connection; nil is by TCP.
	Dial func(ctx context.Context, hostport string) (net.Conn, error)
	// Limits; zero fields have defaults.
	Limits Limits
}

// Limits bound what others can cost.
type Limits struct {
	Handshake time.Duration // of who connects; default 10 s
	HalfOpen  int           // connections before their handshake has ended; default 128
	Dial      time.Duration // until another node has let this one in; default 5 s
	Stall     time.Duration // of a stream without progress; default 30 s
	Queue     int           // bytes of messages that wait for one node; default 64 MiB
	Body      int64         // bytes of a call or its answer; default 16 MiB
}

func (l Limits) filled() Limits {
	return Limits{
		Handshake: or(l.Handshake, 10*time.Second),
		HalfOpen:  or(l.HalfOpen, 128),
		Dial:      or(l.Dial, 5*time.Second),
		Stall:     or(l.Stall, 30*time.Second),
		Queue:     or(l.Queue, 64<<20),
		Body:      or(l.Body, 16<<20),
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// A Net is a node's side of all that nodes say to each other. Its methods are
// safe for concurrent use. It implements raft.Transport.
type Net struct {
	conf     Config
	identity atomic.Pointer[Identity]
	receiver atomic.Pointer[Receiver]
	calls    calls
	conns    conns
	lobby    *lobby
	server   *http2.Server
	client   *http2.Transport

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // goroutines that end with ctx

	mu        sync.Mutex
	peers     map[uint64]*peer
	listeners map[net.Listener]struct{}
}

// New makes a Net. It opens nothing; [Net.Serve] takes connections.
func New(conf Config) (*Net, error) {
	conf.Limits = conf.Limits.filled()
	if conf.Logger == nil {
		conf.Logger = slog.New(slog.DiscardHandler)
	}
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Dial == nil {
		conf.Dial = func(ctx context.Context, hostport string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", hostport)
		}
	}
	if conf.Forwarded == nil {
		conf.Forwarded = http.NotFoundHandler()
	}
	client, err := newClient()
	if err != nil {
		return nil, err
	}
	n := &Net{conf: conf, client: client, server: newServer(), lobby: newLobby(conf.Limits.HalfOpen),
		peers: map[uint64]*peer{}, listeners: map[net.Listener]struct{}{}}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if conf.Identity != nil {
		n.identity.Store(conf.Identity)
	}
	return n, nil
}

// Deliver says who takes messages. Before, other nodes' messages are refused and
// they try again.
func (n *Net) Deliver(to Receiver) { n.receiver.Store(&to) }

// Use takes another identity into use. What this node sends goes on over new
// connections, and what is under way ends over the old ones. Who connected to
// this one by an authority that is no longer trusted is cut off at once.
func (n *Net) Use(i *Identity) {
	n.identity.Store(i)
	n.conns.end(func(c *conn) bool {
		_, err := verify(c.leaf, i.trusted, x509.ExtKeyUsageAny, n.conf.Now())
		return c.inbound && err != nil
	})
	for _, p := range n.allPeers() {
		p.renew()
	}
}

// Drop ends all connections with a node, and what waits for it is lost. It is
// called after Member has begun to say no.
func (n *Net) Drop(id uint64) {
	n.mu.Lock()
	p := n.peers[id]
	delete(n.peers, id)
	n.mu.Unlock()
	if p != nil {
		p.stop()
	}
	n.conns.end(func(c *conn) bool { return c.peer == id })
}

// Heard is when a node last sent something, if it did since this one started.
func (n *Net) Heard(id uint64) (time.Time, bool) {
	n.mu.Lock()
	p := n.peers[id]
	n.mu.Unlock()
	if p == nil {
		return time.Time{}, false
	}
	at := p.heard.Load()
	if at == nil {
		return time.Time{}, false
	}
	return *at, true
}

// Close ends everything: listeners, connections and what waits. It returns when
// all of it has ended, so a receiver is not called any more.
func (n *Net) Close() {
	n.cancel()
	n.mu.Lock()
	for ln := range n.listeners {
		ln.Close()
	}
	n.mu.Unlock()
	n.conns.close()
	n.lobby.close()
	n.work.Wait()
}

// own is this node's identity with a certificate.
func (n *Net) own() (*Identity, error) {
	i := n.identity.Load()
	if i == nil || i.certificate == nil {
		return nil, ErrNoIdentity
	}
	return i, nil
}

// admits says whether a connection may still be used: its node is a member and
// its certificate is within its time.
func (n *Net) admits(c *conn) error {
	if !n.conf.Member(c.peer) {
		return fmt.Errorf("node %016x: %w", c.peer, ErrNotMember)
	}
	if now := n.conf.Now(); now.After(c.leaf.NotAfter) {
		return fmt.Errorf("the certificate of node %016x ended on %s", c.peer, c.leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// peer returns what is kept of another node, and begins to keep it.
func (n *Net) peer(id uint64) *peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[id]
	if p == nil {
		p = newPeer(n, id)
		n.peers[id] = p
	}
	return p
}

func (n *Net) allPeers() []*peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []*peer
	for _, p := range n.peers {
		all = append(all, p)
	}
	return all
}

// goDo runs f as work that Close waits for; it is false after Close.
func (n *Net) goDo(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return false
	}
	n.work.Go(f)
	return true
}
