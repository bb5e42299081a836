package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// HTTP/2 of x/net and not of net/http: it speaks over a connection that we
// opened and looked at, never repeats a request by itself, and lets many bodies
// stall on one connection without stopping the rest.

const (
	pingAfter   = 15 * time.Second // without a word
	pingTime    = 15 * time.Second
	headerBytes = 1 << 20   // certificates of a client are among them
	streamBytes = 256 << 10 // of a body that nobody reads yet
	connBytes   = 64 << 20  // of all such bodies of one connection
	streams     = 10_000    // requests at once from one node; more wait
)

// The routes between nodes.
const (
	forwardPath = "/forward"
	statePath   = "/state"
	callPath    = "/call/"
)

func newServer() *http2.Server {
	return &http2.Server{
		MaxConcurrentStreams:     streams,
		MaxUploadBufferPerStream: streamBytes, MaxUploadBufferPerConnection: connBytes,
		ReadIdleTimeout: pingAfter, PingTimeout: pingTime,
	}
}

func newClient() (*http2.Transport, error) {
	t, err := http2.ConfigureTransports(&http.Transport{
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: streamBytes},
		DisableCompression:     true,
		MaxResponseHeaderBytes: headerBytes,
	})
	if err != nil {
		return nil, fmt.Errorf("set up HTTP/2 between nodes: %w", err)
	}
	t.StrictMaxConcurrentStreams = true
	t.ReadIdleTimeout, t.PingTimeout = pingAfter, pingTime
	return t, nil
}

// ErrBroken is for a request without an answer: the other node could not be
// reached or the connection with it broke. If Sent is false, the other node has
// not begun with it and never will; if it is true, nobody knows.
type ErrBroken struct {
	Sent bool
	Err  error
}

func (e ErrBroken) Error() string {
	if e.Sent {
		return fmt.Sprintf("the other node may or may not have done it: %v", e.Err)
	}
	return fmt.Sprintf("the other node was not asked: %v", e.Err)
}

func (e ErrBroken) Unwrap() error { return e.Err }

// do sends a request over the connection that all requests to a node share.
// Errors are [ErrBroken].
func (n *Net) do(id uint64, r *http.Request) (*http.Response, error) {
	var sent atomic.Bool
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		// It is called while the headers are put together, before the first byte.
		WroteHeaderField: func(string, []string) { sent.Store(true) },
	})
	r = r.WithContext(ctx)
	for try := 1; ; try++ {
		cc, err := n.sharedWith(ctx, id)
		if err != nil {
			return nil, ErrBroken{Err: err}
		}
		answer, err := cc.RoundTrip(r)
		if err == nil {
			n.peer(id).hear()
			return answer, nil
		}
		if refused(err) {
			sent.Store(false)
		}
		// It ended before this request came to it.
		if !sent.Load() && try < 3 && ctx.Err() == nil && !cc.CanTakeNewRequest() {
			continue
		}
		return nil, ErrBroken{Sent: sent.Load(), Err: err}
	}
}

// refused says that the other side promised not to have begun.
func refused(err error) bool {
	var stream http2.StreamError
	return errors.As(err, &stream) && stream.Code == http2.ErrCodeRefusedStream
}

// shared is the one connection for requests to a node.
type shared struct {
	mu      sync.Mutex
	client  *http2.ClientConn
	opening *opening
	retired int // how often retire was called
}

// An opening is a connection that is being opened, for all that wait for it.
type opening struct {
	done   chan struct{}
	client *http2.ClientConn
	err    error
}

// sharedWith returns the connection, opened anew if there is none.
func (n *Net) sharedWith(ctx context.Context, id uint64) (*http2.ClientConn, error) {
	p := n.peer(id)
	s := &p.shared
	s.mu.Lock()
	if s.client != nil && s.client.CanTakeNewRequest() {
		defer s.mu.Unlock()
		return s.client, nil
	}
	o := s.opening
	if o == nil {
		o = &opening{done: make(chan struct{})}
		if !n.goDo(func() { n.open(p, o) }) {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		s.opening = o
	}
	s.mu.Unlock()
	select {
	case <-o.done:
		return o.client, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open dials for all that wait; none of them can cancel it for the others.
func (n *Net) open(p *peer, o *opening) {
	s := &p.shared
	defer close(o.done)
	s.mu.Lock()
	retired := s.retired
	s.mu.Unlock()
	c, err := n.dial(p.ctx, p.id, protocolHTTP)
	if err == nil {
		o.client, err = n.client.NewClientConn(c)
		if err != nil {
			c.Close()
		}
	}
	o.err = err
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opening = nil
	if err != nil {
		n.conf.Logger.Debug("no connection for requests", slog.Any("error", err))
		return
	}
	if s.retired != retired {
		// Of the identity before; who waits opens another one.
		n.finish(o.client)
		return
	}
	s.client = o.client
}

// retire makes the next request open a connection anew.
func (s *shared) retire(n *Net) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired++
	if s.client != nil {
		n.finish(s.client)
	}
	s.client = nil
}

// finish lets what is under way end and closes.
func (n *Net) finish(c *http2.ClientConn) {
	n.goDo(func() { c.Shutdown(n.ctx) })
}

// A gate counts handlers of one connection, so that its end can wait for them.
type gate struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}

// routes serves a member's requests. Each looks anew at whether it is one.
func (n *Net) routes(c *conn, g *gate) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(forwardPath, func(w http.ResponseWriter, r *http.Request) { n.serveForwarded(c, w, r) })
	mux.HandleFunc("POST "+statePath, func(w http.ResponseWriter, r *http.Request) { n.serveState(c, w, r) })
	mux.HandleFunc("POST "+callPath+"{name}", func(w http.ResponseWriter, r *http.Request) { n.serveCall(c, w, r) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter() {
			return
		}
		defer g.inside.Done()
		if err := n.admits(c); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		n.peer(c.peer).hear()
		mux.ServeHTTP(w, r)
	})
}
