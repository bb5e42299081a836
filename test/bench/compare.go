package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/test/clients/target"
)

// A row is one kind of request, and the multiple of the bare server's CPU that
// design.md allows it.
type row struct {
	name   string
	budget float64
	make   func(i int) request
}

// kibibyte is a request to encrypt 1 KiB.
var kibibyte = fmt.Sprintf(`{"plaintext":%q}`, base64.StdEncoding.EncodeToString(make([]byte, 1024)))

// request is what one call sends; an empty body is none.
type request struct {
	method, path, body string
}

// payload makes a KV answer of about the bare server's 400 bytes.
var payload = fmt.Sprintf(`{"data":{"user":"joe","password":%q}}`, strings.Repeat("x", 64))

var rows = []row{
	{"KV v2 read", 2, func(i int) request {
		return request{http.MethodGet, fmt.Sprintf("/v1/bench/data/s%d", i%spread), ""}
	}},
	{"token lookup-self", 2, func(int) request {
		return request{http.MethodGet, "/v1/auth/token/lookup-self", ""}
	}},
	{"KV v2 write", 3, func(i int) request {
		return request{http.MethodPost, fmt.Sprintf("/v1/bench/data/s%d", i%spread), payload}
	}},
	{"transit encrypt of 1 KiB", 2, func(int) request {
		return request{http.MethodPost, "/v1/transit/encrypt/bench", kibibyte}
	}},
	{"AppRole login", 3, func(int) request {
		return request{http.MethodPost, "/v1/auth/approle/login", `{"role_id":"bench","secret_id":"bench"}`}
	}},
}

// spread is the number of secrets that reads and writes go around in.
const spread = 1000

func compare(ctx context.Context, o options, binary string, out io.Writer) error {
	dir, err := os.MkdirTemp("", "fastness-bench-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	bare, err := startBare(ctx, filepath.Join(dir, "bare"))
	if err != nil {
		return fmt.Errorf("start the bare server: %w", err)
	}
	defer bare.stop()
	log.Print("measuring the bare server")
	base, err := measure(ctx, o, bare.load("", func(int) request { return request{http.MethodGet, "/", ""} }))
	if err != nil {
		return fmt.Errorf("bare server: %w", err)
	}

	server, err := prepared(ctx, o, binary, filepath.Join(dir, "fastness"))
	if err != nil {
		return err
	}
	defer server.Kill()

	fmt.Fprintln(out, "| request | CPU µs | × bare | budget | requests/s |")
	fmt.Fprintln(out, "|---|---:|---:|---:|---:|")
	fmt.Fprintf(out, "| bare net/http, 400 bytes | %.1f | 1.0 | | %.0f |\n", base.cpu, base.rate)
	for _, r := range rows {
		log.Printf("measuring %s", r.name)
		l := load{client: server.HTTP(), addr: server.Addr, token: server.RootToken, pid: server.PID(), make: r.make}
		got, err := measure(ctx, o, l)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Fprintf(out, "| %s | %.1f | %.1f | %.0f | %.0f |\n", r.name, got.cpu, got.cpu/base.cpu, r.budget, got.rate)
	}
	memory, err := residentMiB(server.PID())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nAudit to a file is on; resident memory afterwards is %.0f MiB.\n", memory)
	return nil
}

// prepared starts a server with a KV v2 mount of spread secrets and a file
// audit device.
func prepared(ctx context.Context, o options, binary, dir string) (*target.Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := target.Start(ctx, binary, dir)
	if err != nil {
		return nil, err
	}
	if err := furnish(ctx, o, s, dir); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

func furnish(ctx context.Context, o options, s *target.Server, dir string) error {
	mount := map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}
	if err := s.Do(ctx, http.MethodPost, "/v1/sys/mounts/bench", mount, nil); err != nil {
		return err
	}
	audit := map[string]any{"type": "file", "options": map[string]string{"file_path": filepath.Join(dir, "audit.log")}}
	if err := s.Do(ctx, http.MethodPut, "/v1/sys/audit/file", audit, nil); err != nil {
		return err
	}
	for _, w := range []struct {
		path string
		body map[string]any
	}{
		{"/v1/sys/mounts/transit", map[string]any{"type": "transit"}},
		{"/v1/transit/keys/bench", map[string]any{}},
		{"/v1/sys/auth/approle", map[string]any{"type": "approle"}},
		{"/v1/auth/approle/role/bench", map[string]any{"role_id": "bench", "token_policies": "bench", "token_ttl": "1h"}},
		{"/v1/auth/approle/role/bench/custom-secret-id", map[string]any{"secret_id": "bench"}},
	} {
		if err := s.Do(ctx, http.MethodPost, w.path, w.body, nil); err != nil {
			return err
		}
	}
	return fill(ctx, s, o.clients, spread)
}

// result is what one row came to: the server's CPU per request in microseconds
// of user and system time, and answers per second of wall-clock time.
type result struct {
	cpu, rate float64
}

// measure sends a tenth of the requests unmeasured, so that connections,
// caches and the heap have settled, and then all of them.
func measure(ctx context.Context, o options, l load) (result, error) {
	if err := l.drive(ctx, o.clients, max(o.requests/10, 1)); err != nil {
		return result{}, err
	}
	before, err := cpuTime(l.pid)
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	if err := l.drive(ctx, o.clients, o.requests); err != nil {
		return result{}, err
	}
	took := time.Since(began)
	after, err := cpuTime(l.pid)
	if err != nil {
		return result{}, err
	}
	return result{
		cpu:  float64((after - before).Microseconds()) / float64(o.requests),
		rate: float64(o.requests) / took.Seconds(),
	}, nil
}
