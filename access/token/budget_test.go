//go:build !race

// The race detector allocates by itself, and empties pools.

package token_test

import (
	"testing"

	"github.com/fastness-dev/fastness/storage"
)

// One allocation is the storage id.
func TestAuthenticateCostsLittle(t *testing.T) {
	w := newWorld(t)
	raw := w.create("root", `{"policies":["p"]}`).ClientToken
	must(t, w.store.View(t.Context(), func(tx *storage.Tx) error {
		n := testing.AllocsPerRun(100, func() {
			if _, err := w.tokens.Authenticate(tx, raw, home); err != nil {
				t.Fatal(err)
			}
		})
		if n > 1 {
			t.Errorf("%v allocations", n)
		}
		return nil
	}))
}
