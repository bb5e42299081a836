package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// ErrNoCall is for a call that the other node does not know, such as an older one.
var ErrNoCall = errors.New("the other node knows no such call")

// ErrAnswered is an error that the other node answered a call with.
type ErrAnswered struct {
	Node uint64
	Text string
}

func (e ErrAnswered) Error() string { return fmt.Sprintf("node %016x: %s", e.Node, e.Text) }

// A CallHandler answers another node. Its error goes there as text, except for
// [ErrNotLeader], which stays what it is.
type CallHandler func(ctx context.Context, from uint64, body []byte) ([]byte, error)

// calls are the handlers by name.
type calls struct {
	mu     sync.RWMutex
	byName map[string]CallHandler
}

// Handle says what answers calls of a name, in place of what did before. Names
// are lower case letters and dashes.
func (n *Net) Handle(name string, h CallHandler) {
	n.calls.mu.Lock()
	defer n.calls.mu.Unlock()
	if n.calls.byName == nil {
		n.calls.byName = map[string]CallHandler{}
	}
	n.calls.byName[name] = h
}

// Call asks another node and returns its answer. Errors are [ErrNoCall],
// [ErrNotLeader], [ErrAnswered] and [ErrBroken].
func (n *Net) Call(ctx context.Context, to uint64, name string, body []byte) ([]byte, error) {
	answer, err := n.call(ctx, to, name, body)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", name, err)
	}
	return answer, nil
}

func (n *Net) call(ctx context.Context, to uint64, name string, body []byte) ([]byte, error) {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" || name == "" {
		return nil, ErrNoCall
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://node"+callPath+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := n.do(to, r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	limit := n.conf.Limits.Body
	b, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil {
		return nil, ErrBroken{Sent: true, Err: err}
	}
	if int64(len(b)) > limit {
		return nil, ErrBroken{Sent: true, Err: fmt.Errorf("the answer has more than %d bytes", limit)}
	}
	switch {
	case answer.StatusCode == http.StatusOK:
		return b, nil
	case answer.Header.Get(notLeader) != "":
		return nil, ErrNotLeader
	case answer.StatusCode == http.StatusNotFound:
		return nil, ErrNoCall
	}
	return nil, ErrAnswered{Node: to, Text: string(bytes.TrimSpace(b))}
}

func (n *Net) serveCall(c *conn, w http.ResponseWriter, r *http.Request) {
	n.calls.mu.RLock()
	h := n.calls.byName[r.PathValue("name")]
	n.calls.mu.RUnlock()
	if h == nil {
		http.Error(w, ErrNoCall.Error(), http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, n.conf.Limits.Body))
	if err != nil {
		http.Error(w, fmt.Sprintf("read the call: %v", err), http.StatusBadRequest)
		return
	}
	answer, err := h(r.Context(), c.peer, body)
	switch {
	case errors.Is(err, ErrNotLeader):
		AnswerNotLeader(w)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	}
}

// Reply handles calls whose question and answer are JSON of these types.
func Reply[Q, A any](n *Net, name string, h func(ctx context.Context, from uint64, q Q) (A, error)) {
	n.Handle(name, func(ctx context.Context, from uint64, body []byte) ([]byte, error) {
		var q Q
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, fmt.Errorf("read the question: %w", err)
		}
		a, err := h(ctx, from, q)
		if err != nil {
			return nil, err
		}
		return json.Marshal(a)
	})
}

// Ask calls what Reply handles.
func Ask[Q, A any](ctx context.Context, n *Net, to uint64, name string, q Q) (a A, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return a, fmt.Errorf("call %s: %w", name, err)
	}
	b, err := n.Call(ctx, to, name, body)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("call %s: read the answer: %w", name, err)
	}
	return a, nil
}
