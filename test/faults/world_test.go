package faults

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/test/clients/target"
)

var secrets = flag.Int("secrets", 40, "how many secrets each server holds before its fault")

// A world is one server with secrets that it acknowledged.
type world struct {
	*testing.T
	ctx     context.Context
	server  *target.Server
	written int
}

// program is the server, built once.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "faults")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755) // nobody runs it too
	}
	if err == nil {
		program, err = target.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func begin(t *testing.T, binary, dir string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	s, err := target.Start(ctx, binary, dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, ctx: ctx, server: s}
	t.Cleanup(func() { w.server.Kill() })
	w.must(s.Do(ctx, http.MethodPost, "/v1/sys/mounts/v2", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}, nil))
	for range *secrets {
		w.must(w.put(w.written))
		w.written++
	}
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v; the server's log:\n%s", err, w.server.Log())
	}
}

type payload struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

func secret(n int) payload { return payload{n, strings.Repeat(fmt.Sprintf("secret %d ", n), 120)} }

func path(n int) string { return fmt.Sprintf("/v1/v2/data/s%d", n) }

func (w *world) put(n int) error {
	return w.server.Do(w.ctx, http.MethodPost, path(n), map[string]any{"data": secret(n)}, nil)
}

// get reads a secret. What is answered and is not what was written is a
// failure of the test, an error may be the right answer.
func (w *world) get(n int) error {
	w.Helper()
	var got struct{ Data struct{ Data payload } }
	if err := w.server.Do(w.ctx, http.MethodGet, path(n), nil, &got); err != nil {
		return err
	}
	if got.Data.Data != secret(n) {
		w.Errorf("secret %d is answered with %+v", n, got.Data.Data)
	}
	return nil
}

// whole wants every acknowledged secret.
func (w *world) whole() {
	w.Helper()
	for n := range w.written {
		if err := w.get(n); err != nil {
			w.Errorf("secret %d was acknowledged: %v", n, err)
		}
	}
}

// restarts wants the server to come up with everything, and to take more.
func (w *world) restarts() {
	w.Helper()
	w.must(w.server.Run(w.ctx))
	w.must(w.server.Unseal(w.ctx))
	w.whole()
	w.must(w.put(w.written))
	w.written++
}

// refuses wants the server to end by itself when it is started, with all the
// texts in what it says.
func (w *world) refuses(texts ...string) {
	w.Helper()
	before := len(w.server.Log())
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	err := w.server.Run(ctx)
	if err == nil {
		w.Fatal("the server runs")
	}
	if !strings.Contains(err.Error(), "the server ended") {
		w.Errorf("the server did not end by itself: %v", err)
	}
	w.says(before, texts...)
}

// says wants texts in the log behind an offset, and no panic.
func (w *world) says(from int, texts ...string) {
	w.Helper()
	log := w.server.Log()[from:]
	log = log[:min(len(log), 10_000)]
	for _, text := range texts {
		if !strings.Contains(log, text) {
			w.Errorf("the log lacks %q:\n%s", text, log)
		}
	}
	for _, sign := range []string{"panic:", "goroutine "} {
		if strings.Contains(log, sign) {
			w.Errorf("the server panicked:\n%s", log)
		}
	}
}

func (w *world) data(parts ...string) string {
	return filepath.Join(append([]string{w.server.Dir, "data"}, parts...)...)
}

// newest is the last file of a pattern below the data directory.
func (w *world) newest(pattern string) string {
	w.Helper()
	names, err := filepath.Glob(w.data(pattern))
	if err != nil || len(names) == 0 {
		w.Fatalf("no %s: %v", pattern, err)
	}
	return names[len(names)-1]
}

// edit changes a file and returns what undoes it.
func (w *world) edit(name string, f func([]byte) []byte) (undo func()) {
	w.Helper()
	was, err := os.ReadFile(name)
	w.must(err)
	w.must(os.WriteFile(name, f(append([]byte{}, was...)), 0o600))
	return func() { w.must(os.WriteFile(name, was, 0o600)) }
}

// live is a file's length without the zeros at its end.
func live(b []byte) int { return len(strings.TrimRight(string(b), "\x00")) }
