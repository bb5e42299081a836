package cluster

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/fastness-dev/fastness/storage/raft"
)

var _ raft.Transport = (*Net)(nil)

const (
	firstPause = 20 * time.Millisecond // after a connection that failed
	longPause  = time.Second
	writeSize  = 64 << 10 // bytes that must go out within Limits.Stall
)

// Send hands over a message to its To. It is lost if that node cannot be reached
// or too much waits for it already; raft repeats itself.
func (n *Net) Send(m *raftpb.Message) {
	id := m.GetTo()
	if n.ctx.Err() != nil || !n.conf.Member(id) {
		return
	}
	// Here and not by who writes: raft may reuse what a message points to once
	// Send has returned.
	frame, err := encodeFrame(m)
	if err != nil {
		n.conf.Logger.Error("send a message", slog.Any("error", err))
		return
	}
	n.peer(id).send(frame)
}

// A peer is what is kept of another node.
type peer struct {
	net    *Net
	id     uint64
	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	heard  atomic.Pointer[time.Time]
	shared shared

	mu      sync.Mutex
	queue   [][]byte
	size    int
	running bool
	wake    chan struct{} // 1: there is something in the queue, or the identity changed
	renewed atomic.Uint64 // how often the identity changed
}

func newPeer(n *Net, id uint64) *peer {
	p := &peer{net: n, id: id, wake: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(n.ctx)
	return p
}

func (p *peer) hear() {
	now := p.net.conf.Now()
	p.heard.Store(&now)
}

func (p *peer) send(frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.size+len(frame) > p.net.conf.Limits.Queue && p.size > 0 {
		return
	}
	if !p.running {
		if !p.net.goDo(p.run) {
			return
		}
		p.running = true
	}
	p.queue = append(p.queue, frame)
	p.size += len(frame)
	p.rouse()
}

func (p *peer) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *peer) take() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	frames := p.queue
	p.queue, p.size = nil, 0
	return frames
}

// renew makes the next messages and requests go over connections of the new
// identity.
func (p *peer) renew() {
	p.renewed.Add(1)
	p.rouse()
	p.shared.retire(p.net)
}

func (p *peer) stop() {
	p.cancel()
	p.shared.retire(p.net)
}

// run sends what is in the queue until the peer is stopped.
func (p *peer) run() {
	pause := firstPause
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
		}
		err := p.stream(func() { pause = firstPause })
		if p.ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		p.net.conf.Logger.Debug("the stream of messages to a node broke", slog.Any("error", err))
		if !wait(p.ctx, pause) {
			return
		}
		pause = min(2*pause, longPause)
		p.take() // what waited is old by now, and raft says it again
	}
}

// stream sends over one connection until it breaks, which is an error, or the
// identity changes.
func (p *peer) stream(began func()) error {
	renewed := p.renewed.Load()
	c, err := p.net.dial(p.ctx, p.id, protocolRaft)
	if err != nil {
		return err
	}
	defer c.Close()
	began()
	stop := context.AfterFunc(p.ctx, c.kill)
	defer stop()
	closed := make(chan struct{})
	p.net.work.Go(func() { // nothing comes but the end
		defer close(closed)
		c.Read(make([]byte, 1))
		c.kill()
	})
	defer func() { c.kill(); <-closed }()
	defer c.CloseWrite()

	w := bufio.NewWriterSize(steady{c, p.net.conf.Limits.Stall}, writeSize)
	for {
		frames := p.take()
		for _, frame := range frames {
			if _, err := w.Write(frame); err != nil {
				return fmt.Errorf("send to node %016x: %w", p.id, err)
			}
		}
		if len(frames) > 0 {
			continue // what came meanwhile goes with it
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("send to node %016x: %w", p.id, err)
		}
		if p.renewed.Load() != renewed {
			p.rouse()
			return nil
		}
		select {
		case <-p.wake:
		case <-closed:
			return fmt.Errorf("node %016x ended the stream", p.id)
		}
	}
}

// steady writes in pieces, each of which has its time.
type steady struct {
	conn net.Conn
	time time.Duration
}

func (s steady) Write(b []byte) (written int, err error) {
	for err == nil && written < len(b) {
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.time)); err != nil {
			return written, err
		}
		var n int
		n, err = s.conn.Write(b[written:min(len(b), written+writeSize)])
		written += n
	}
	return written, err
}

// readMessages hands a member's messages to the receiver, in their order.
func (n *Net) readMessages(ctx context.Context, c *conn) {
	err := n.readStream(ctx, c)
	n.conf.Logger.Debug("a stream of messages ended", slog.String("node", fmt.Sprintf("%016x", c.peer)), slog.Any("error", err))
}

func (n *Net) readStream(ctx context.Context, c *conn) error {
	to := n.receiver.Load()
	if to == nil {
		return fmt.Errorf("no log takes messages yet")
	}
	r := bufio.NewReaderSize(c, writeSize)
	for {
		m, err := readFrame(r)
		if err != nil {
			return err
		}
		if err := n.checkMessage(c, m); err != nil {
			return err
		}
		n.peer(c.peer).hear()
		if err := (*to).Receive(ctx, m); err != nil {
			return fmt.Errorf("take a message: %w", err)
		}
	}
}

// checkMessage makes sure that a message is from the node that sent it, and for
// this one.
func (n *Net) checkMessage(c *conn, m *raftpb.Message) error {
	if err := n.admits(c); err != nil {
		return err
	}
	own, err := n.own()
	if err != nil {
		return err
	}
	if m.GetFrom() != c.peer || m.GetTo() != own.id {
		return fmt.Errorf("node %016x sent a message from %016x to %016x, and this is %016x", c.peer, m.GetFrom(), m.GetTo(), own.id)
	}
	return nil
}
