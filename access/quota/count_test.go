package quota_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/storage"
)

func (w *world) setLeases(name, path string, limit int64) {
	w.t.Helper()
	q := &quota.Leases{Name: name, Max: limit, Scope: quota.Scope{Path: path, Mount: path}}
	w.update(func(tx *storage.Tx) error { _, err := quota.SetLeases(tx, q); return err })
}

func (w *world) held(name string) (n int64) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error {
		all, err := quota.AllLeases(tx)
		must(w.t, err)
		for _, q := range all {
			if q.Name == name {
				n, err = quota.Held(tx, q)
				must(w.t, err)
			}
		}
		return nil
	})
	return n
}

// take makes a lease. It says whether it was let pass, and which quota counts it.
func (w *world) take(path string) (id uint64, ok bool) {
	_, err := w.store.Update(context.Background(), func(tx *storage.Tx) (err error) {
		id, err = quota.Took(tx, quota.Lent{Path: path})
		return err
	})
	var told *api.Error
	if errors.As(err, &told) && told.Status == http.StatusTooManyRequests {
		return 0, false
	}
	must(w.t, err)
	return id, true
}

func (w *world) give(id uint64) {
	w.update(func(tx *storage.Tx) error { return quota.Gave(tx, id) })
}

// Leases made at once are never more than the quota allows, and as many as that.
func TestLeasesAtOnceAreCountedExactly(t *testing.T) {
	w := &world{t: t, store: openStore(t)}
	w.setLeases("q", "db/", 37)
	w.setLeases("other", "pki/", 1)
	var taken atomic.Int64
	var ids [8][]uint64
	var all sync.WaitGroup
	for g := range ids {
		all.Go(func() {
			for range 15 {
				id, ok := w.take("db/creds/x")
				if !ok {
					continue
				}
				ids[g] = append(ids[g], id)
				taken.Add(1)
				if len(ids[g])%3 == 0 { // some end while others are made
					w.give(id)
					ids[g] = ids[g][:len(ids[g])-1]
					taken.Add(-1)
				}
			}
		})
	}
	all.Wait()
	for taken.Load() < 37 {
		id, ok := w.take("db/creds/x")
		if !ok {
			t.Fatalf("refused with %d of 37", taken.Load())
		}
		ids[0] = append(ids[0], id)
		taken.Add(1)
	}
	if _, ok := w.take("db/creds/x"); ok || taken.Load() != 37 || w.held("q") != 37 {
		t.Errorf("%d leases are taken, %d counted, of 37", taken.Load(), w.held("q"))
	}
	for g := range ids {
		for _, id := range ids[g] {
			w.give(id)
		}
	}
	if n := w.held("q"); n != 0 {
		t.Errorf("%d leases are counted when all have ended", n)
	}
	if id, ok := w.take("ssh/creds/x"); id != 0 || !ok {
		t.Error("a lease in no quota is counted")
	}
}

// Whatever happens in whatever order, a quota counts the leases there are and
// lets pass what its maximum allows then.
func TestCountsAgreeWithAModel(t *testing.T) {
	for seed := range uint64(20) {
		w := &world{t: t, store: openStore(t)}
		r := rand.New(rand.NewPCG(seed, 1))
		limit := int64(1 + r.IntN(40))
		w.setLeases("q", "db/", limit)
		var held []uint64
		for step := range 150 {
			switch r.IntN(10) {
			case 0:
				limit = int64(1 + r.IntN(40))
				w.setLeases("q", "db/", limit)
			case 1: // a lease from before there was the quota
				w.update(func(tx *storage.Tx) error {
					id, err := quota.Again(tx, quota.Lent{Path: "db/creds/x"}, 0)
					if err == nil {
						held = append(held, id)
					}
					return err
				})
			case 2, 3, 4:
				if len(held) > 0 {
					w.give(held[len(held)-1])
					held = held[:len(held)-1]
				}
			default:
				id, ok := w.take("db/creds/x")
				if fits := int64(len(held)) < limit; ok != fits {
					t.Fatalf("seed %d step %d: let pass is %v with %d of %d", seed, step, ok, len(held), limit)
				}
				if ok {
					held = append(held, id)
				}
			}
			if n := w.held("q"); n != int64(len(held)) {
				t.Fatalf("seed %d step %d: %d are counted, %d there", seed, step, n, len(held))
			}
		}
	}
}
