package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fastness-dev/fastness/test/clients/target"
)

// A load is a stream of requests at one server process.
type load struct {
	client *http.Client
	addr   string
	token  string // empty for none
	pid    int
	make   func(i int) request
}

// drive sends n requests with the given number in flight and stops at the first
// that is not answered with 200 or 204.
func (l load) drive(ctx context.Context, clients, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := l.send(ctx, l.make(i)); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (l load) send(ctx context.Context, r request) error {
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, l.addr+r.path, body)
	if err != nil {
		return err
	}
	if l.token != "" {
		req.Header.Set("X-Vault-Token", l.token)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s %s answered %d: %s", r.method, r.path, resp.StatusCode, text)
	}
	return nil
}

// fill writes n secrets to the mount bench.
func fill(ctx context.Context, s *target.Server, clients, n int) error {
	l := load{client: s.HTTP(), addr: s.Addr, token: s.RootToken, make: func(i int) request {
		return request{http.MethodPost, fmt.Sprintf("/v1/bench/data/s%d", i), payload}
	}}
	if err := l.drive(ctx, clients, n); err != nil {
		return fmt.Errorf("write %d secrets: %w", n, err)
	}
	return nil
}
