//go:build !race

// The race detector allocates by itself.

package identity_test

import (
	"testing"

	"github.com/fastness-dev/fastness/storage"
)

// Finding what somebody holds, and deciding, allocates next to nothing.
func TestADecisionCostsLittle(t *testing.T) {
	w, policies, entity := many(t, 60)
	own := []string{"default"}
	if err := w.Store.View(t.Context(), func(tx *storage.Tx) error {
		n := testing.AllocsPerRun(100, func() {
			if ok, err := decision(tx, w.ids, policies, entity, own); err != nil || !ok {
				t.Fatal(ok, err)
			}
		})
		if n > 1 {
			t.Errorf("%v allocations", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
