package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// greeting is what who listens says first on a stream of messages. In TLS 1.3
// who dials does not learn otherwise that it was refused before it has sent
// something, which is then lost.
const greeting = 0x01

// Serve takes connections from ln until ln or the Net is closed. It returns when
// everything that came over ln has ended; the error is nil when ln was closed.
func (n *Net) Serve(ln net.Listener) error {
	if !n.keep(ln) {
		ln.Close()
		return ErrClosed
	}
	ctx, cancel := context.WithCancel(n.ctx)
	var served sync.WaitGroup
	defer func() {
		n.mu.Lock()
		delete(n.listeners, ln)
		n.mu.Unlock()
		cancel()
		served.Wait()
		n.work.Done()
	}()
	for {
		raw, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// Out of file descriptors, mostly; those that are open go on.
			n.conf.Logger.Warn("take a connection of the cluster", slog.Any("error", err))
			if !wait(ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		}
		leave := n.lobby.enter(raw)
		served.Go(func() { n.welcome(ctx, raw, leave) })
	}
}

func (n *Net) keep(ln net.Listener) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return false
	}
	n.listeners[ln] = struct{}{}
	n.work.Add(1)
	return true
}

// welcome finds out who connects and serves it.
func (n *Net) welcome(ctx context.Context, raw net.Conn, leave func()) {
	defer raw.Close()
	c, err := n.handshake(ctx, raw)
	leave()
	if err != nil {
		n.conf.Logger.Debug("a connection to the cluster's address was refused",
			slog.String("remote", raw.RemoteAddr().String()), slog.Any("error", err))
		return
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, c.kill) // the listener was closed
	defer stop()
	if c.protocol == protocolRaft {
		n.readMessages(ctx, c)
		return
	}
	var handlers gate
	defer handlers.close()
	n.server.ServeConn(c, &http2.ServeConnOpts{
		Context: ctx, Handler: n.routes(c, &handlers),
		BaseConfig: &http.Server{MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(n.conf.Logger.Handler(), slog.LevelInfo)},
	})
}

// handshake admits a member, or says why not.
func (n *Net) handshake(ctx context.Context, raw net.Conn) (*conn, error) {
	own, err := n.own()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.conf.Limits.Handshake)
	defer cancel()
	var peer uint64
	tc := tls.Server(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocolRaft, protocolHTTP},
		Certificates: []tls.Certificate{*own.tls()},
		// A resumed session would carry a certificate past its end.
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequireAnyClientCert, // VerifyConnection looks at it
		VerifyConnection: func(s tls.ConnectionState) (err error) {
			peer, err = verify(s.PeerCertificates[0], own.trusted, x509.ExtKeyUsageClientAuth, n.conf.Now())
			if err == nil && (peer == own.id || !n.conf.Member(peer)) {
				err = fmt.Errorf("node %016x: %w", peer, ErrNotMember)
			}
			return err
		},
	})
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	c, err := n.admit(tc, peer, true)
	if err != nil || c.protocol != protocolRaft {
		return c, err
	}
	deadline, _ := ctx.Deadline()
	if err := errors.Join(c.SetDeadline(deadline), writeAll(c, []byte{greeting}), c.SetDeadline(time.Time{})); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// admit begins to keep a connection whose handshake has ended.
func (n *Net) admit(tc *tls.Conn, peer uint64, inbound bool) (*conn, error) {
	s := tc.ConnectionState()
	if s.NegotiatedProtocol != protocolRaft && s.NegotiatedProtocol != protocolHTTP {
		return nil, errors.New("it asked for no protocol of the cluster")
	}
	c := &conn{Conn: tc, peer: peer, leaf: s.PeerCertificates[0], protocol: s.NegotiatedProtocol, inbound: inbound, all: &n.conns}
	if !n.conns.add(c) {
		return nil, ErrClosed
	}
	// Whoever was removed since the handshake looked is missed by Drop or refused
	// here, and so is one whose authority went.
	err := n.admits(c)
	if own, errOwn := n.own(); err == nil && errOwn == nil {
		_, err = verify(c.leaf, own.trusted, x509.ExtKeyUsageAny, n.conf.Now())
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func writeAll(c net.Conn, b []byte) error {
	_, err := c.Write(b)
	return err
}

// wait is false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// A lobby holds connections of which nobody knows yet whose they are. When it is
// full, who comes pushes out who has been there for longest: a member's
// handshake takes milliseconds, a flood's never ends.
type lobby struct {
	slots chan struct{}

	mu      sync.Mutex
	waiting []net.Conn // oldest first
	closed  bool
}

func newLobby(size int) *lobby { return &lobby{slots: make(chan struct{}, size)} }

// enter returns when there is room. Calls come one at a time per listener.
func (l *lobby) enter(c net.Conn) (leave func()) {
	select {
	case l.slots <- struct{}{}:
	default:
		l.evict()
		l.slots <- struct{}{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
	}
	l.waiting = append(l.waiting, c)
	return func() {
		l.forget(c)
		<-l.slots
	}
}

func (l *lobby) evict() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 {
		l.waiting[0].Close()
		l.waiting = l.waiting[1:]
	}
}

func (l *lobby) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting {
		if w == c {
			l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
			return
		}
	}
}

func (l *lobby) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.waiting {
		c.Close()
	}
}
