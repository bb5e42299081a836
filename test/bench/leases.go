package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/catalog"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/server"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// A lender is a server within this process, on disk, whose clock can be moved.
type lender struct {
	dir    string
	key    []byte
	ahead  atomic.Int64 // of the machine's clock, in ns
	server *server.Server
	api    http.Handler
}

func (l *lender) now() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }

func (l *lender) open() error {
	state, err := kv.Open(kv.Options{Dir: filepath.Join(l.dir, "state")})
	if err != nil {
		return err
	}
	wal, err := raft.Open(raft.Options{Dir: filepath.Join(l.dir, "log"), NodeID: "bench",
		Flush: func() (uint64, error) { i := state.Applied(); return i, state.Flush() }})
	if err != nil {
		return errors.Join(err, state.Close())
	}
	l.server, err = server.New(server.Options{State: state, Log: wal, Engines: catalog.Engines(), Clock: l.now,
		Settings: sys.Settings{Version: "1.21.0", StorageType: "raft", RootToken: "root"},
		Seed: func(tx *storage.Tx, m *mount.Mounts) error {
			_, err := m.Enable(tx, mount.Entry{Path: "secret/", Kind: engine.Secret, Type: "kv"})
			return err
		}})
	if err != nil {
		return err
	}
	l.api = l.server.Handler(wire.Limits{})
	return nil
}

func (l *lender) unseal(ctx context.Context) error { return l.server.System().Unseal(ctx, l.key) }

// ask sends a request past the network.
func (l *lender) ask(method, path, body string) error {
	r := httptest.NewRequest(method, "/v1/"+path, strings.NewReader(body))
	r.Header.Set("X-Vault-Token", "root")
	w := httptest.NewRecorder()
	if l.api.ServeHTTP(w, r); w.Code/100 != 2 {
		return fmt.Errorf("%s %s answered %d: %s", method, path, w.Code, w.Body)
	}
	return nil
}

// short is how many of the leases end after an hour; the others live a month.
const short = 1_000_000

// leases makes o.leases token leases, starts again over them, finds the next
// that is due, and lets a million end at once beside reads.
func leases(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "fastness-bench-leases-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lender{dir: dir}
	if err := l.open(); err != nil {
		return err
	}
	made, err := l.server.System().Init(ctx, 1, 1, nil, "", false)
	if err != nil {
		return err
	}
	if l.key, err = hex.DecodeString(made.Keys[0]); err != nil {
		return err
	}
	if err := l.unseal(ctx); err != nil {
		return err
	}
	if err := l.ask("POST", "secret/a", `{"v":"one"}`); err != nil {
		return err
	}
	began := time.Now()
	most, last, err := l.lend(ctx, o.leases)
	if err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Fprintf(out, "\n| %d token leases | measured | budget |\n|---|---:|---:|\n", o.leases)
	fmt.Fprintf(out, "| made through the store, per second | %.0f | |\n", float64(o.leases)/took.Seconds())
	fmt.Fprintf(out, "| most resident memory while making them, MiB | %.0f | 1024 |\n", most)
	if err := l.server.Close(); err != nil {
		return err
	}
	began = time.Now()
	if err := l.open(); err != nil {
		return err
	}
	if err := l.unseal(ctx); err != nil {
		return err
	}
	if err := l.ask("POST", "auth/token/lookup-accessor", fmt.Sprintf(`{"accessor":%q}`, last)); err != nil {
		return err
	}
	fmt.Fprintf(out, "| start, unseal, first lookup, s | %.2f | 2 |\n", time.Since(began).Seconds())
	if err := l.next(ctx, out); err != nil {
		return err
	}
	if o.leases < 2*short {
		return l.server.Close()
	}
	return errors.Join(l.expire(ctx, out), l.server.Close())
}

// lend makes n tokens with leases, 500 in a transaction, and tells the most
// memory that the process took meanwhile and the last accessor.
func (l *lender) lend(ctx context.Context, n int) (most float64, last string, err error) {
	tokens := l.server.System().Tokens
	for i := 0; i < n; i += 500 {
		_, err := l.server.Store().Update(ctx, func(tx *storage.Tx) error {
			for j := i; j < min(i+500, n); j++ {
				ttl := 720*time.Hour + time.Duration(j)*time.Millisecond
				if j < short && n >= 2*short {
					ttl = time.Hour
				}
				c, err := tokens.Create(tx, nil, token.Params{Policies: []string{"default"}, Path: "auth/approle/login",
					DisplayName: "approle", TTL: ttl, MaxTTL: 2 * ttl})
				if err != nil {
					return err
				}
				last = c.Entry.Accessor
			}
			return nil
		})
		if err != nil {
			return most, last, err
		}
		if i%50000 == 0 {
			now, err := residentMiB(os.Getpid())
			if err != nil {
				return most, last, err
			}
			if most = max(most, now); i%1_000_000 == 0 {
				log.Printf("%d leases, %.0f MiB", i, now)
			}
		}
	}
	return most, last, nil
}

// next finds the lease that is due first.
func (l *lender) next(ctx context.Context, out io.Writer) error {
	began := time.Now()
	err := l.server.Store().View(ctx, func(tx *storage.Tx) error {
		for _, err := range tx.In(storage.Due).Scan("", "") {
			return err
		}
		return errors.New("nothing is due")
	})
	fmt.Fprintf(out, "| find what is due next, ms | %.2f | 1 |\n", float64(time.Since(began).Microseconds())/1000)
	return err
}

// expire moves the clock past the end of a million leases and reads meanwhile.
func (l *lender) expire(ctx context.Context, out io.Writer) error {
	quiet, _, err := l.read(ctx, 20000, func() bool { return false })
	if err != nil {
		return err
	}
	l.ahead.Store(int64(time.Hour + time.Minute))
	if err := l.ask("POST", "auth/token/create", `{"ttl":"500h"}`); err != nil { // a change that the runner sees
		return err
	}
	began := time.Now()
	gone := func() bool {
		next := time.Time{}
		err := l.server.Store().View(ctx, func(tx *storage.Tx) error {
			for row, err := range tx.In(storage.Due).Scan("", "") {
				if err != nil {
					return err
				}
				var ms int64
				for _, b := range row.Key[:8] {
					ms = ms<<8 | int64(b)
				}
				next = time.UnixMilli(ms)
				break
			}
			return nil
		})
		return err == nil && next.After(l.now())
	}
	busy, n, err := l.read(ctx, 0, gone)
	if err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Fprintf(out, "| p99 of a KV read, quiet, us | %.0f | |\n", quiet)
	fmt.Fprintf(out, "| p99 of a KV read while %d leases end, us (%d reads) | %.0f | %.0f |\n", short, n, busy, 1.5*quiet)
	fmt.Fprintf(out, "| leases ended per second beside that | %.0f | |\n", short/took.Seconds())
	return nil
}

// read reads one secret, one request at a time and a thousand per second, n
// times or (n is 0) until done, and gives the 99th percentile in microseconds.
func (l *lender) read(ctx context.Context, n int, done func() bool) (p99 float64, reads int, err error) {
	var took []time.Duration
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := 0; (n == 0 || i < n) && ctx.Err() == nil; i++ {
		<-tick.C
		began := time.Now()
		if err := l.ask("GET", "secret/a", ""); err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(began))
		if n == 0 && i%1000 == 999 && done() {
			break
		}
	}
	slices.Sort(took)
	return float64(took[len(took)*99/100].Nanoseconds()) / 1000, len(took), ctx.Err()
}
