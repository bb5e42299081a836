package crash

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/test/clients/target"
)

var children = flag.Int("children", 3000, "tokens below the one whose revocation is interrupted")

// TestCrashWhileRevoking kills the server in the middle of the revocation of a
// token with thousands of children: once it is back, the token and all of them
// are gone. Of 3,000 children, five transactions are needed.
func TestCrashWhileRevoking(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	binary, err := target.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := target.Start(ctx, binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Kill() }()
	parent := child(ctx, t, s, s.RootToken)
	var next, made atomic.Int64
	var wg sync.WaitGroup
	var last string
	var mu sync.Mutex
	for range 32 {
		wg.Go(func() {
			for next.Add(1) <= int64(*children) {
				raw := child(ctx, t, s, parent)
				made.Add(1)
				mu.Lock()
				last = raw
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n := accessors(ctx, t, s); n < int(made.Load()) || made.Load() != int64(*children) {
		t.Fatalf("%d accessors of %d children", n, made.Load())
	}
	must(t, s, s.Do(ctx, http.MethodPost, "/v1/auth/token/revoke", map[string]string{"token": parent}, nil))
	s.Kill() // what one transaction had no room for is on its way
	must(t, s, s.Run(ctx))
	must(t, s, s.Unseal(ctx))
	for _, raw := range []string{parent, last} {
		if err := s.Do(ctx, http.MethodPost, "/v1/auth/token/lookup", map[string]string{"token": raw}, nil); err == nil && raw == parent {
			t.Error("the revoked token lives")
		}
	}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		n := accessors(ctx, t, s)
		if n <= 1 { // root's own
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d tokens are left; the server's log:\n%s", n, s.Log())
		}
		time.Sleep(50 * time.Millisecond) // the server is another process: it is asked again
	}
	if err := s.Do(ctx, http.MethodPost, "/v1/auth/token/lookup", map[string]string{"token": last}, nil); err == nil {
		t.Error("a child lives")
	}
}

func child(ctx context.Context, t *testing.T, s *target.Server, of string) string {
	var a struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		}
	}
	if err := s.DoAs(ctx, of, http.MethodPost, "/v1/auth/token/create", map[string]any{"policies": []string{"root"}, "ttl": "24h"}, &a); err != nil {
		t.Error(fmt.Errorf("make a child: %w", err))
	}
	return a.Auth.ClientToken
}

func accessors(ctx context.Context, t *testing.T, s *target.Server) int {
	t.Helper()
	var a struct{ Data struct{ Keys []string } }
	must(t, s, s.Do(ctx, "LIST", "/v1/auth/token/accessors", nil, &a))
	return len(a.Data.Keys)
}
