package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Jobs that come in crowds share transactions: all are done, each once but for
// those that shared one with a job that fails, and that is put off alone.
func TestACrowdSharesTransactions(t *testing.T) {
	for _, workers := range []int{1, 8} {
		store := newStore(t)
		var mu sync.Mutex
		done, other := map[string]int{}, 0
		r := &schedule.Runner{Store: store, Workers: workers, PerMount: 2, Now: clockAt(start), Together: map[string]bool{"quick": true},
			Handlers: map[string]schedule.Handler{
				"quick": func(tx *storage.Tx, j schedule.Job) error {
					mu.Lock()
					defer mu.Unlock()
					if done[j.ID]++; j.ID == "bad" {
						return errors.New("no")
					}
					tx.In(storage.System).Put("done/"+j.ID, nil)
					return nil
				},
				"slow": func(*storage.Tx, schedule.Job) error {
					mu.Lock()
					defer mu.Unlock()
					other++
					return nil
				},
			}}
		const crowd = 1000
		_, err := store.Update(context.Background(), func(tx *storage.Tx) error {
			for i := range crowd {
				schedule.At(tx, start, schedule.Job{Kind: "quick", ID: fmt.Sprint(i)})
			}
			schedule.At(tx, start, schedule.Job{Kind: "quick", ID: "bad"})
			for i := range 10 {
				schedule.At(tx, start, schedule.Job{Kind: "slow", Mount: "m", ID: fmt.Sprint(i)})
			}
			return nil
		})
		must(t, err)
		before := store.Index()
		n, err := r.RunDue(context.Background(), start)
		must(t, err)
		if n < crowd+11 || other != 10 {
			t.Errorf("%d attempts, %d others", n, other)
		}
		if entries := store.Index() - before; entries > crowd/8 {
			t.Errorf("%d entries of the log for %d jobs", entries, crowd)
		}
		must(t, store.View(context.Background(), func(tx *storage.Tx) error {
			left := 0
			for _, err := range tx.In(storage.Due).Scan("", "") {
				if err != nil {
					return err
				}
				left++
			}
			if left != 1 {
				t.Errorf("%d jobs left, want the one that fails", left)
			}
			for i := range crowd {
				if v, err := tx.In(storage.System).Get(fmt.Sprint("done/", i)); v == nil || err != nil {
					t.Errorf("%d: not done: %v", i, err)
				}
			}
			return nil
		}))
	}
}
