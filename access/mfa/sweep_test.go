package mfa_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/mfa"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// A method that is deleted takes along its secrets of however many entities, some
// at a time, and those of no other method.
func TestAMethodTakesItsSecretsAlong(t *testing.T) {
	ids := identity.New(identity.Options{Mount: func(*storage.Tx, string) (*identity.Mount, error) { return nil, nil }})
	m := enginetest.New(t, ids.Type(), nil)
	s := mfa.New(mfa.Options{Identities: ids, Spaces: root{}, Now: m.Now})
	update := func(f func(tx *storage.Tx) error) {
		t.Helper()
		if _, err := m.Store.Update(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
	const entities = 300
	update(func(tx *storage.Tx) error {
		for i := range entities {
			for _, method := range []string{"goes", "stays"} {
				tx.In(storage.Factors).Put(fmt.Sprintf("secret/e%d/%s", i, method), []byte("{}"))
			}
		}
		return nil
	})
	parts := 0
	for job := (schedule.Job{Kind: mfa.KindSweep, ID: "goes/"}); ; parts++ {
		update(func(tx *storage.Tx) error { return s.Handlers()[mfa.KindSweep](tx, job) })
		next := ""
		update(func(tx *storage.Tx) error {
			for i := range entities {
				j := schedule.Job{Kind: mfa.KindSweep, ID: fmt.Sprintf("goes/e%d/", i)}
				when, err := schedule.When(tx, j)
				if err != nil {
					return err
				}
				if !when.IsZero() {
					next = j.ID
					j.Cancel(tx)
				}
			}
			return nil
		})
		if next == "" {
			break
		}
		job.ID = next
	}
	if parts != 2 {
		t.Errorf("in %d parts and a rest", parts)
	}
	update(func(tx *storage.Tx) error {
		for i := range entities {
			for method, want := range map[string]bool{"goes": false, "stays": true} {
				b, err := tx.In(storage.Factors).Get(fmt.Sprintf("secret/e%d/%s", i, method))
				if err != nil {
					return err
				}
				if (b != nil) != want {
					t.Errorf("e%d: %s is there: %t", i, method, b != nil)
				}
			}
		}
		return nil
	})
}
