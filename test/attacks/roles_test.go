package attacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// takers are all fields of requests that take names of policies to give them to
// somebody, by route: what is written there, and how to come by a token that has
// them. $ stands for the names.
var takers = map[string]func(w *world, maker, names string) (tokens []string){
	"/auth/token/create policies":             create("auth/token/create"),
	"/auth/token/create-orphan policies":      create("auth/token/create-orphan"),
	"/auth/token/create/{role_name} policies": create("auth/token/create/any", "auth/token/create/free", "auth/token/create/none"),
	"/auth/token/roles/{role_name} allowed_policies": func(w *world, maker, names string) []string {
		w.do(maker, http.MethodPost, "auth/token/roles/fresh", `{"allowed_policies":`+names+`}`)
		return slices.Concat(create("auth/token/create/fresh")(w, maker, names), create("auth/token/create/fresh")(w, maker, "[]"))
	},
	"/auth/token/roles/{role_name} allowed_policies_glob": func(w *world, maker, names string) []string {
		w.do(maker, http.MethodPost, "auth/token/roles/globs", `{"allowed_policies_glob":`+names+`}`)
		return create("auth/token/create/globs")(w, maker, names)
	},
	"/identity/entity policies":             entity("identity/entity", `{"name":"eve","policies":$}`),
	"/identity/entity/id/{id} policies":     entity("identity/entity/id/ID", `{"policies":$}`),
	"/identity/entity/name/{name} policies": entity("identity/entity/name/eve", `{"policies":$}`),
	"/identity/group policies":              entity("identity/group", `{"name":"g","policies":$,"member_entity_ids":["ID"]}`),
	"/identity/group/id/{id} policies":      entity("identity/group/id/GROUP", `{"policies":$,"member_entity_ids":["ID"]}`),
	"/identity/group/name/{name} policies":  entity("identity/group/name/g2", `{"policies":$,"member_entity_ids":["ID"]}`),
}

// harmless take names of policies and give nobody anything.
var harmless = []string{
	"/auth/token/roles/{role_name} disallowed_policies", "/auth/token/roles/{role_name} disallowed_policies_glob",
	"/sys/policies/explain policies", "/sys/policies/what-can policies",
}

func create(paths ...string) func(w *world, maker, names string) []string {
	return func(w *world, maker, names string) (tokens []string) {
		for _, path := range paths {
			if a := w.do(maker, http.MethodPost, path, `{"policies":`+names+`}`); a.Status == 200 {
				tokens = append(tokens, a.Auth.ClientToken)
			}
		}
		return tokens
	}
}

// entity gives policies to an entity or its group; the token is that entity's.
func entity(path, body string) func(w *world, maker, names string) []string {
	return func(w *world, maker, names string) []string {
		a := w.want(w.do(w.root, http.MethodPost, "auth/token/create/people", `{"entity_alias":"eve"}`), 200)
		token := a.Auth.ClientToken
		var self struct {
			Entity string `json:"entity_id"`
		}
		w.read(w.do(token, http.MethodGet, "auth/token/lookup-self", ""), &self)
		w.do(w.root, http.MethodPost, "identity/entity/id/"+self.Entity, `{"name":"eve"}`)
		var group struct{ ID string }
		w.do(w.root, http.MethodPost, "identity/group", `{"name":"known"}`)
		w.read(w.do(w.root, http.MethodGet, "identity/group/name/known", ""), &group)
		fill := strings.NewReplacer("ID", self.Entity, "GROUP", group.ID, "$", names)
		w.do(maker, http.MethodPost, fill.Replace(path), fill.Replace(body))
		return []string{token}
	}
}

// byLogin is for roles and users of auth methods: what is written there, on any
// of their routes, is what the next login gets.
func byLogin(place string) func(w *world, maker, names string) []string {
	route, field, _ := strings.Cut(place, " ")
	for _, m := range []struct{ of, name, login, body string }{
		{"/auth/approle/role/", "app", "auth/approle/login", roleLogin}, {"/auth/userpass/users/", "ann", "auth/userpass/login/ann", userLogin},
	} {
		if !strings.HasPrefix(route, m.of) {
			continue
		}
		path := strings.NewReplacer("{role_name}", m.name, "{username}", m.name).Replace(strings.TrimPrefix(route, "/"))
		return func(w *world, maker, names string) []string {
			w.do(maker, http.MethodPost, path, `{"`+field+`":`+names+`}`)
			return []string{w.want(w.do("", http.MethodPost, m.login, m.body), 200).Auth.ClientToken}
		}
	}
	return nil
}

func (w *world) read(a answer, into any) {
	w.t.Helper()
	w.want(a, 200)
	if err := json.Unmarshal(a.Data, into); err != nil {
		w.t.Fatal(err)
	}
}

// rolesAndPeople makes the roles that takers go by.
func (w *world) rolesAndPeople() (maker string) {
	maker = w.token("maker", `path "auth/token/*" { capabilities = ["create","update","sudo"] } path "identity/*" { capabilities = ["create","update"] } path "auth/+/role/*" { capabilities = ["create","update"] } path "auth/+/users/*" { capabilities = ["create","update"] }`)
	for name, body := range map[string]string{
		"any": `{"allowed_policies_glob":["*"]}`, "free": `{}`, "none": `{"disallowed_policies":["x"]}`,
		"people": `{"allowed_entity_aliases":["*"],"allowed_policies":["default"]}`,
	} {
		w.want(w.do(w.root, http.MethodPost, "auth/token/roles/"+name, body), 204)
	}
	return maker
}

// Wherever names of policies are taken, root is not, however it is spelt. The
// places are those that our own description of the API lists, so that a new one
// is not forgotten, as groups were by the first fix.
func TestCVE_2025_64761_EveryPlaceThatTakesPolicies(t *testing.T) {
	w := open(t)
	w.methods()
	maker := w.rolesAndPeople()
	for _, place := range w.placesOfPolicies() {
		take := takers[place]
		if take == nil {
			take = byLogin(place)
		}
		if take == nil {
			if !slices.Contains(harmless, place) {
				t.Errorf("%s takes names of policies and is not tested", place)
			}
			continue
		}
		for _, spelling := range roots {
			list, err := json.Marshal([]string{"default", spelling})
			if err != nil {
				t.Fatal(err)
			}
			for _, names := range []string{string(list), fmt.Sprintf("%q", spelling)} {
				for _, token := range take(w, maker, names) {
					if a := w.do(token, http.MethodGet, "sys/mounts", ""); a.Status != 403 {
						t.Errorf("%s with %s opens sys/mounts: status %d", place, names, a.Status)
					}
				}
			}
		}
	}
	for place := range maps.Keys(takers) {
		if !slices.Contains(w.placesOfPolicies(), place) {
			t.Errorf("there is no %s any more", place)
		}
	}
	// The neighbours work.
	w.want(w.do(maker, http.MethodPost, "auth/approle/role/app/policies", `{"token_policies":["maker"]}`), 204)
	if held := w.policiesOf(byLogin("/auth/approle/role/{role_name}/policies policies")(w, maker, `["maker"]`)[0]); !slices.Contains(held, "maker") {
		t.Errorf("a login holds %q", held)
	}
	for role, asked := range map[string]string{"any": `{"policies":["p"]}`, "none": `{"policies":["p"]}`, "free": `{"policies":["maker"]}`} {
		w.want(w.do(maker, http.MethodPost, "auth/token/create/"+role, asked), 200)
	}
}

// placesOfPolicies are the fields of lists in requests that speak of policies.
func (w *world) placesOfPolicies() (places []string) {
	w.t.Helper()
	for path, operations := range w.want(w.do(w.root, http.MethodGet, "sys/internal/specs/openapi", ""), 200).Paths {
		var post struct {
			RequestBody struct {
				Content map[string]struct {
					Schema struct {
						Properties map[string]struct{ Type string }
					}
				}
			}
		}
		if operations["post"] == nil {
			continue
		}
		if err := json.Unmarshal(operations["post"], &post); err != nil {
			w.t.Fatal(err)
		}
		for name, property := range post.RequestBody.Content["application/json"].Schema.Properties {
			if strings.Contains(name, "polic") && property.Type == "array" {
				places = append(places, path+" "+name)
			}
		}
	}
	if slices.Sort(places); len(places) == 0 {
		w.t.Fatal("the description of the API names no policies")
	}
	return places
}

// What a role forbids it forbids in every spelling.
func TestVault_2_0_4_DisallowedPoliciesByCase(t *testing.T) {
	w := open(t)
	for _, list := range []string{`"disallowed_policies":["super-admin"]`, `"disallowed_policies":["Super-Admin "]`,
		`"disallowed_policies_glob":["SUPER-*"]`, `"allowed_policies_glob":["*"],"disallowed_policies":"other,super-admin"`} {
		w.want(w.do(w.root, http.MethodDelete, "auth/token/roles/r", ""), 204)
		w.want(w.do(w.root, http.MethodPost, "auth/token/roles/r", `{`+list+`}`), 204)
		for _, as := range []string{`["super-admin"]`, `["Super-Admin"]`, `[" SUPER-ADMIN\t"]`, `"x,Super-Admin"`, `["x","super-admin"]`} {
			if a := w.do(w.root, http.MethodPost, "auth/token/create/r", `{"policies":`+as+`}`); a.Status != 400 {
				t.Errorf("%s gives %s: status %d", list, as, a.Status)
			}
		}
		w.want(w.do(w.root, http.MethodPost, "auth/token/create/r", `{"policies":["admin"]}`), 200)
	}
}

// Whoever may write a role and create by it comes by no policy that the role
// does not name, and a role names none for another's tokens.
func TestCVE_2024_9180_RolesGiveWhatTheyName(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "auth/token/roles/ci", `{"allowed_policies":["deploy"]}`), 204)
	runner := w.token("runner", `path "auth/token/create/ci" { capabilities = ["update"] }`)
	for _, body := range []string{
		`{"policies":["admin"]}`, `{"policies":["deploy","admin"]}`, `{"policies":"deploy,admin"}`, `{"policies":["deploy/../admin"]}`, `{"policies":["*"]}`,
	} {
		w.want(w.do(runner, http.MethodPost, "auth/token/create/ci", body), 400)
	}
	for _, body := range []string{`{"id":"chosen"}`, `{"period":"1h"}`} { // what sudo is needed for
		w.want(w.do(runner, http.MethodPost, "auth/token/create/ci", body), 400)
	}
	for _, path := range []string{"auth/token/create", "auth/token/create-orphan", "auth/token/create/other", "auth/token/roles/ci", "auth/token/create/CI"} {
		w.want(w.do(runner, http.MethodPost, path, `{}`), 403)
	}
	a := w.want(w.do(runner, http.MethodPost, "auth/token/create/ci", `{"no_parent":true,"explicit_max_ttl":"1h"}`), 200)
	if held := w.policiesOf(a.Auth.ClientToken); !slices.Equal(held, []string{"default", "deploy"}) {
		t.Errorf("the role gives %q", held)
	}
	var self struct{ Orphan bool }
	if w.read(w.do(a.Auth.ClientToken, http.MethodGet, "auth/token/lookup-self", ""), &self); self.Orphan {
		t.Error("a role that makes no orphans made one")
	}
}

// A role, a decision and an accessor of one namespace are nothing in another.
func TestCVE_2026_45808_RolesAndDecisionsOfAnotherNamespace(t *testing.T) {
	w := open(t)
	for _, ns := range []string{"a", "b"} {
		w.want(w.do(w.root, http.MethodPost, "sys/namespaces/"+ns, ""), 200)
		w.want(w.do(w.root, http.MethodPut, ns+"/sys/policies/acl/admin", `{"policy":"path \"*\" { capabilities = [\"create\",\"read\",\"update\",\"delete\",\"list\",\"sudo\"] }"}`), 204)
	}
	admin := func(ns string) string {
		return w.want(w.do(w.root, http.MethodPost, ns+"/auth/token/create", `{"policies":["admin"],"no_default_policy":true}`), 200).Auth.ClientToken
	}
	a, b := admin("a"), admin("b")
	w.want(w.do(a, http.MethodPost, "a/auth/token/roles/ci", `{"allowed_policies":["deploy"]}`), 204)
	made := w.want(w.do(a, http.MethodPost, "a/auth/token/create/ci", `{}`), 200)
	var self struct{ Accessor string }
	w.read(w.do(made.Auth.ClientToken, http.MethodGet, "a/auth/token/lookup-self", ""), &self)
	none := w.want(w.do(b, http.MethodPost, "b/auth/token/create/none", `{}`), 400)
	for _, ask := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodGet, "b/auth/token/roles/ci", "", 404},
		{"LIST", "b/auth/token/roles", "", 404},
		{http.MethodPost, "b/auth/token/create/ci", `{}`, 400},
		{http.MethodPost, "b/sys/policies/explain", `{"accessor":"` + self.Accessor + `","path":"x","capability":"read"}`, 400},
		{http.MethodPost, "b/sys/policies/what-can", `{"accessor":"` + self.Accessor + `"}`, 400},
		{http.MethodGet, "a/auth/token/roles/ci", "", 403},
		{http.MethodPost, "a/auth/token/create/ci", `{}`, 403},
		{http.MethodGet, "a/sys/policies/explain/x", "", 403},
	} {
		got := w.want(w.do(b, ask.method, ask.path, ask.body), ask.status)
		if ask.path == "b/auth/token/create/ci" && strings.ReplaceAll(got.Errors[0], "ci", "none") != none.Errors[0] {
			t.Errorf("a role of another namespace is told apart: %q", got.Errors)
		}
	}
	// Deleting in b leaves a's role.
	w.want(w.do(b, http.MethodDelete, "b/auth/token/roles/ci", ""), 204)
	w.want(w.do(a, http.MethodGet, "a/auth/token/roles/ci", ""), 200)
	// A caller from above gives what it names, and nothing of its own.
	top := w.token("top", `path "a/auth/token/create" { capabilities = ["update"] }`)
	held := w.want(w.do(top, http.MethodPost, "a/auth/token/create", `{}`), 200).Auth.ClientToken
	if a := w.want(w.do(held, http.MethodGet, "a/auth/token/lookup-self", ""), 200); strings.Contains(string(a.Data), `"top"`) {
		t.Errorf("%s", a.Data)
	}
}
