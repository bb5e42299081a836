package cluster_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/cluster"
)

// knock opens a connection by hand and returns it with its first byte, or why
// there is none.
func knock(t *testing.T, address string, conf *tls.Config) (net.Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	conf.InsecureSkipVerify = true
	c := tls.Client(raw, conf)
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return nil, err
	}
	return c, nil
}

func TestWhoIsLetIn(t *testing.T) {
	w := newTown(t, 1, 2, 4)
	w.remove(4)
	other := newAuthority(t, start.Add(-60*24*time.Hour))
	authority := &tls.Certificate{Certificate: [][]byte{w.authority.Certificate()}, PrivateKey: authorityKey(t, w.authority)}
	for _, test := range []struct {
		name        string
		certificate *tls.Certificate
		change      func(*tls.Config)
		in          bool
	}{
		{name: "a member", certificate: w.identity(2, w.authority, start).TLS(), in: true},
		{name: "a stranger without a certificate"},
		{name: "a node of another cluster", certificate: w.identity(2, other, start).TLS()},
		{name: "a node that is no member", certificate: w.identity(3, w.authority, start).TLS()},
		{name: "a node that was removed", certificate: w.identity(4, w.authority, start).TLS()},
		{name: "the node itself", certificate: w.identity(1, w.authority, start).TLS()},
		{name: "a certificate that has ended", certificate: w.identity(2, w.authority, start.Add(-31*24*time.Hour)).TLS()},
		{name: "a certificate of tomorrow", certificate: w.identity(2, w.authority, start.Add(24*time.Hour)).TLS()},
		{name: "the authority in person", certificate: authority},
		{name: "TLS 1.2", certificate: w.identity(2, w.authority, start).TLS(), change: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{name: "no protocol", certificate: w.identity(2, w.authority, start).TLS(), change: func(c *tls.Config) { c.NextProtos = nil }},
		{name: "another protocol", certificate: w.identity(2, w.authority, start).TLS(), change: func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }},
	} {
		for _, protocol := range []string{cluster.ProtocolRaft, cluster.ProtocolHTTP} {
			t.Run(test.name+" by "+protocol, func(t *testing.T) {
				conf := &tls.Config{NextProtos: []string{protocol}}
				if test.certificate != nil {
					conf.Certificates = []tls.Certificate{*test.certificate}
				}
				if test.change != nil {
					test.change(conf)
				}
				address, _ := w.address(1)
				_, err := knock(t, address, conf)
				if in := err == nil; in != test.in {
					t.Errorf("let in: %v (%v)", in, err)
				}
			})
		}
	}
}

// TestWhoAnswers has a node call node 2 where somebody else listens.
func TestWhoAnswers(t *testing.T) {
	w := newTown(t, 1, 2, 3)
	other := newAuthority(t, start.Add(-60*24*time.Hour))
	echo := func(_ context.Context, _ uint64, q []byte) ([]byte, error) { return q, nil }
	for _, n := range w.nodes {
		n.Handle("echo", echo)
	}
	right, _ := w.address(2)
	third, _ := w.address(3)
	for name, identity := range map[string]*cluster.Identity{
		"another cluster":              w.identity(2, other, start),
		"a certificate that has ended": w.identity(2, w.authority, start.Add(-31*24*time.Hour)),
		"no TLS at all":                nil,
	} {
		t.Run(name, func(t *testing.T) {
			w.move(2, impostor(t, identity))
			var broken cluster.ErrBroken
			if _, err := w.nodes[1].Call(t.Context(), 2, "echo", nil); !errors.As(err, &broken) || broken.Sent {
				t.Errorf("it was called, %v", err)
			}
		})
	}
	w.move(2, third)
	if _, err := w.nodes[1].Call(t.Context(), 2, "echo", nil); err == nil {
		t.Error("node 3 answered for node 2")
	}
	w.move(2, right)
	if _, err := w.nodes[1].Call(t.Context(), 2, "echo", nil); err != nil {
		t.Errorf("node 2 itself: %v", err)
	}
}

// impostor listens and takes every client.
func impostor(t *testing.T, i *cluster.Identity) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			if i == nil {
				io.WriteString(raw, "SSH-2.0-not-this\r\n")
				raw.Close()
				continue
			}
			go func() {
				defer raw.Close()
				c := tls.Server(raw, &tls.Config{NextProtos: []string{"h2"}, Certificates: []tls.Certificate{*i.TLS()}, ClientAuth: tls.RequestClientCert})
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return ln.Addr().String()
}

func TestMessagesAreOfWhoSentThem(t *testing.T) {
	w := newTown(t, 1, 2, 3)
	for name, frame := range map[string][]byte{
		"of another member":       encode(t, 3, 1),
		"of nobody":               encode(t, 0, 1),
		"for another member":      encode(t, 2, 3),
		"that is no message":      {0, 0, 0, 1, 0xff},
		"that is too long":        {0xff, 0xff, 0xff, 0xff},
		"after a good one, of 3":  append(encode(t, 2, 1), encode(t, 3, 1)...),
		"that ends before itself": encode(t, 2, 1)[:5],
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := w.address(1)
			c, err := knock(t, address, &tls.Config{NextProtos: []string{cluster.ProtocolRaft},
				Certificates: []tls.Certificate{*w.identity(2, w.authority, start).TLS()}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(frame); err != nil {
				t.Fatal(err)
			}
			if err := c.(*tls.Conn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("it answered %d bytes", n)
			}
		})
	}
	// The streams above have ended, so all that came of them is here.
	close(w.nodes[1].messages)
	var from []uint64
	for m := range w.nodes[1].messages {
		from = append(from, m.GetFrom())
	}
	if len(from) != 1 || from[0] != 2 {
		t.Errorf("messages of %d were taken, and the good one is of 2", from)
	}
}

func encode(t *testing.T, from, to uint64) []byte {
	t.Helper()
	b, err := cluster.EncodeFrame(heartbeat(from, to, 7))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestConnectionEndsWithItsCertificate keeps a stream open past that day.
func TestConnectionEndsWithItsCertificate(t *testing.T) {
	w := newTown(t, 1, 2)
	a, b := w.nodes[1], w.nodes[2]
	b.Handle("echo", func(_ context.Context, _ uint64, q []byte) ([]byte, error) { return q, nil })
	a.sayUntilHeard(b, 1)
	if _, err := a.Call(t.Context(), 2, "echo", nil); err != nil {
		t.Fatal(err)
	}
	w.pass(31 * 24 * time.Hour)
	if _, err := a.Call(t.Context(), 2, "echo", nil); err == nil {
		t.Error("a request came in under a certificate that has ended")
	}
	b.Use(w.identity(2, w.authority, w.clock()))
	a.Use(w.identity(1, w.authority, w.clock()))
	a.sayUntilHeard(b, 2)
	if _, err := a.Call(t.Context(), 2, "echo", nil); err != nil {
		t.Error(err)
	}
}

// TestFlood opens many connections that never say anything. A member gets in,
// and no more of them are open than the limit says.
func TestFlood(t *testing.T) {
	const limit, flood = 4, 300
	w := newTown(t, 1)
	w.members = []uint64{1, 2}
	n := w.addLimited(2, w.identity(2, w.authority, start), cluster.Limits{HalfOpen: limit, Handshake: time.Hour})
	n.Handle("echo", func(_ context.Context, _ uint64, q []byte) ([]byte, error) { return q, nil })
	n.deafen()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &counting{Listener: ln}
	n.listenOn(counted)

	for i := range flood {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 { // half of a client's hello
			c.Write([]byte{0x16, 0x03, 0x01, 0x40, 0x00, 0x01})
		}
	}
	if _, err := w.nodes[1].Call(t.Context(), 2, "echo", nil); err != nil {
		t.Fatal(err)
	}
	// All that came before the member had been taken by then, and one more waits
	// while the oldest is put out.
	if counted.taken < flood+1 || counted.peak > limit+1 {
		t.Errorf("%d connections were taken and up to %d open at once", counted.taken, counted.peak)
	}
}

type counting struct {
	net.Listener
	mu                sync.Mutex
	taken, open, peak int
}

func (c *counting) Accept() (net.Conn, error) {
	raw, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken++
	c.open++
	c.peak = max(c.peak, c.open)
	return &countedConn{Conn: raw, of: c}, nil
}

type countedConn struct {
	net.Conn
	once sync.Once
	of   *counting
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.of.mu.Lock()
		defer c.of.mu.Unlock()
		c.of.open--
	})
	return c.Conn.Close()
}

func TestCloseEndsAll(t *testing.T) {
	w := newTown(t, 1, 2)
	a, b := w.nodes[1], w.nodes[2]
	entered := make(chan struct{})
	b.Handle("wait", func(ctx context.Context, _ uint64, _ []byte) ([]byte, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	a.sayUntilHeard(b, 1)
	b.sayUntilHeard(a, 1)
	failed := make(chan error)
	go func() { _, err := a.Call(context.Background(), 2, "wait", nil); failed <- err }()
	<-entered
	b.Close()
	if err := <-failed; err == nil {
		t.Error("the call was answered")
	}
	if b.Open() != 0 {
		t.Errorf("%d connections are left", b.Open())
	}
	if _, err := b.Call(t.Context(), 1, "wait", nil); !errors.Is(err, cluster.ErrClosed) {
		t.Errorf("call after Close: %v", err)
	}
	b.Send(heartbeat(2, 1, 2))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(ln); !errors.Is(err, cluster.ErrClosed) {
		t.Errorf("serve after Close: %v", err)
	}
}
