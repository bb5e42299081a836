package identity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

// newShared is a world that goroutines may share.
func newShared(t testing.TB) *world {
	w := &world{mounts: map[string]*identity.Mount{
		"pass": {Accessor: "pass", Path: "auth/pass/", Type: "userpass"},
		"ldap": {Accessor: "ldap", Path: "auth/ldap/", Type: "ldap"},
	}}
	w.ids = identity.New(identity.Options{NewID: uuid.NewString,
		Mount: func(_ *storage.Tx, accessor string) (*identity.Mount, error) { return w.mounts[accessor], nil }})
	w.Mount = enginetest.New(t, w.ids.Type(), nil)
	return w
}

// Logins of one new user at the same moment come to one entity, and each of
// them to that one.
func TestFirstLoginsAtOnceMakeOneEntity(t *testing.T) {
	w := newShared(t)
	const logins = 32
	var all sync.WaitGroup
	var met sync.WaitGroup // every first run reads before any writes
	met.Add(logins)
	ids, created := make([]string, logins), make([]bool, logins)
	for i := range logins {
		all.Go(func() {
			first := true
			err := w.update(func(tx *storage.Tx) error {
				in, err := w.ids.Login(tx, identity.Login{Mount: *w.mounts["pass"], Alias: []string{"ann", "Ann", "ANN"}[i%3]}, w.Now())
				if err != nil {
					return err
				}
				ids[i], created[i] = in.EntityID, in.Created
				if first {
					first = false
					met.Done()
					met.Wait()
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(slices.Compact(slices.Sorted(slices.Values(ids)))); n != 1 {
		t.Errorf("%d entities of one user", n)
	}
	made := 0
	for _, c := range created {
		if c {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d logins made the entity", made)
	}
	r := w.Do(engine.OpList, "entity/id", "")
	if r.Status != 200 || len(r.Answer.Data.(engine.Keys).Keys) != 1 {
		t.Errorf("listed: %s", r)
	}
}

// A login that says nothing new writes nothing.
func TestAKnownLoginWritesNothing(t *testing.T) {
	w := newShared(t)
	w.mustDo(t, engine.OpWrite, "group", `{"name":"g","type":"external"}`)
	l := identity.Login{Mount: *w.mounts["pass"], Alias: "ann", Metadata: map[string]string{"a": "b"}}
	for i := range 3 {
		before := w.Store.Index()
		if err := w.update(func(tx *storage.Tx) error {
			_, err := w.ids.Login(tx, l, w.Now())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if wrote := w.Store.Index() > before; wrote != (i == 0) {
			t.Errorf("login %d wrote: %t", i, wrote)
		}
	}
}

func (w *world) mustDo(t testing.TB, op engine.Op, path, body string) enginetest.Reply {
	t.Helper()
	r := w.Do(op, path, body)
	if r.Status >= 300 {
		t.Fatalf("%s %s: %s", path, body, r)
	}
	return r
}

// Of very many aliases a mount takes with it some at a time.
func TestManyAliasesEndInParts(t *testing.T) {
	w := newShared(t)
	const users = 1300
	login := func(mount string, from, to int) {
		t.Helper()
		if err := w.update(func(tx *storage.Tx) error {
			for i := from; i < to; i++ {
				if _, err := w.ids.Login(tx, identity.Login{Mount: *w.mounts[mount], Alias: fmt.Sprint("u", i)}, w.Now()); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for from := 0; from < users; from += 50 {
		login("pass", from, from+50)
	}
	login("ldap", 1, 2)
	if parts := w.unmountAll(t, "pass"); parts != 11 {
		t.Errorf("in %d parts", parts)
	}
	r := w.mustDo(t, engine.OpList, "entity-alias/id", "")
	if left := r.Answer.Data.(engine.Keys).Keys; len(left) != 1 {
		t.Errorf("%d aliases left", len(left))
	}
}

// What one namespace knows, another does not: not by id, name or alias.
func TestNamespacesAreApart(t *testing.T) {
	w := newShared(t)
	var id string
	if err := w.update(func(tx *storage.Tx) error {
		in, err := w.ids.Login(tx.Of(1), identity.Login{Mount: *w.mounts["pass"], Alias: "ann"}, w.Now())
		if err == nil {
			id = in.EntityID
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for ns, want := range []bool{0: false, 1: true, 2: false} {
		if err := w.Store.View(context.Background(), func(tx *storage.Tx) error {
			h, err := w.ids.Holder(tx.Of(uint32(ns)), id)
			if (h != nil) != want {
				t.Errorf("known in namespace %d: %t", ns, h != nil)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []enginetest.Reply{w.Do(engine.OpRead, "entity/id/"+id, ""), w.Do(engine.OpList, "entity/id", "")} {
		if r.Status != 404 {
			t.Errorf("told: %s", r)
		}
	}
	w.mustDo(t, engine.OpWrite, "entity/batch-delete", `{"entity_ids":["`+id+`"]}`)
	if r := w.Do(engine.OpWrite, "entity/merge", `{"from_entity_ids":["`+id+`"],"to_entity_id":"`+id+`x"}`); r.Status != 400 {
		t.Errorf("merged: %s", r)
	}
	if err := w.Store.View(context.Background(), func(tx *storage.Tx) error {
		h, err := w.ids.Holder(tx.Of(1), id)
		if h == nil {
			t.Error("deleted from another namespace")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// However many ask at once, nobody is shown what was before a write that was
// acknowledged, nor goes back in time.
func TestNobodyIsShownThePast(t *testing.T) {
	w := newShared(t)
	entity := made(t, w.mustDo(t, engine.OpWrite, "entity", `{"name":"ann","policies":["e1000"]}`))
	group := made(t, w.mustDo(t, engine.OpWrite, "group", `{"name":"g","policies":["g1000"],"member_entity_ids":["`+entity+`"]}`))
	seen := func() (policies []string) {
		if err := w.Store.View(context.Background(), func(tx *storage.Tx) error {
			h, err := w.ids.Holder(tx, entity)
			if err == nil {
				policies = h.Policies
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		return policies
	}
	var readers sync.WaitGroup
	over := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			last := []string{"", ""}
			for {
				select {
				case <-over:
					return
				default:
				}
				now := seen()
				if len(now) != 2 || now[0] < last[0] || now[1] < last[1] {
					t.Errorf("%v after %v", now, last)
					return
				}
				last = now
			}
		})
	}
	for i := 1001; i < 1150; i++ {
		w.mustDo(t, engine.OpWrite, "entity/id/"+entity, fmt.Sprintf(`{"policies":["e%d"]}`, i))
		w.mustDo(t, engine.OpWrite, "group/id/"+group, fmt.Sprintf(`{"policies":["g%d"]}`, i))
		if got, want := fmt.Sprint(seen()), fmt.Sprintf("[e%d g%d]", i, i); got != want {
			t.Errorf("%s, want %s", got, want)
			break
		}
	}
	close(over)
	readers.Wait()
}

// A name that is made up is nobody's.
func TestDrawnNamesAreFree(t *testing.T) {
	w := newWorld(t)
	w.mustDo(t, engine.OpWrite, "entity", `{"name":"ENTITY_id4"}`)
	w.mustDo(t, engine.OpWrite, "group", `{"name":"group_id6"}`)
	if got := string(w.mustDo(t, engine.OpWrite, "entity", `{}`).Body); got != `{"aliases":null,"id":"id3","name":"entity_id5"}` {
		t.Error(got)
	}
	if got := string(w.mustDo(t, engine.OpWrite, "group", `{}`).Body); got != `{"id":"id8","name":"group_id7"}` {
		t.Error(got)
	}
}

// made is the id that an answer tells.
func made(t testing.TB, r enginetest.Reply) string {
	t.Helper()
	var m struct{ ID string }
	if err := json.Unmarshal(r.Body, &m); err != nil {
		t.Fatal(err)
	}
	return m.ID
}
