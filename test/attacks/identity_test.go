package attacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// set makes or changes something of identity/ and returns the id that it is told.
func (w *world) set(path, body string, headers ...string) string {
	w.t.Helper()
	a := w.do(w.root, http.MethodPost, "identity/"+path, body, headers...)
	if a.Status/100 != 2 {
		w.t.Fatalf("%s %s: %d %q", path, body, a.Status, a.Errors)
	}
	var made struct{ ID string }
	if a.Status == 200 {
		w.decode(a.Data, &made)
	}
	return made.ID
}

func (w *world) decode(from json.RawMessage, to any) {
	w.t.Helper()
	if err := json.Unmarshal(from, to); err != nil {
		w.t.Fatalf("%s: %v", from, err)
	}
}

// user makes a user of auth/userpass/ and logs in: a token, its entity and its
// alias.
func (w *world) user(name string) (token, entity, alias string) {
	w.t.Helper()
	w.want(w.do(w.root, http.MethodPost, "auth/userpass/users/"+name, `{"password":"secret"}`), 204)
	a := w.want(w.do("", http.MethodPost, "auth/userpass/login/"+name, userLogin), 200)
	var self struct {
		EntityID string `json:"entity_id"`
	}
	w.decode(w.want(w.do(a.Auth.ClientToken, http.MethodGet, "auth/token/lookup-self", ""), 200).Data, &self)
	var e struct{ Aliases []struct{ ID string } }
	w.decode(w.want(w.do(w.root, http.MethodGet, "identity/entity/id/"+self.EntityID, ""), 200).Data, &e)
	return a.Auth.ClientToken, self.EntityID, e.Aliases[0].ID
}

func (w *world) accessorOf(mount string) string {
	w.t.Helper()
	var m struct{ Accessor string }
	w.decode(w.want(w.do(w.root, http.MethodGet, "sys/auth/"+mount, ""), 200).Data, &m)
	return m.Accessor
}

func (w *world) policy(name, rules string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]string{"policy": rules})
	if err != nil {
		w.t.Fatal(err)
	}
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/"+name, string(body)), 204)
}

// notRoot says whether a token is as good as root, by what it opens and by what
// is said of it.
func (w *world) notRoot(token, how string) {
	w.t.Helper()
	if a := w.do(token, http.MethodGet, "sys/mounts", ""); a.Status != 403 {
		w.t.Errorf("%s opens sys/mounts: %d", how, a.Status)
	}
	var self struct {
		Policies []string
		Identity []string `json:"identity_policies"`
	}
	w.decode(w.want(w.do(token, http.MethodGet, "auth/token/lookup-self", ""), 200).Data, &self)
	for _, held := range slices.Concat(self.Policies, self.Identity) {
		if strings.EqualFold(strings.TrimSpace(held), "root") {
			w.t.Errorf("%s holds %q", how, held)
		}
	}
}

// hasNoRoot reads what policies an entity or group has.
func (w *world) hasNoRoot(path, after string) {
	w.t.Helper()
	var kept struct{ Policies []string }
	w.decode(w.want(w.do(w.root, http.MethodGet, path, ""), 200).Data, &kept)
	for _, p := range kept.Policies {
		if strings.EqualFold(strings.TrimSpace(p), "root") {
			w.t.Errorf("%s keeps %q after %s", path, p, after)
		}
	}
}

// No entity and no group takes the root policy, however its name is written, by
// any of the routes that our own description of the API says take policies.
func TestCVE_2025_64761_RootPolicyOfAnIdentity(t *testing.T) {
	w := open(t)
	w.methods()
	ann, entity, _ := w.user("ann")
	group := w.set("group", `{"name":"g","member_entity_ids":["`+entity+`"]}`)
	w.policy("plain", `path "secret/*" { capabilities = ["read"] }`)
	paths := map[string]string{
		"identity/entity": `"id":"` + entity + `",`, "identity/entity/id/{id}": "", "identity/entity/name/{name}": "",
		"identity/group": `"id":"` + group + `",`, "identity/group/id/{id}": "", "identity/group/name/{name}": "",
	}
	w.set("entity/id/"+entity, `{"name":"ann"}`)
	for at := range w.grantors("/identity/") {
		if _, known := paths[at[0]]; !known {
			t.Errorf("%s takes %s and is not attacked here", at[0], at[1])
		}
	}
	if n := len(w.grantors("/identity/")); n != len(paths) {
		t.Errorf("%d routes take policies, %d are attacked", n, len(paths))
	}
	for at := range w.grantors("/") {
		// Those of roles have TestCVE_2025_5999_RootPolicyOfARole; sys/ takes the
		// text of policies, not their names.
		if under, _, _ := strings.Cut(at[0], "/"); under != "auth" && under != "identity" && !strings.HasPrefix(at[0], "sys/polic") {
			t.Errorf("%s takes %s, and no test attacks it", at[0], at[1])
		}
	}
	for path, id := range paths {
		thing, name := entity, "ann"
		if strings.Contains(path, "group") {
			thing, name = group, "g"
		}
		at := strings.NewReplacer("{id}", thing, "{name}", name).Replace(path)
		for _, policy := range roots {
			for _, given := range []any{[]string{policy}, []string{"plain", policy}, policy, "plain," + policy} {
				list, err := json.Marshal(given)
				if err != nil {
					t.Fatal(err)
				}
				w.do(w.root, http.MethodPost, at, `{`+id+`"policies":`+string(list)+`}`)
				w.notRoot(ann, at+" with "+string(list))
				w.hasNoRoot("identity/entity/id/"+entity, string(list))
				w.hasNoRoot("identity/group/id/"+group, string(list))
			}
		}
		w.want(w.do(w.root, http.MethodPost, at, `{`+id+`"policies":["plain"]}`), 204)
		w.want(w.do(ann, http.MethodGet, "secret/data/none", ""), 404)
		w.want(w.do(w.root, http.MethodPost, at, `{`+id+`"policies":[]}`), 204)
	}
}

// Whoever may write all of identity/ comes to hold whatever policies they like,
// and never root: not by any row of writes.
func TestCVE_2024_9180_IdentityWritesNeverGiveRoot(t *testing.T) {
	w := open(t)
	w.methods()
	w.policy("identities", `path "identity/*" { capabilities = ["create","update","read","delete","list"] }`)
	ann, entity, alias := w.user("ann")
	_, other, otherAlias := w.user("bob")
	w.set("entity/id/"+entity, `{"policies":["identities"]}`)
	group := w.set("group", `{"name":"g","policies":["identities"],"member_entity_ids":["`+entity+`"]}`)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	for range 300 {
		id, root := one(entity, other, group, alias, otherAlias, "none"), one(roots...)
		body, err := json.Marshal(map[string]any{
			one("policies", "token_policies", "identity_policies"): []string{root}, one("id", "entity_id", "canonical_id", "x"): id,
			one("member_group_ids", "x"): []string{group}, one("to_entity_id", "x"): entity, one("from_entity_ids", "x"): []string{other},
			one("name", "x"): one("ann", "bob", "g", root), one("metadata", "custom_metadata"): map[string]string{"policies": root},
		})
		if err != nil {
			t.Fatal(err)
		}
		path := one("entity", "entity/id/"+id, "entity/name/"+one("ann", "g"), "group", "group/id/"+id, "group/name/g", "entity/merge",
			"entity-alias", "entity-alias/id/"+id, "alias", "persona", "group-alias", "lookup/entity")
		w.do(ann, http.MethodPost, "identity/"+path, string(body))
		if a := w.do(ann, http.MethodGet, "auth/token/lookup-self", ""); a.Status != 200 {
			break // it merged itself away
		}
		w.notRoot(ann, path+" "+string(body))
	}
}

// Who may write aliases by id, of others too, does not come by the policies of
// somebody else who logs in by the same method.
func TestCVE_2021_41802_AliasWritesMergeEntities(t *testing.T) {
	w := open(t)
	w.methods()
	w.policy("aliases", `path "identity/entity-alias*" { capabilities = ["create","update","read"] }
		path "identity/alias*" { capabilities = ["create","update","read"] } path "identity/persona*" { capabilities = ["create","update","read"] }`)
	w.policy("secrets", `path "secret/*" { capabilities = ["read"] }`)
	eve, attacker, own := w.user("eve")
	_, victim, theirs := w.user("vic")
	w.set("entity/id/"+attacker, `{"policies":["aliases"]}`)
	w.set("entity/id/"+victim, `{"policies":["secrets"]}`)
	mount := w.accessorOf("userpass")
	for _, at := range []string{"entity-alias", "alias", "persona"} {
		for _, id := range []string{own, theirs} {
			for _, entity := range []string{attacker, victim} {
				for _, name := range []string{"eve", "VIC"} {
					body := fmt.Sprintf(`{"name":%q,"canonical_id":%q,"mount_accessor":%q}`, name, entity, mount)
					w.do(eve, http.MethodPost, "identity/"+at+"/id/"+id, body)
					w.do(eve, http.MethodPost, "identity/"+at, body)
					w.do(eve, http.MethodPost, "identity/"+at, fmt.Sprintf(`{"id":%q,"entity_id":%q}`, id, entity))
					again := w.do("", http.MethodPost, "auth/userpass/login/eve", userLogin).Auth.ClientToken
					for _, token := range []string{eve, again} {
						if a := w.do(token, http.MethodGet, "secret/data/none", ""); a.Status != 403 {
							t.Fatalf("%s %s %s: reads what the victim may: %d", at, id, body, a.Status)
						}
					}
				}
			}
		}
	}
	a := w.want(w.do("", http.MethodPost, "auth/userpass/login/vic", userLogin), 200)
	w.want(w.do(a.Auth.ClientToken, http.MethodGet, "secret/data/none", ""), 404)
}

// A template that names a mount is filled with the alias there, whichever was
// first and wherever aliases were moved.
func TestCVE_2021_43998_TemplateOfAnotherAlias(t *testing.T) {
	w := open(t)
	w.methods()
	w.want(w.do(w.root, http.MethodPost, "sys/auth/other", `{"type":"userpass"}`), 204)
	one, two := w.accessorOf("userpass"), w.accessorOf("other")
	w.policy("own", `path "secret/data/one/{{identity.entity.aliases.`+one+`.name}}" { capabilities = ["read"] }
		path "secret/data/two/{{identity.entity.aliases.`+two+`.name}}" { capabilities = ["read"] }`)
	ann, entity, alias := w.user("ann")
	w.set("entity/id/"+entity, `{"policies":["own"]}`)
	w.set("entity-alias", `{"name":"zed","canonical_id":"`+entity+`","mount_accessor":"`+two+`"}`)
	reads := func(want string) {
		t.Helper()
		var got []string
		for _, path := range []string{"one/ann", "one/zed", "one/kim", "two/ann", "two/zed", "two/kim", "two/", "one/"} {
			if a := w.do(ann, http.MethodGet, "secret/data/"+path, ""); a.Status != 403 {
				got = append(got, path)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("reads %q, want %q", got, want)
		}
	}
	reads("one/ann two/zed")
	w.want(w.do(w.root, http.MethodDelete, "identity/entity-alias/id/"+alias, ""), 204)
	reads("two/zed")
	kim := w.set("entity", `{"name":"kim"}`)
	w.set("entity-alias", `{"name":"kim","canonical_id":"`+kim+`","mount_accessor":"`+one+`"}`)
	w.set("entity/merge", `{"from_entity_ids":["`+kim+`"],"to_entity_id":"`+entity+`"}`)
	reads("one/kim two/zed")
}

// An account of a method that was mounted again has nothing of one of the same
// name before.
func TestCVE_2022_40186_MetadataOfASameNamedAlias(t *testing.T) {
	w := open(t)
	w.methods()
	_, entity, alias := w.user("ann")
	w.set("entity-alias/id/"+alias, `{"custom_metadata":{"team":"red"}}`)
	w.want(w.do(w.root, http.MethodDelete, "sys/auth/userpass", ""), 204)
	w.want(w.do(w.root, http.MethodPost, "sys/auth/userpass", `{"type":"userpass"}`), 204)
	_, again, second := w.user("ann")
	var shown struct {
		Custom map[string]string `json:"custom_metadata"`
		Meta   map[string]string `json:"metadata"`
	}
	w.decode(w.want(w.do(w.root, http.MethodGet, "identity/entity-alias/id/"+second, ""), 200).Data, &shown)
	if again == entity || second == alias || len(shown.Custom) > 0 || shown.Meta["team"] != "" {
		t.Errorf("entity %t, alias %t, %+v", again == entity, second == alias, shown)
	}
	w.want(w.do(w.root, http.MethodGet, "identity/entity-alias/id/"+alias, ""), 404)
}

// A body that names another thing than the path does is refused, and nothing is
// changed.
func TestVault_2_0_4_IdentityRetargetedByTheBody(t *testing.T) {
	w := open(t)
	w.methods()
	_, ann, annAlias := w.user("ann")
	_, bob, bobAlias := w.user("bob")
	w.set("entity/id/"+ann, `{"name":"ann"}`)
	w.set("entity/id/"+bob, `{"name":"bob","policies":["kept"]}`)
	one, two := w.set("group", `{"name":"one"}`), w.set("group", `{"name":"two","policies":["kept"]}`)
	for _, q := range [][3]string{
		{"entity/name/ann", "id", bob}, {"entity/id/" + ann, "id", bob}, {"entity/name/ann", "name", "bob"}, {"entity/name/new", "id", bob},
		{"group/name/one", "id", two}, {"group/id/" + one, "id", two}, {"group/name/one", "name", "two"}, {"group/name/new", "id", two},
		{"entity-alias/id/" + annAlias, "id", bobAlias}, {"alias/id/" + annAlias, "id", bobAlias}, {"persona/id/" + annAlias, "id", bobAlias},
	} {
		body := fmt.Sprintf(`{%q:%q,"policies":["evil"],"disabled":true,"custom_metadata":{"evil":"x"}}`, q[1], q[2])
		w.want(w.do(w.root, http.MethodPost, "identity/"+q[0], body), 400)
	}
	for _, path := range []string{"entity/id/" + ann, "entity/id/" + bob, "group/id/" + one, "group/id/" + two, "entity-alias/id/" + bobAlias} {
		if a := w.want(w.do(w.root, http.MethodGet, "identity/"+path, ""), 200); strings.Contains(string(a.Data), "evil") {
			t.Errorf("%s: %s", path, a.Data)
		}
	}
	w.want(w.do(w.root, http.MethodPost, "identity/entity/name/ann", `{"id":"`+ann+`","policies":["fine"]}`), 204)
}

// One account is one entity, however its name is written.
func TestCVE_2025_6013_AccountSpelledAnotherWay(t *testing.T) {
	w := open(t)
	w.methods()
	_, entity, _ := w.user("ann")
	for _, name := range []string{"Ann", "ANN", "ann%20", "%20ann", "aNN"} {
		a := w.do("", http.MethodPost, "auth/userpass/login/"+name, userLogin)
		if a.Status != 200 {
			continue
		}
		var self struct {
			EntityID string `json:"entity_id"`
		}
		w.decode(w.want(w.do(a.Auth.ClientToken, http.MethodGet, "auth/token/lookup-self", ""), 200).Data, &self)
		if self.EntityID != entity {
			t.Errorf("%q is another entity", name)
		}
	}
	w.set("entity/id/"+entity, `{"disabled":true}`)
	for _, name := range []string{"ann", "Ann", "ANN", "ann%20"} {
		if a := w.do("", http.MethodPost, "auth/userpass/login/"+name, userLogin); a.Status/100 == 2 {
			t.Errorf("%q logs in though disabled", name)
		}
	}
}

// What a variable of a template is filled with stays the text that it is.
func TestGHSA_59w7_v8rr_pr4p_WildcardsInTemplates(t *testing.T) {
	w := open(t)
	w.methods()
	w.policy("own", `path "secret/data/{{identity.entity.name}}/x" { capabilities = ["read"] }
		path "secret/data/{{identity.entity.metadata.team}}" { capabilities = ["read"] }`)
	ann, entity, _ := w.user("ann")
	for _, value := range []string{"*", "+", "a/*", "+/+", "..", "a/../b", "", "/", "sys*"} {
		body, err := json.Marshal(map[string]any{"name": value, "policies": []string{"own"}, "metadata": map[string]string{"team": value}})
		if err != nil {
			t.Fatal(err)
		}
		w.want(w.do(w.root, http.MethodPost, "identity/entity/id/"+entity, string(body)), 204)
		for _, path := range []string{"secret/data/bob/x", "secret/data/a/b", "secret/data/b", "secret/data/x", "secret/data/system"} {
			if a := w.do(ann, http.MethodGet, path, ""); a.Status != 403 {
				t.Errorf("%q opens %s: %d", value, path, a.Status)
			}
		}
	}
	w.set("entity/id/"+entity, `{"name":"ann","metadata":{"team":"red"}}`)
	w.want(w.do(ann, http.MethodGet, "secret/data/ann/x", ""), 404)
	w.want(w.do(ann, http.MethodGet, "secret/data/red", ""), 404)
}

// An id of one namespace is to another what an unknown one is, for every route
// of identity/ in our own description of the API that takes one.
func TestCVE_2026_45808_IdentityOfAnotherNamespace(t *testing.T) {
	w := open(t)
	const a, b = "X-Vault-Namespace", "X-Vault-Namespace"
	for _, ns := range []string{"a", "b"} {
		w.want(w.do(w.root, http.MethodPost, "sys/namespaces/"+ns, ""), 200)
		w.want(w.do(w.root, http.MethodPost, "sys/auth/userpass", `{"type":"userpass"}`, a, ns), 204)
	}
	entity := w.set("entity", `{"name":"ann"}`, a, "a")
	group := w.set("group", `{"name":"g","type":"external"}`, a, "a")
	var m struct{ Accessor string }
	w.decode(w.want(w.do(w.root, http.MethodGet, "sys/auth/userpass", "", a, "a"), 200).Data, &m)
	alias := w.set("entity-alias", `{"name":"ann","mount_accessor":"`+m.Accessor+`","canonical_id":"`+entity+`"}`, a, "a")
	groupAlias := w.set("group-alias", `{"name":"g","mount_accessor":"`+m.Accessor+`","canonical_id":"`+group+`"}`, a, "a")
	own := w.set("entity", `{"name":"own"}`, b, "b")
	ids := []string{entity, group, alias, groupAlias}
	unknown := "0f0f0f0f-1111-2222-3333-444444444444" + entity[strings.LastIndexByte(entity, '.'):]
	ask := func(method, path, body, id string) string {
		r := w.do(w.root, method, strings.ReplaceAll(path, "ID", id), strings.ReplaceAll(body, "ID", id), b, "b")
		return strings.ReplaceAll(fmt.Sprint(r.Status, r.Errors, string(r.Data)), id, "ID")
	}
	same := func(method, path, body string) {
		t.Helper()
		for _, id := range ids {
			if got, want := ask(method, path, body, id), ask(method, path, body, unknown); got != want {
				t.Errorf("%s %s %s: %s\nof an unknown id: %s", method, path, body, got, want)
			}
		}
	}
	found := 0
	for _, path := range w.paths("/identity/") {
		if !strings.Contains(path, "{id}") {
			continue
		}
		found++
		at := strings.ReplaceAll(path, "{id}", "ID")
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			same(method, at, "")
			same(method, at, `{"name":"x","policies":["p"]}`)
		}
	}
	if found < 6 {
		t.Errorf("%d routes with an id: the description lacks some", found)
	}
	for path, body := range map[string]string{
		"entity": `{"id":"ID"}`, "group": `{"id":"ID"}`, "entity-alias": `{"id":"ID","name":"x"}`, "alias": `{"id":"ID"}`, "persona": `{"id":"ID"}`,
		"group-alias": `{"id":"ID"}`, "entity/merge": `{"from_entity_ids":["ID"],"to_entity_id":"` + own + `"}`,
		"entity/batch-delete": `{"entity_ids":["ID"]}`, "lookup/entity": `{"id":"ID"}`, "lookup/group": `{"id":"ID"}`,
		"entity/name/own": `{"id":"ID"}`,
	} {
		same(http.MethodPost, "identity/"+path, body)
	}
	for _, body := range []string{`{"alias_id":"ID"}`, `{"alias_name":"ann","alias_mount_accessor":"` + m.Accessor + `"}`} {
		same(http.MethodPost, "identity/lookup/entity", body)
		same(http.MethodPost, "identity/lookup/group", body)
	}
	same(http.MethodPost, "identity/entity/merge", `{"from_entity_ids":["`+own+`"],"to_entity_id":"ID"}`)
	same(http.MethodPost, "identity/entity-alias", `{"name":"x","mount_accessor":"`+m.Accessor+`","canonical_id":"ID"}`)
	same(http.MethodPost, "identity/group", `{"name":"new","member_entity_ids":["ID"]}`)
	same(http.MethodPost, "identity/group", `{"name":"new","member_group_ids":["ID"]}`)
	for path, id := range map[string]string{"entity": entity, "group": group, "entity-alias": alias, "group-alias": groupAlias} {
		w.want(w.do(w.root, http.MethodGet, "identity/"+path+"/id/"+id, "", a, "a"), 200)
	}
}

// paths are those of the API below a prefix, without their first slash.
func (w *world) paths(under string) []string {
	var out []string
	for path := range w.document() {
		if strings.HasPrefix(path, under) {
			out = append(out, strings.TrimPrefix(path, "/"))
		}
	}
	return slices.Sorted(maps.Keys(setOf(out)))
}

func setOf(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return set
}
