package crash

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/test/clients/target"
)

// TestSecondServer starts a second server on the data directory of a running
// one, sealed and unsealed. It ends by itself with an error that names the
// directory, and the first one's data is as it was, also after the next crash.
func TestSecondServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	binary, err := target.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first, err := target.Start(ctx, binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { first.Kill() }()
	must(t, first, mount(ctx, first))
	before := write{engine: v2, path: "before", n: 1, acked: true}
	must(t, first, before.put(ctx, first))

	t.Run("unsealed", func(t *testing.T) { refused(ctx, t, binary, first) })
	before.check(ctx, t, first)
	after := write{engine: v2, path: "after", n: 2, acked: true}
	must(t, first, after.put(ctx, first))

	first.Kill()
	must(t, first, first.Run(ctx))
	t.Run("sealed", func(t *testing.T) { refused(ctx, t, binary, first) })
	must(t, first, first.Unseal(ctx))
	before.check(ctx, t, first)
	after.check(ctx, t, first)
}

// refused starts a server with a config of its own whose data directory is
// first's, and wants it to end by itself and say why.
func refused(ctx context.Context, t *testing.T, binary string, first *target.Server) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(first.Dir, "data"), filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	second, err := target.Start(ctx, binary, dir)
	if err == nil {
		second.Kill()
		t.Fatal("a second server runs on the same data directory")
	}
	text := err.Error()
	if !strings.Contains(text, "the server ended") {
		t.Errorf("the second server did not end by itself: %s", text)
	}
	if data := filepath.Join(dir, "data"); !strings.Contains(text, "error: open "+data) {
		t.Errorf("the refusal does not name the data directory %s: %s", data, text)
	}
	if !strings.Contains(text, "another process is using") {
		t.Errorf("the refusal does not say why: %s", text)
	}
	for _, sign := range []string{"panic:", "goroutine "} {
		if strings.Contains(text, sign) {
			t.Errorf("the second server panicked: %s", text)
		}
	}
	must(t, first, first.Do(ctx, http.MethodGet, "/v1/sys/seal-status", nil, nil))
}
