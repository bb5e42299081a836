package faults

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A byte of the rows' own files is flipped. No secret is answered wrong, the
// node says which file, and with the file restored all are there.
func TestRows(t *testing.T) {
	w := begin(t, program, t.TempDir())
	w.must(w.server.Stop(w.ctx)) // rows are written out
	name := w.newest("state/*.sst")
	undo := w.edit(name, func(b []byte) []byte {
		for at := len(b) * 2 / 5; at < len(b)*2/3; at += 5000 { // among the secrets
			b[at] ^= 1
		}
		return b
	})
	from := len(w.server.Log())
	w.must(w.server.Run(w.ctx))
	w.must(w.server.Unseal(w.ctx))
	failed := 0
	for n := range w.written {
		err := w.get(n)
		if err == nil {
			continue
		}
		failed++
		if !strings.Contains(err.Error(), "answered 500") || !strings.Contains(err.Error(), "storage is corrupt") {
			w.Errorf("secret %d: %v", n, err)
		}
	}
	if failed == 0 {
		w.Error("no read met the damage")
	}
	if err := w.put(1000); err == nil || !strings.Contains(err.Error(), "storage is corrupt") {
		w.Errorf("a write to damaged rows: %v", err)
	}
	w.says(from, name, "storage is corrupt", "restore this node from a backup or from its peers")
	w.server.Kill()
	undo()
	w.restarts()
}

// A keyring that is damaged does not unseal, and the answer and the log say
// why.
func TestKeyring(t *testing.T) {
	w := begin(t, program, t.TempDir())
	w.must(w.server.Stop(w.ctx))
	undo := w.row("keyring", func(b []byte) { b[len(b)/2] ^= 1 })
	from := len(w.server.Log())
	w.must(w.server.Run(w.ctx))
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	err := w.server.Do(ctx, http.MethodPut, "/v1/sys/unseal", map[string]string{"key": w.server.UnsealKey}, nil)
	if err == nil {
		w.Fatal("unsealed with a damaged keyring")
	}
	if !strings.Contains(err.Error(), "answered 500") || !strings.Contains(err.Error(), "storage is corrupt") {
		w.Errorf("the answer to unseal: %v", err)
	}
	w.says(from, "keyring", "damaged", "restore this node from a backup or from its peers")
	w.must(w.server.Stop(w.ctx))
	undo()
	w.restarts()
}

// row changes a bare row where no server sees it, and returns what undoes it.
func (w *world) row(path string, f func([]byte)) (undo func()) {
	w.Helper()
	db, err := pebble.Open(w.data("state"), &pebble.Options{Logger: silent{}})
	w.must(err)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("b"), UpperBound: []byte("c")})
	w.must(err)
	var key, was []byte
	for ok := it.First(); ok; ok = it.Next() {
		if bytes.HasSuffix(it.Key(), []byte(path)) {
			key, was = bytes.Clone(it.Key()), bytes.Clone(it.Value())
		}
	}
	w.must(it.Close())
	if key == nil {
		w.Fatalf("no row %s", path)
	}
	now := bytes.Clone(was)
	f(now)
	w.must(db.Set(key, now, pebble.Sync))
	w.must(db.Close())
	return func() {
		db, err := pebble.Open(w.data("state"), &pebble.Options{Logger: silent{}})
		w.must(err)
		w.must(db.Set(key, was, pebble.Sync))
		w.must(db.Close())
	}
}

type silent struct{}

func (silent) Infof(string, ...any)           {}
func (silent) Errorf(string, ...any)          {}
func (silent) Fatalf(format string, _ ...any) { panic(format) }
