package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// ErrStalled is for a stream on which nothing went for Limits.Stall.
var ErrStalled = errors.New("nothing went on for too long")

var errUnread = errors.New("the other node did not read to the end")

// SendState carries a message and the rows that belong to it until the other
// node has taken them. It has a connection of its own, so that requests do not
// wait behind it. However long it takes, it goes on as long as something goes.
// After it has returned, write is not running.
func (n *Net) SendState(ctx context.Context, m *raftpb.Message, write func(io.Writer) error) error {
	if err := n.sendState(ctx, m, write); err != nil {
		return fmt.Errorf("send the state to node %016x: %w", m.GetTo(), err)
	}
	return nil
}

func (n *Net) sendState(ctx context.Context, m *raftpb.Message, write func(io.Writer) error) error {
	frame, err := encodeFrame(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx, func() { cancel(ErrClosed) })()
	c, err := n.dial(ctx, m.GetTo(), protocolHTTP)
	if err != nil {
		return err
	}
	defer c.Close()
	client, err := n.client.NewClientConn(c)
	if err != nil {
		return err
	}
	defer client.Close()

	rows, in := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := write(in)
		in.CloseWithError(err) // nil is the end
		wrote <- err
	}()
	body := newMoving(io.MultiReader(bytes.NewReader(frame), rows), n.conf.Limits.Stall, func() { cancel(ErrStalled) })
	err = n.postState(ctx, client.RoundTrip, body)
	body.done()
	rows.CloseWithError(errors.Join(errUnread, err))
	return whichever(<-wrote, err, context.Cause(ctx))
}

// whichever says what went wrong first: the rows' own error, then the end of the
// whole, then what the connection made of it.
func whichever(wrote, sent, cause error) error {
	switch {
	case sent == nil:
		return wrote
	case cause != nil:
		return cause
	case wrote != nil && !errors.Is(wrote, sent):
		return wrote
	}
	return sent
}

func (n *Net) postState(ctx context.Context, roundTrip func(*http.Request) (*http.Response, error), body io.Reader) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://node"+statePath, body)
	if err != nil {
		return err
	}
	answer, err := roundTrip(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNoContent {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("it answered %d: %w", answer.StatusCode, err)
	}
	return fmt.Errorf("it answered %d: %s", answer.StatusCode, bytes.TrimSpace(text))
}

// moving is a body that must go on moving until it has ended.
type moving struct {
	r     io.Reader
	limit time.Duration
	timer *time.Timer
	ended atomic.Bool
}

func newMoving(r io.Reader, limit time.Duration, stalled func()) *moving {
	return &moving{r: r, limit: limit, timer: time.AfterFunc(limit, stalled)}
}

func (m *moving) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	if err != nil || m.ended.Load() {
		m.done()
	} else {
		m.timer.Reset(m.limit)
	}
	return n, err
}

// done ends the watch. The answer may take its time: pings tell whether the
// other node is alive.
func (m *moving) done() {
	m.ended.Store(true)
	m.timer.Stop()
}

func (n *Net) serveState(c *conn, w http.ResponseWriter, r *http.Request) {
	to := n.receiver.Load()
	if to == nil {
		http.Error(w, "no log takes a state yet", http.StatusServiceUnavailable)
		return
	}
	m, err := readFrame(r.Body)
	if err == nil {
		err = n.checkMessage(c, m)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := (*to).ReceiveState(r.Context(), m, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
