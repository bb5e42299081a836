package attacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A takes is one place of the API that takes a value: a parameter of the path,
// of the query or of the body.
type takes struct {
	method, path, name string
	in                 string   // path, query or body
	list               bool     // the value is one of a list
	with               []string // the other parameters of the body
}

var (
	// What is parsed as a time or as rules, or hashed for long, is no name.
	dull = regexp.MustCompile("ttl|period|increment|interval|password|lease$|_after$|polic|rules|template")
	// Of a query only what looks like a name is asked: it holds what a body does.
	names = regexp.MustCompile("id$|token|accessor|name")
)

// takers are all places of a namespace that take a text, found in the server's
// own description of its API, so that old spellings are among them.
func (w *world) takers(ns, token string) []takes {
	w.t.Helper()
	type parameter struct {
		Name, In string
		Schema   struct{ Type string }
	}
	type operation struct {
		Parameters  []parameter
		RequestBody struct {
			Content map[string]struct {
				Schema struct {
					Properties map[string]struct{ Type string }
				}
			}
		}
	}
	var doc struct {
		Paths map[string]struct {
			Parameters               []parameter
			Get, Post, Patch, Delete *operation
		}
	}
	if err := json.Unmarshal(w.raw(token, http.MethodGet, "sys/internal/specs/openapi", "", "X-Vault-Namespace", ns), &doc); err != nil {
		w.t.Fatal(err)
	}
	var all []takes
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		p := doc.Paths[path]
		for method, op := range map[string]*operation{http.MethodGet: p.Get, "LIST": p.Get, http.MethodPost: p.Post, http.MethodPatch: p.Patch, http.MethodDelete: p.Delete} {
			if op == nil {
				continue
			}
			for _, q := range slices.Concat(p.Parameters, op.Parameters) {
				if q.In == "path" || q.In == "query" && names.MatchString(q.Name) {
					all = append(all, takes{method: method, path: path, name: q.Name, in: q.In})
				}
			}
			for _, c := range op.RequestBody.Content {
				with := slices.Sorted(maps.Keys(c.Schema.Properties))
				for name, schema := range c.Schema.Properties {
					if !dull.MatchString(name) && (schema.Type == "string" || schema.Type == "array") {
						all = append(all, takes{method, path, name, "body", schema.Type == "array", with})
					}
				}
			}
		}
	}
	return all
}

// furnish makes one thing of every kind in a namespace and returns the names
// that the server gave them. What the things hold tells whose they are.
func (w *world) furnish(ns, holds string) map[string]string {
	w.t.Helper()
	in := func(method, path, body string) map[string]any {
		w.t.Helper()
		var a map[string]any
		text := w.raw(w.root, method, path, body, "X-Vault-Namespace", ns)
		if err := json.Unmarshal(text, &a); len(text) > 0 && err != nil || a["errors"] != nil {
			w.t.Fatalf("%s %s in %s: %s %v", method, path, ns, text, err)
		}
		return a
	}
	data := func(a map[string]any, part, key string) string {
		w.t.Helper()
		m, _ := a[part].(map[string]any)
		s, ok := m[key].(string)
		if !ok {
			w.t.Fatalf("no %s of %s in %v", key, part, a)
		}
		return s
	}
	in("PUT", "sys/policies/acl/all", `{"policy":"path \"*\" { capabilities = [\"read\"] }"}`)
	for _, method := range []string{"approle", "userpass"} {
		in("POST", "sys/auth/"+method, `{"type":"`+method+`"}`)
		in("POST", "sys/auth/"+method+"/tune", `{"user_lockout_config":{"lockout_disable":true}}`)
	}
	in("POST", "sys/mounts/kv", `{"type":"kv","options":{"version":"2"}}`)
	in("POST", "auth/approle/role/"+holds, `{"policies":"all"}`)
	in("POST", "auth/userpass/users/ann", `{"password":"`+holds+`"}`)
	mount := data(in("GET", "sys/auth/approle", ""), "data", "accessor")
	token := in("POST", "auth/token/create", `{"policies":["all"],"ttl":"1h","meta":{"holds":"`+holds+`"}}`)
	login := in("POST", "auth/userpass/login/ann", `{"password":"`+holds+`"}`)
	entity := data(in("POST", "identity/entity", `{"name":"`+holds+`","metadata":{"holds":"`+holds+`"}}`), "data", "id")
	group := data(in("POST", "identity/group", `{"name":"`+holds+`","type":"external"}`), "data", "id")
	secret := in("POST", "auth/approle/role/"+holds+"/secret-id", `{"metadata":"{\"holds\":\"`+holds+`\"}"}`)
	wrapped := w.want(w.do(w.root, "POST", "sys/wrapping/wrap", `{"holds":"`+holds+`"}`, "X-Vault-Namespace", ns, "X-Vault-Wrap-TTL", "1h"), 200)
	return map[string]string{
		"token":              data(token, "auth", "client_token"),
		"accessor":           data(token, "auth", "accessor"),
		"login":              data(login, "auth", "client_token"),
		"login accessor":     data(login, "auth", "accessor"),
		"login entity":       data(login, "auth", "entity_id"),
		"batch token":        data(in("POST", "auth/token/create", `{"policies":["all"],"type":"batch","meta":{"holds":"`+holds+`"}}`), "auth", "client_token"),
		"wrapping token":     wrapped.WrapInfo.Token,
		"entity":             entity,
		"alias":              data(in("POST", "identity/entity-alias", `{"name":"`+holds+`","canonical_id":"`+entity+`","mount_accessor":"`+mount+`"}`), "data", "id"),
		"group":              group,
		"group alias":        data(in("POST", "identity/group-alias", `{"name":"`+holds+`","canonical_id":"`+group+`","mount_accessor":"`+mount+`"}`), "data", "id"),
		"mount":              mount,
		"role id":            data(in("GET", "auth/approle/role/"+holds+"/role-id", ""), "data", "role_id"),
		"secret id":          data(secret, "data", "secret_id"),
		"secret id accessor": data(secret, "data", "secret_id_accessor"),
	}
}

// alike is a name of the same kind that nobody has.
func alike(name string) string {
	dot, end := 0, len(name)
	if strings.HasPrefix(name, "hv") { // a token tells its kind before a dot
		dot = strings.IndexByte(name, '.') + 1
	}
	if i := strings.LastIndexByte(name, '.'); i > dot { // and all tell their namespace after one
		end = i
	}
	var b strings.Builder
	for i, c := range name {
		switch {
		case i < dot || i >= end || i < 8 && strings.HasPrefix(name, "auth_"):
		case c >= '0' && c <= '9':
			c = '0' + (c-'0'+7)%10
		case c >= 'a' && c <= 'f':
			c = 'a' + (c-'a'+3)%6
		case c >= 'g' && c <= 'z':
			c = 'g' + (c-'g'+9)%20
		case c >= 'A' && c <= 'Z':
			c = 'A' + (c-'A'+9)%26
		}
		b.WriteRune(c)
	}
	return b.String()
}

// What one namespace names is nothing in another: at every place of the API
// that takes a text, a name of namespace a's answers in b, to b's own root
// token and to the server's, as a name that nobody has; and nothing of a's is
// shown, changed or ended.
func TestCVE_2026_45808_IdentifierOfAnotherNamespace(t *testing.T) {
	w := open(t)
	for _, ns := range []string{"a", "b"} {
		w.want(w.do(w.root, "POST", "sys/namespaces/"+ns, ""), 200)
	}
	theirs := w.furnish("a", canary)
	ours := w.furnish("b", "ours")
	inB := func(token, method, path, body string) answer {
		return w.do(token, method, path, body, "X-Vault-Namespace", "b")
	}
	asked, n := map[string]bool{}, 0
	for i, at := range w.takers("b", w.root) {
		for j, kind := range slices.Sorted(maps.Keys(theirs)) {
			id, who := theirs[kind], w.root
			if (i+j)%2 == 1 { // a new one each time: some requests end it
				who = w.want(inB(w.root, "POST", "auth/token/create", `{"policies":["root"]}`), 200).Auth.ClientToken
			}
			ask := func(token, value string) string {
				n++
				mine := w.want(inB(w.root, "POST", "identity/entity", fmt.Sprintf(`{"name":"e%d"}`, n)), 200)
				var e struct{ ID string }
				if err := json.Unmarshal(mine.Data, &e); err != nil {
					t.Fatal(err)
				}
				path, body := at.fill(value, map[string]string{"mount_accessor": ours["mount"], "canonical_id": e.ID, "to_entity_id": e.ID,
					"name": "x", "role_name": "ours", "username": "ann", "role_id": ours["role id"], "from_entity_ids": e.ID})
				rec := w.serve(token, at.method, path, body, []string{"X-Vault-Namespace", "b", "Content-Type", "application/merge-patch+json"})
				shown(t, at.method+" "+path+" "+body, rec.Body.String())
				if rec.Code < 300 { // it was taken for a name to give
					return "taken"
				}
				return fmt.Sprint(rec.Code, " ", shape(rec.Body.String(), value))
			}
			unknown, known := ask(who, alike(id)), ask(who, id)
			if known != unknown {
				t.Errorf("%s %s: %s as %s\n\tthe %s of a's: %s\n\tan unknown one: %s", at.method, at.path, at.in, at.name, kind, known, unknown)
			}
			asked[at.method+at.path+at.name+kind] = true
		}
	}
	for _, must := range []string{"POST/sys/revoke-prefix/{prefix}prefixtoken", "POST/auth/token/revoke-accessoraccessoraccessor", "POST/sys/renewlease_idtoken", "POST/identity/entity/mergefrom_entity_idsentity", "GET/identity/persona/id/{id}idalias"} {
		if !asked[must] {
			t.Errorf("%s was not asked", must)
		}
	}
	after := func(path, key string) {
		t.Helper()
		if a := w.do(w.root, "POST", path, key, "X-Vault-Namespace", "a"); a.Status != 200 {
			t.Errorf("%s %s in a: status %d %q", path, key, a.Status, a.Errors)
		}
	}
	for _, kind := range []string{"token", "login", "batch token"} {
		after("auth/token/lookup", `{"token":"`+theirs[kind]+`"}`)
	}
	after("identity/lookup/entity", `{"id":"`+theirs["entity"]+`"}`)
	after("identity/lookup/entity", `{"alias_id":"`+theirs["alias"]+`"}`)
	after("identity/lookup/group", `{"id":"`+theirs["group"]+`"}`)
	after("auth/approle/role/"+canary+"/secret-id/lookup", `{"secret_id":"`+theirs["secret id"]+`"}`)
	after("auth/approle/role/"+canary+"/secret-id-accessor/lookup", `{"secret_id_accessor":"`+theirs["secret id accessor"]+`"}`)
	after("auth/approle/login", `{"role_id":"`+theirs["role id"]+`","secret_id":"`+theirs["secret id"]+`"}`)
	after("sys/wrapping/unwrap", `{"token":"`+theirs["wrapping token"]+`"}`)
}

// fill makes the request that puts value where it is taken; what else must be
// given is of the caller's own.
func (at takes) fill(value string, own map[string]string) (path, body string) {
	path = strings.TrimPrefix(at.path, "/")
	if at.in == "path" {
		path = strings.ReplaceAll(path, "{"+at.name+"}", value)
	}
	for name, v := range own {
		path = strings.ReplaceAll(path, "{"+name+"}", v)
	}
	path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x")
	if at.in == "query" {
		path += "?" + at.name + "=" + value
	}
	fields := map[string]any{}
	for _, name := range at.with {
		if v := own[name]; v != "" {
			fields[name] = v
		}
	}
	if at.in == "body" {
		if fields[at.name] = value; at.list {
			fields[at.name] = []string{value}
		}
	}
	if len(fields) > 0 {
		text, _ := json.Marshal(fields)
		body = string(text)
	}
	return path, body
}

// shape is a refusal without what was asked for, in any case, and without what
// is drawn at random.
func shape(text, asked string) string {
	for _, as := range []string{asked, strings.ToLower(asked)} {
		text = strings.ReplaceAll(text, as, "ASKED")
	}
	return drawn.ReplaceAllString(text, "~")
}

var drawn = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
