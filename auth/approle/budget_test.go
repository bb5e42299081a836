//go:build !race

// The race detector makes pools drop items at random, so budgets of
// allocations hold without it only.

package approle

import (
	"context"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

const budget = 30.0

// A login looks up a role and a secret-id by their MACs and makes a grant; it
// decodes nothing that it has seen before.
func TestLoginAllocates(t *testing.T) {
	m := enginetest.New(t, spec().Type(), nil)
	if r := m.Do(engine.OpWrite, "role/app", `{"role_id":"r","token_policies":"a,b"}`); r.Status != 204 {
		t.Fatal(r)
	}
	if r := m.Do(engine.OpWrite, "role/app/custom-secret-id", `{"secret_id":"s","metadata":{"host":"ci"}}`); r.Status != 200 {
		t.Fatal(r)
	}
	err := m.Store.View(context.Background(), func(tx *storage.Tx) error {
		c := &engine.Call{Rows: tx.In(storage.MountRange(1)), Whole: tx, Ctx: tx.Context(), By: &m.Caller, At_: &m.At, Time: m.Now()}
		n := testing.AllocsPerRun(200, func() {
			if _, err := new(Engine).login(c, loginRequest{RoleID: "r", SecretID: "s"}); err != nil {
				t.Fatal(err)
			}
		})
		if n > budget {
			t.Errorf("a login allocates %v times, not %v", n, budget)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
