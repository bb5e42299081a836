package lease

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
)

func openStore(t *testing.T) *storage.Store {
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func update(t *testing.T, s *storage.Store, f func(tx *storage.Tx) error) {
	t.Helper()
	_, err := s.Update(context.Background(), f)
	must(t, err)
}

// Leases are gone through in pages, each lease once, although those of a page are
// gone when the next is asked for; a path can be that of a lease and of others.
func TestPagesOfLeasesMeetEachOnce(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := openStore(t)
	for range 30 {
		want := map[string]bool{}
		for range 1 + r.IntN(60) {
			id := "m"
			for range 1 + r.IntN(3) {
				id += fmt.Sprintf("/%d", r.IntN(6))
			}
			want[id] = true
		}
		update(t, s, func(tx *storage.Tx) error {
			for id := range want {
				rows(tx).Put(id, &row{})
			}
			rows(tx).Put("other/1", &row{})
			return nil
		})
		prefix := []string{"", "m"}[r.IntN(2)]
		if prefix == "" {
			want["other/1"] = true
		}
		size, remove := 1+r.IntN(8), r.IntN(2) == 0
		var got []string
		for after, more := "", true; more; {
			update(t, s, func(tx *storage.Tx) (err error) {
				var ids []string
				ids, more, err = below(tx, prefix, after, size)
				if len(ids) > size || more && len(ids) < size {
					t.Errorf("a page of %d has %d, and more: %v", size, len(ids), more)
				}
				for _, id := range ids {
					if remove {
						rows(tx).Delete(id)
					}
				}
				if got = append(got, ids...); more {
					after = within(prefix, ids[len(ids)-1])
				}
				return err
			})
		}
		if slices.Sort(got); len(got) != len(want) {
			t.Fatalf("seen %d leases of %d: %q", len(got), len(want), got)
		}
		for _, id := range got {
			if !want[id] {
				t.Fatalf("seen %q, which is not there", id)
			}
		}
		update(t, s, func(tx *storage.Tx) error {
			tx.In(storage.Leases).DeletePrefix("")
			return nil
		})
	}
}

// What was given up is found beside any number of other leases, and is not any
// longer when it is tried again.
func TestWhatWasGivenUpIsIndexed(t *testing.T) {
	s := openStore(t)
	l := &Store{Now: time.Now}
	count := func(want int) {
		t.Helper()
		update(t, s, func(tx *storage.Tx) error {
			list, byMount, err := l.Irrevocable(tx, 1)
			if byMount["m1"]+byMount["m2"] != want || len(list) != min(want, 1) {
				t.Errorf("%d listed, counted %v, want %d", len(list), byMount, want)
			}
			return err
		})
	}
	ids := []string{"a/1", "a/2", "b/1"}
	update(t, s, func(tx *storage.Tx) error {
		for i, id := range ids {
			r := &row{Mount: []string{"m1", "m1", "m2"}[i], Number: fmt.Sprint(i), Expires: l.Now()}
			rows(tx).Put(id, r)
			j := job(id, r)
			for j.Attempts = 1; j.Attempts <= maxAttempts; j.Attempts++ {
				again, err := l.giveUp(tx, j, context.DeadlineExceeded)
				if again != (j.Attempts < maxAttempts) {
					t.Errorf("after %d attempts: again %v", j.Attempts, again)
				}
				must(t, err)
			}
		}
		return nil
	})
	count(3)
	update(t, s, func(tx *storage.Tx) error { return l.Revoke(tx, "a/2") })
	count(2)
	update(t, s, func(tx *storage.Tx) error {
		r, err := rows(tx).Get("b/1")
		must(t, err)
		return l.remove(tx, "b/1", r)
	})
	count(1)
}
