//go:build !race

// The race detector makes pools drop items at random, so budgets of
// allocations hold without it only.

package kv

import (
	"context"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

const budget = 3.0

// A read of the second version decodes nothing: it puts together the name of
// the payload and the answer.
func TestReadAllocates(t *testing.T) {
	m := enginetest.New(t, specV2().Type(), map[string]string{"version": "2"})
	if r := m.Do(engine.OpWrite, "data/team/app/config", `{"data":{"user":"u","password":"p"}}`); r.Status != 200 {
		t.Fatal(r)
	}
	err := m.Store.View(context.Background(), func(tx *storage.Tx) error {
		c := &engine.Call{Rows: tx.In(storage.MountRange(1)), Whole: tx, Ctx: tx.Context(), Time: m.Now()}
		n := testing.AllocsPerRun(200, func() {
			if _, err := new(v2).read(c, readRequest{Path: "team/app/config"}); err != nil {
				t.Fatal(err)
			}
		})
		if n > budget {
			t.Errorf("a read allocates %v times, not %v", n, budget)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
