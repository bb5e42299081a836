package identity_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

var seed = flag.Uint64("seed", 0, "seed of the random operations; 0 draws one")

// A model is identities done in the simplest way: maps, and a walk for every
// question.
type model struct {
	entities map[string]*modelEntity
	groups   map[string]*modelGroup
	accounts map[string]string // MOUNT/ALIAS -> entity
	merged   map[string]string
}

type modelEntity struct {
	policies []string
	disabled bool
}

type modelGroup struct {
	policies []string
	external string // MOUNT/NAME of its alias
	entities map[string]bool
	groups   map[string]bool
}

// below says whether a group is, or lies below, another.
func (m *model) below(id, top string) bool {
	if id == top {
		return true
	}
	for child := range m.groups[top].groups {
		if m.below(id, child) {
			return true
		}
	}
	return false
}

// holds are the policies that an entity comes to; ok is false for nobody.
func (m *model) holds(id string) (policies []string, disabled, ok bool) {
	for m.merged[id] != "" {
		id = m.merged[id]
	}
	e := m.entities[id]
	if e == nil {
		return nil, false, false
	}
	policies = slices.Clone(e.policies)
	for in, g := range m.groups {
		for top := range m.groups {
			if g.entities[id] && m.below(in, top) {
				policies = append(policies, m.groups[top].policies...)
			}
		}
	}
	slices.Sort(policies)
	return slices.Compact(policies), e.disabled, true
}

// A walk does random things to a world and to a model of it.
type walk struct {
	*world
	t    *testing.T
	r    *rand.Rand
	m    *model
	ever []string // ids of entities, those that are gone included
}

// Random operations leave every entity with the policies that the model says,
// and are refused when the model says so.
func TestRandomOperationsAgreeWithAModel(t *testing.T) {
	from := *seed
	if from == 0 {
		from = rand.Uint64()
	}
	t.Logf("-seed=%d", from)
	w := &walk{world: newWorld(t), t: t, r: rand.New(rand.NewPCG(from, 0)), m: &model{entities: map[string]*modelEntity{},
		groups: map[string]*modelGroup{}, accounts: map[string]string{}, merged: map[string]string{}}}
	steps := []func(){w.makeEntity, w.makeGroup, w.setGroup, w.setGroup, w.setGroup, w.setEntity, w.logIn, w.logIn, w.logIn, w.merge, w.deleteEntity, w.deleteGroup}
	for range 1500 {
		steps[w.r.IntN(len(steps))]()
		w.check()
		if t.Failed() {
			return
		}
	}
}

func (w *walk) some(of []string, most int) []string {
	w.r.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	return of[:w.r.IntN(min(most, len(of))+1)]
}

func (w *walk) policies() []string {
	return w.some([]string{"a", "b", "c", "d", "e", "f", "g"}, 2)
}

func pick[T any](r *rand.Rand, m map[string]T) string {
	ids := slices.Sorted(maps.Keys(m))
	if len(ids) == 0 {
		return "none"
	}
	return ids[r.IntN(len(ids))]
}

func (w *walk) do(op engine.Op, path string, body any, status int) (made struct{ ID string }) {
	w.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.Do(op, path, string(b))
	if r.Status != status {
		w.t.Fatalf("%v %s %s: %s\nwant %d", op, path, b, r, status)
	}
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &made); err != nil {
			w.t.Fatal(err)
		}
	}
	return made
}

type fields map[string]any

func (w *walk) makeEntity() {
	p := w.policies()
	id := w.do(engine.OpWrite, "entity", fields{"policies": p}, 200).ID
	w.m.entities[id] = &modelEntity{policies: p}
	w.ever = append(w.ever, id)
}

func (w *walk) setEntity() {
	id := pick(w.r, w.m.entities)
	e := w.m.entities[id]
	if e == nil {
		return
	}
	e.policies, e.disabled = w.policies(), w.r.IntN(3) == 0
	w.do(engine.OpWrite, "entity/id/"+id, fields{"policies": e.policies, "disabled": e.disabled}, 204)
}

func (w *walk) makeGroup() {
	g := &modelGroup{policies: w.policies(), entities: map[string]bool{}, groups: map[string]bool{}}
	if len(w.m.groups) > 12 {
		return
	}
	if w.r.IntN(3) > 0 {
		w.m.groups[w.do(engine.OpWrite, "group", fields{"policies": g.policies}, 200).ID] = g
		return
	}
	mount, name := w.account()
	for _, other := range w.m.groups {
		if other.external == mount+"/"+name {
			return
		}
	}
	id := w.do(engine.OpWrite, "group", fields{"policies": g.policies, "type": "external"}, 200).ID
	w.do(engine.OpWrite, "group-alias", fields{"mount_accessor": mount, "name": name, "canonical_id": id}, 200)
	g.external = mount + "/" + name
	w.m.groups[id] = g
}

// account draws a mount and a name at it.
func (w *walk) account() (mount, name string) {
	return []string{"pass", "ldap"}[w.r.IntN(2)], []string{"x", "y", "z"}[w.r.IntN(3)]
}

func (w *walk) setGroup() {
	id := pick(w.r, w.m.groups)
	g := w.m.groups[id]
	if g == nil || g.external != "" {
		return
	}
	set := fields{}
	if w.r.IntN(2) == 0 {
		set["policies"] = w.policies()
	}
	if w.r.IntN(2) == 0 {
		set["member_entity_ids"] = w.some(slices.Sorted(maps.Keys(w.m.entities)), 3)
	}
	cyclic := false
	if w.r.IntN(2) == 0 {
		in := w.some(slices.Sorted(maps.Keys(w.m.groups)), 3)
		set["member_group_ids"] = in
		for _, child := range in {
			cyclic = cyclic || w.m.below(id, child)
		}
	}
	if cyclic {
		w.do(engine.OpWrite, "group/id/"+id, set, 400)
		return
	}
	w.do(engine.OpWrite, "group/id/"+id, set, 204)
	if p, ok := set["policies"]; ok {
		g.policies = p.([]string)
	}
	if ids, ok := set["member_entity_ids"]; ok {
		g.entities = setOf(ids.([]string))
	}
	if ids, ok := set["member_group_ids"]; ok {
		g.groups = setOf(ids.([]string))
	}
}

func setOf(ids []string) map[string]bool {
	set := make(map[string]bool)
	for _, id := range ids {
		set[id] = true
	}
	return set
}

func (w *walk) logIn() {
	mount, name := w.account()
	named := w.some([]string{"x", "y", "z"}, 3)
	id := w.m.accounts[mount+"/"+name]
	var in *identity.Entered
	err := w.update(func(tx *storage.Tx) (err error) {
		in, err = w.ids.Login(tx, identity.Login{Mount: *w.mounts[mount], Alias: name, Groups: named}, w.Now())
		return err
	})
	if refused := id != "" && w.m.entities[id].disabled; refused != (err != nil) {
		w.t.Fatalf("login of %s at %s: %v, refused %t", name, mount, err, refused)
	} else if refused {
		return
	}
	if id == "" {
		id = in.EntityID
		w.m.entities[id], w.m.accounts[mount+"/"+name] = &modelEntity{}, id
		w.ever = append(w.ever, id)
	}
	if in.EntityID != id || in.AliasID == "" {
		w.t.Fatalf("login of %s at %s: %+v, want %s", name, mount, in, id)
	}
	for _, g := range w.m.groups {
		for _, n := range []string{"x", "y", "z"} {
			if g.external == mount+"/"+n {
				delete(g.entities, id)
				if slices.Contains(named, n) {
					g.entities[id] = true
				}
			}
		}
	}
}

func (w *walk) merge() {
	from, to := pick(w.r, w.m.entities), pick(w.r, w.m.entities)
	if w.r.IntN(3) > 0 || w.m.entities[from] == nil {
		return
	}
	at := map[string]int{}
	for account, id := range w.m.accounts {
		if id == from || id == to {
			at[account[:4]]++
		}
	}
	status := 204
	if from == to || at["pass"] > 1 || at["ldap"] > 1 || w.m.entities[from].disabled != w.m.entities[to].disabled {
		status = 400
	}
	w.do(engine.OpWrite, "entity/merge", fields{"from_entity_ids": []string{from}, "to_entity_id": to}, status)
	if status != 204 {
		return
	}
	delete(w.m.entities, from)
	w.m.merged[from] = to
	moved := map[string]bool{}
	for account, id := range w.m.accounts {
		if id == from {
			w.m.accounts[account] = to
			moved[account[:4]] = true
		}
	}
	for _, g := range w.m.groups {
		if g.entities[from] && (g.external == "" || moved[g.external[:4]]) {
			g.entities[to] = true
		}
		delete(g.entities, from)
	}
}

func (w *walk) deleteEntity() {
	id := pick(w.r, w.m.entities)
	if w.r.IntN(2) > 0 {
		return
	}
	w.do(engine.OpDelete, "entity/id/"+id, nil, 204)
	delete(w.m.entities, id)
	maps.DeleteFunc(w.m.accounts, func(_, of string) bool { return of == id })
	for _, g := range w.m.groups {
		delete(g.entities, id)
	}
}

func (w *walk) deleteGroup() {
	id := pick(w.r, w.m.groups)
	if w.r.IntN(2) > 0 {
		return
	}
	w.do(engine.OpDelete, "group/id/"+id, nil, 204)
	delete(w.m.groups, id)
	for _, g := range w.m.groups {
		delete(g.groups, id)
	}
}

// check compares what the model and the store say of everyone there ever was.
func (w *walk) check() {
	for _, id := range w.ever {
		policies, disabled, ok := w.m.holds(id)
		want := "nobody"
		if ok {
			want = fmt.Sprint(policies, disabled)
		}
		got := "nobody"
		if err := w.Store.View(context.Background(), func(tx *storage.Tx) error {
			h, err := w.ids.Holder(tx, id)
			if h != nil {
				got = fmt.Sprint(h.Policies, h.Disabled)
			}
			return err
		}); err != nil {
			w.t.Fatal(err)
		}
		if got != want {
			w.t.Errorf("%s holds %s, want %s", id, got, want)
		}
	}
	for id, g := range w.m.groups {
		var shown struct {
			Members []string `json:"member_entity_ids"`
		}
		if err := json.Unmarshal(w.Do(engine.OpRead, "group/id/"+id, "").Body, &shown); err != nil {
			w.t.Fatal(err)
		}
		if want := slices.Sorted(maps.Keys(g.entities)); !slices.Equal(slices.Sorted(slices.Values(shown.Members)), want) {
			w.t.Errorf("members of %s: %v, want %v", id, shown.Members, want)
		}
	}
}
