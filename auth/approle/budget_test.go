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

// An unknown role-id is as much work as a wrong secret-id: the same rows are
// asked for, and nothing more is made.
func TestCVE_2025_6011_WorkTellsWhichRolesExist(t *testing.T) {
	m := enginetest.New(t, spec().Type(), nil)
	if r := m.Do(engine.OpWrite, "role/app", `{"role_id":"r"}`); r.Status != 204 {
		t.Fatal(r)
	}
	err := m.Store.View(context.Background(), func(tx *storage.Tx) error {
		c := &engine.Call{Rows: tx.In(storage.MountRange(1)), Whole: tx, Ctx: tx.Context(), By: &m.Caller, At_: &m.At, Time: m.Now()}
		work := func(roleID string) float64 {
			return testing.AllocsPerRun(200, func() {
				if _, err := new(Engine).login(c, loginRequest{RoleID: roleID, SecretID: "wrong"}); !engine.WasRefused(err) {
					t.Fatal(err)
				}
			})
		}
		known, unknown := work("r"), work("x")
		if d := known - unknown; d < -1 || d > 1 { // the role itself is made up for nobody
			t.Errorf("a wrong secret-id allocates %v times, an unknown role-id %v times", known, unknown)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
