package server_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type denial struct {
	ID, Accessor, Operation, Path, Reason, Because, Rule, Remedy string
	Policies                                                     []struct {
		Policy string
		Line   int
	}
}

func (w *world) explained(token, id string, status int, headers ...string) (d denial) {
	w.t.Helper()
	a := w.want(w.do(token, http.MethodGet, "sys/policies/explain/"+id, "", headers...), status)
	if status == 200 {
		if err := json.Unmarshal(a.Data, &d); err != nil {
			w.t.Fatal(err)
		}
	}
	return d
}

func (w *world) made(policies string, headers ...string) (token, accessor string) {
	w.t.Helper()
	a := w.want(w.do(w.root, http.MethodPost, "auth/token/create", `{"policies":`+policies+`}`, headers...), 200)
	var auth struct{ Auth struct{ Accessor string } }
	if err := json.Unmarshal(a.body, &auth); err != nil {
		w.t.Fatal(err)
	}
	return a.Auth.ClientToken, auth.Auth.Accessor
}

// A refusal by policy has an id, under which it is on record and is explained
// to those who may ask; the caller learns nothing else.
func TestARefusalIsExplained(t *testing.T) {
	w := open(t)
	file := filepath.Join(t.TempDir(), "audit.log")
	w.want(w.do(w.root, http.MethodPut, "sys/audit/file", `{"type":"file","options":{"file_path":"`+file+`"}}`), 204)
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/app", `{"policy":"path \"secret/*\" { capabilities = [\"read\"] }\n\npath \"secret/data/closed\" { capabilities = [\"deny\"] }\npath \"secret/data/p\" {\n capabilities = [\"create\", \"update\"]\n allowed_parameters = { \"options\" = [] }\n}"}`), 204)
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/helper", `{"policy":"path \"sys/policies/explain/*\" { capabilities = [\"read\", \"list\"] }"}`), 204)
	app, accessor := w.made(`["app"]`)
	helper, _ := w.made(`["helper"]`)

	a := w.want(w.do(app, http.MethodGet, "secret/data/closed", ""), 403)
	id := a.header.Get("X-Fastness-Decision")
	if id == "" || strings.Contains(string(a.body), id) || strings.Contains(string(a.body), "deny") {
		t.Fatalf("decision %q, body %s", id, a.body)
	}
	log, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(log), `"id":"`+id+`"`) {
		t.Errorf("the decision is not in the audit log (%v)", err)
	}
	d := w.explained(helper, id, 200)
	if d.ID != id || d.Accessor != accessor || d.Operation != "read" || d.Path != "secret/data/closed" || d.Reason != "denied_by_rule" ||
		len(d.Policies) != 1 || d.Policies[0].Policy != "app" || d.Policies[0].Line != 3 {
		t.Errorf("%+v", d)
	}

	// No value of a parameter is remembered, and no token.
	a = w.want(w.do(app, http.MethodPost, "secret/data/p", `{"data":{"x":"canary-value"}}`), 403)
	a = w.want(w.do(helper, http.MethodGet, "sys/policies/explain/"+a.header.Get("X-Fastness-Decision"), ""), 200)
	if text := string(a.body); !strings.Contains(text, `"parameter_not_allowed"`) || strings.Contains(text, "canary") || strings.Contains(text, app) {
		t.Error(text)
	}

	// Only who may ask is told; the refusal of that has an id of its own.
	a = w.want(w.do(app, http.MethodGet, "sys/policies/explain/"+id, ""), 403)
	if again := a.header.Get("X-Fastness-Decision"); again == "" || again == id {
		t.Errorf("decision %q", again)
	}
	// What no policy decided has no id.
	for _, a := range []answer{w.do("hvs.wrong", http.MethodGet, "secret/data/a", ""), w.do(w.root, http.MethodGet, "secret/data/none", "")} {
		if id := a.header.Get("X-Fastness-Decision"); id != "" {
			t.Errorf("status %d has a decision", a.Status)
		}
	}
	var list struct{ Keys []string }
	a = w.want(w.do(helper, "LIST", "sys/policies/explain", ""), 200)
	if err := json.Unmarshal(a.Data, &list); err != nil || len(list.Keys) != 3 || list.Keys[2] != id {
		t.Errorf("%v %v", list, err)
	}
	w.want(w.do(w.root, http.MethodPut, "sys/seal", ""), 204)
	if err := w.s.System().Unseal(t.Context(), w.key); err != nil {
		t.Fatal(err)
	}
	w.explained(w.root, id, 404) // forgotten with the keys
}

// A remedy, written as it is told, lets the request pass.
func TestARemedyHelps(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/app", `{"policy":"path \"secret/*\" { capabilities = [\"read\"] }"}`), 204)
	app, _ := w.made(`["app"]`)
	for _, c := range []struct {
		method, path, body string
		ok                 int
	}{
		{http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`, 200},
		{"LIST", "secret/metadata", "", 200},
		{"LIST", "auth/token/accessors", "", 200},
		{http.MethodGet, "sys/mounts", "", 200},
		{http.MethodDelete, "secret/metadata/a", "", 204},
	} {
		a := w.do(app, c.method, c.path, c.body)
		for range 2 {
			if a.Status == c.ok {
				break
			}
			d := w.explained(w.root, w.want(a, 403).header.Get("X-Fastness-Decision"), 200)
			body, err := json.Marshal(map[string]string{"policy": w.policyText("app") + "\n" + d.Remedy})
			if err != nil {
				t.Fatal(err)
			}
			w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/app", string(body)), 204)
			a = w.do(app, c.method, c.path, c.body)
		}
		w.want(a, c.ok)
	}
}

func (w *world) policyText(name string) string {
	w.t.Helper()
	var p struct{ Policy string }
	if err := json.Unmarshal(w.want(w.do(w.root, http.MethodGet, "sys/policies/acl/"+name, ""), 200).Data, &p); err != nil {
		w.t.Fatal(err)
	}
	return p.Policy
}

// What policies of one namespace refused is unknown in another, and below.
func TestARefusalIsExplainedInItsNamespaceOnly(t *testing.T) {
	w := open(t)
	for _, ns := range []string{"a", "b"} {
		w.want(w.do(w.root, http.MethodPost, "sys/namespaces/"+ns, ""), 200)
	}
	w.want(w.do(w.root, http.MethodPost, "sys/namespaces/below", "", "X-Vault-Namespace", "a"), 200)
	rootApp, _ := w.made(`["default"]`)
	nsApp, _ := w.made(`["default"]`, "X-Vault-Namespace", "a")
	ofRoot := w.want(w.do(rootApp, http.MethodGet, "a/sys/mounts", ""), 403).header.Get("X-Fastness-Decision")
	ofA := w.want(w.do(nsApp, http.MethodGet, "a/sys/mounts", ""), 403).header.Get("X-Fastness-Decision")
	out := w.want(w.do(nsApp, http.MethodGet, "sys/mounts", ""), 403).header.Get("X-Fastness-Decision")
	for _, c := range []struct {
		id, from string
		status   int
	}{
		{ofRoot, "", 200}, {ofRoot, "a", 404}, {ofRoot, "a/below", 404},
		{ofA, "", 200}, {ofA, "a", 200}, {ofA, "b", 404}, {ofA, "a/below", 404},
		{out, "a", 200}, {out, "b", 404},
	} {
		w.explained(w.root, c.id, c.status, "X-Vault-Namespace", c.from)
	}
	if d := w.explained(w.root, ofRoot, 200); d.Path != "a/sys/mounts" { // as the policies of root see it
		t.Errorf("%+v", d)
	}
	if d := w.explained(w.root, out, 200); d.Reason != "other_namespace" {
		t.Errorf("%+v", d)
	}
}

// Entities hold policies too, by themselves and by their groups, and templates
// are filled for each.
func TestQuestionsKnowEntities(t *testing.T) {
	w := open(t)
	for name, text := range map[string]string{"team": `path \"kv/team\" { capabilities = [\"read\"] }`,
		"home": `path \"kv/{{identity.entity.name}}\" { capabilities = [\"update\"] }`} {
		w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/"+name, `{"policy":"`+text+`"}`), 204)
	}
	var made struct{ ID string }
	for _, name := range []string{"ann", "bob"} {
		a := w.want(w.do(w.root, http.MethodPost, "identity/entity", `{"name":"`+name+`","policies":["home"]}`), 200)
		if err := json.Unmarshal(a.Data, &made); err != nil {
			t.Fatal(err)
		}
	}
	w.want(w.do(w.root, http.MethodPost, "identity/group", `{"name":"g","policies":["team"],"member_entity_ids":["`+made.ID+`"]}`), 200)
	ask := func(route, body string) string {
		t.Helper()
		return string(w.want(w.do(w.root, http.MethodPost, "sys/policies/"+route, body), 200).Data)
	}
	has := func(got, want string, yes bool) {
		t.Helper()
		if strings.Contains(got, want) != yes {
			t.Errorf("%s\nhas %s: %v", got, want, !yes)
		}
	}
	got := ask("who-can", `{"path":"kv/team","capability":"read"}`)
	has(got, `"name":"bob"`, true)
	has(got, `"name":"ann"`, false)
	got = ask("who-can", `{"path":"kv/ann","capability":"update"}`)
	has(got, `"name":"ann"`, true)
	has(got, `"name":"bob"`, false)
	has(ask("explain", `{"path":"kv/bob","capability":"update","entity":"BOB"}`), `"allowed":true`, true)
	has(ask("what-can", `{"entity":"`+made.ID+`"}`), `"path":"kv/bob"`, true)

	w.want(w.do(w.root, http.MethodPost, "auth/token/roles/people", `{"allowed_entity_aliases":["*"],"allowed_policies":["default"]}`), 204)
	w.want(w.do(w.root, http.MethodPost, "auth/token/create/people", `{"entity_alias":"svc"}`), 200)
	got = ask("diff", `{"name":"team","policy":""}`)
	has(got, `"policies":["home","team"],"tokens":0,"entities":["bob"],"changes":[{"path":"kv/team","lost":["read"]}]`, true)
	got = ask("diff", `{"name":"home","policy":"path \"kv/x/{{identity.entity.name}}\" { capabilities = [\"update\"] }"}`)
	has(got, `"lost":["update"]`, true)
	has(got, `{"path":"kv/x/ann","gained":["update"]}`, true)
	has(got, `{"path":"kv/x/{{identity.entity.name}}","gained":["update"]}`, true) // of the policy by itself

	w.want(w.do(w.root, http.MethodPost, "identity/entity/name/bob", `{"disabled":true}`), 204)
	has(ask("who-can", `{"path":"kv/team","capability":"read"}`), `"name":"bob"`, false)
	has(string(w.want(w.do(w.root, http.MethodPost, "sys/policies/explain", `{"path":"kv/team","capability":"read","entity":"bob"}`), 200).body), "disabled", true)
}
