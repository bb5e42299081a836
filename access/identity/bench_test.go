package identity_test

import (
	"fmt"
	"testing"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// many is an entity in so many groups, each with a policy of its own, among ten
// times as many policies. One of them is a template.
func many(t testing.TB, groups int) (w *world, policies *policy.Store, entity string) {
	w, policies = newShared(t), policy.NewStore()
	for from := 0; from < 10*groups; from += groups {
		if err := w.update(func(tx *storage.Tx) error {
			for i := from; i < from+groups; i++ {
				text := fmt.Sprintf(`path "secret/data/p%d/*" { capabilities = ["read"] }`, i)
				if i == 7 {
					text = `path "secret/data/{{identity.entity.id}}/*" { capabilities = ["read"] }`
				}
				p, err := policy.Parse(fmt.Sprint("p", i), text)
				if err != nil {
					return err
				}
				policies.Put(tx, p)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.update(func(tx *storage.Tx) error {
		in, err := w.ids.Login(tx, identity.Login{Mount: *w.mounts["pass"], Alias: "ann"}, w.Now())
		if err == nil {
			entity = in.EntityID
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for i := range groups {
		w.mustDo(t, engine.OpWrite, "group", fmt.Sprintf(`{"name":"g%d","policies":["p%d"],"member_entity_ids":[%q]}`, i, i, entity))
	}
	return w, policies, entity
}

// decision is what a request costs that is not the first of its holder.
func decision(tx *storage.Tx, ids *identity.Store, policies *policy.Store, entity string, own []string) (bool, error) {
	h, err := ids.Holder(tx, entity)
	if err != nil {
		return false, err
	}
	held, err := policies.Held(tx, own, h.Bearer)
	if err != nil {
		return false, err
	}
	return held.Decide(policy.Query{Path: "secret/data/p50/x", Op: policy.Read}).Allowed, nil
}

func BenchmarkDecisionWith1000Groups(b *testing.B) {
	w, policies, entity := many(b, 1000)
	own := []string{"default"}
	if err := w.Store.View(b.Context(), func(tx *storage.Tx) error {
		b.ReportAllocs()
		for b.Loop() {
			if ok, err := decision(tx, w.ids, policies, entity, own); err != nil || !ok {
				b.Fatal(ok, err)
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}
