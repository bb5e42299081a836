package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"time"
)

// The protocols that a handshake chooses from.
const (
	protocolRaft = "fastness-raft/1" // frames, from who dialed to who listens
	protocolHTTP = "h2"
)

// A conn is a connection with a member, whoever opened it. Close may be called
// more than once.
type conn struct {
	*tls.Conn
	peer     uint64
	leaf     *x509.Certificate
	protocol string
	inbound  bool
	all      *conns
	leaving  bool // guarded by all: a newer stream of messages took its place
}

// Close says goodbye, if the other side listens.
func (c *conn) Close() error {
	c.all.remove(c)
	return c.Conn.Close()
}

// kill closes without a word, so it never waits.
func (c *conn) kill() { c.NetConn().Close() }

// streamsLike says that both are streams of messages from one node to this one.
func (c *conn) streamsLike(other *conn) bool {
	return c.inbound && other.inbound && c.peer == other.peer &&
		c.protocol == protocolRaft && other.protocol == protocolRaft
}

// conns are all connections with members.
type conns struct {
	mu     sync.Mutex
	set    map[*conn]struct{}
	closed bool
}

// lastWords is for what is under way on a stream of messages when the same node
// has opened another one: it renewed its certificate, or restarted.
const lastWords = time.Second

// add begins to keep c, and is false after close. An older stream of messages
// from the same node ends soon, and one older than that ends now.
func (s *conns) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.set == nil {
		s.set = map[*conn]struct{}{}
	}
	for other := range s.set {
		if !c.streamsLike(other) {
			continue
		}
		if other.leaving {
			other.kill()
		}
		other.leaving = true
		other.SetReadDeadline(time.Now().Add(lastWords))
	}
	s.set[c] = struct{}{}
	return true
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	delete(s.set, c)
	s.mu.Unlock()
}

// end kills those that match. Who uses them closes them.
func (s *conns) end(match func(*conn) bool) {
	for _, c := range s.list() {
		if match(c) {
			c.kill()
		}
	}
}

func (s *conns) list() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.set))
	for c := range s.set {
		list = append(list, c)
	}
	return list
}

func (s *conns) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(func(*conn) bool { return true })
}
