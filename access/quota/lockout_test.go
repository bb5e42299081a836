package quota_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
)

func openStore(t testing.TB) *storage.Store {
	t.Helper()
	b := barrier.New()
	root, ring, err := b.Create()
	must(t, err)
	must(t, b.Unlock(root, ring))
	change, err := b.NewLeadership(ring)
	must(t, err)
	must(t, change.Install())
	s, err := storage.Open(storage.Options{State: kv.NewMemory(), Log: raft.NewMemory(), Sealer: b, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The stories of lockouts are told by users who fail, while a clock stands still
// until it is moved.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{t: t, store: openStore(t), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
		datadriven.RunTest(t, path, w.run)
	})
}

type world struct {
	t       *testing.T
	store   *storage.Store
	now     time.Time
	lockout quota.Lockout
}

// run knows `lockout threshold= duration= reset=`, `fail` and `succeed` a user
// some times, `unlock` one, `locked` to list them, `advance`, and `due`, which
// runs what is due and says how many rows are left.
func (w *world) run(t *testing.T, td *datadriven.TestData) string {
	u, times, at := quota.User{Accessor: "up"}, 1, "up"
	if len(td.CmdArgs) > 0 {
		u.Alias = strings.ReplaceAll(td.CmdArgs[0].Key, "LONG", strings.Repeat("x", 1000))
	}
	td.MaybeScanArgs(t, "times", &times)
	td.MaybeScanArgs(t, "at", &at)
	u.Accessor = at
	var out strings.Builder
	switch td.Cmd {
	case "lockout":
		td.ScanArgs(t, "threshold", &w.lockout.Threshold)
		w.lockout.Duration, w.lockout.Reset = duration(t, td, "duration"), duration(t, td, "reset")
	case "advance":
		d, err := time.ParseDuration(td.CmdArgs[0].Key)
		must(t, err)
		w.now = w.now.Add(d)
	case "fail":
		for range times {
			out.WriteString(w.fail(u) + " ")
		}
		return strings.TrimSpace(out.String()) + "\n"
	case "succeed":
		w.update(func(tx *storage.Tx) error { return quota.Succeeded(tx, u) })
	case "unlock":
		w.update(func(tx *storage.Tx) error { return quota.Unlock(tx, u) })
	case "locked":
		w.update(func(tx *storage.Tx) error {
			mounts, err := quota.LockedAt(tx)
			must(t, err)
			for _, m := range mounts {
				users, err := quota.Locked(tx, m, w.now)
				must(t, err)
				fmt.Fprintf(&out, "%s: %q\n", m, users)
			}
			return nil
		})
	case "due":
		now := func() time.Time { return w.now }
		r := &schedule.Runner{Store: w.store, Now: now, Handlers: map[string]schedule.Handler{quota.KindLockout: quota.Expire(now)}}
		n, err := r.RunDue(context.Background(), w.now)
		must(t, err)
		fmt.Fprintf(&out, "%d ran, %d wait\n", n, w.waiting())
	default:
		t.Fatalf("%s: no such command as %s", td.Pos, td.Cmd)
	}
	return out.String()
}

func duration(t *testing.T, td *datadriven.TestData, name string) time.Duration {
	var text string
	td.ScanArgs(t, name, &text)
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

func (w *world) update(f func(tx *storage.Tx) error) {
	w.t.Helper()
	_, err := w.store.Update(context.Background(), f)
	must(w.t, err)
}

// fail is a login with a wrong password.
func (w *world) fail(u quota.User) (what string) {
	w.update(func(tx *storage.Tx) error {
		locked, err := quota.LockedOut(tx, u, w.now)
		if what = "locked"; err != nil || locked {
			return err
		}
		what = "wrong"
		return quota.Failed(tx, u, w.lockout, w.now)
	})
	return what
}

// waiting counts the jobs that wait.
func (w *world) waiting() (n int) {
	w.update(func(tx *storage.Tx) error {
		n = 0
		for _, err := range tx.In(storage.Due).Scan("", "") {
			must(w.t, err)
			n++
		}
		return nil
	})
	return n
}

// Guesses at once get as many tries as guesses one after the other.
func TestGuessesAtOnceAreCountedExactly(t *testing.T) {
	w := &world{t: t, store: openStore(t), now: time.Now()}
	u := quota.User{Accessor: "up", Alias: "ann"}
	var mu sync.Mutex
	tries := map[string]int{}
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			what := w.fail(u)
			mu.Lock()
			defer mu.Unlock()
			tries[what]++
		})
	}
	all.Wait()
	if tries["wrong"] != quota.DefaultThreshold {
		t.Errorf("%v, want %d tries", tries, quota.DefaultThreshold)
	}
}
