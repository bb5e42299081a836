package sys_test

import (
	"context"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/sys"
)

// While leases are frozen one whose time is up is put off; once they are
// released it ends.
func TestFrozenLeasesDoNotEnd(t *testing.T) {
	b := barrier.New()
	root, ring, err := b.Create()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Unlock(root, ring); err != nil {
		t.Fatal(err)
	}
	change, err := b.NewLeadership(ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := change.Install(); err != nil {
		t.Fatal(err)
	}
	store, err := storage.Open(storage.Options{State: kv.NewMemory(), Log: raft.NewMemory(), Sealer: b})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, now := context.Background(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	s := sys.New(&sys.System{Store: store, Barrier: b, Now: clock})
	ended := 0
	runner := &schedule.Runner{Store: store, Now: clock, Handlers: map[string]schedule.Handler{
		"lease": s.Frozen(func(*storage.Tx, schedule.Job) error { ended++; return nil }),
	}}
	update := func(f func(tx *storage.Tx)) {
		t.Helper()
		if _, err := store.Update(ctx, func(tx *storage.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	due := func() {
		t.Helper()
		if _, err := runner.RunDue(ctx, now); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *storage.Tx) {
		tx.In(storage.Core).Put("restored", []byte(`{"at":"2026-11-24T11:00:00Z"}`))
		schedule.At(tx, now.Add(-time.Hour), schedule.Job{Kind: "lease", ID: "a"})
	})
	for range 3 {
		due()
		now = now.Add(time.Hour)
	}
	if ended != 0 {
		t.Fatalf("a frozen lease ended")
	}
	update(func(tx *storage.Tx) { tx.In(storage.Core).Delete("restored") })
	due()
	if ended != 1 {
		t.Errorf("released, the lease ended %d times", ended)
	}
	now = now.Add(time.Hour)
	due()
	if ended != 1 {
		t.Errorf("the lease ended %d times", ended)
	}
}
