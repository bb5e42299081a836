package server_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fastness-dev/fastness/engine"
)

// A pass is an auth method that believes who says they are somebody.
type pass struct{}

type passLogin struct {
	Name   string            `path:"name"`
	Groups []string          `json:"groups"`
	Meta   map[string]string `json:"meta"`
	engine.TokenTerms
}

func passes() engine.Type {
	return (&engine.Spec[pass]{Name: "pass", Kind: engine.Auth,
		Routes: engine.Routes[pass]{
			engine.Login("login/{name*}", func(_ *pass, _ engine.Tx, q passLogin) (*engine.Grant, error) {
				return &engine.Grant{Alias: q.Name, AliasMeta: q.Meta, Groups: q.Groups, DisplayName: q.Name,
					Held: map[string]string{"alias": q.Name, "groups": strings.Join(q.Groups, ",")}, Terms: q.TokenTerms}, nil
			}),
		},
		Renew: func(_ *pass, _ engine.View, r engine.Renewal) (*engine.Grant, error) {
			return &engine.Grant{Alias: r.Held["alias"], Groups: strings.Split(r.Held["groups"], ",")}, nil
		},
	}).Type()
}

// A login is what the answer of one says.
type login struct {
	ClientToken      string   `json:"client_token"`
	Policies         []string `json:"policies"`
	TokenPolicies    []string `json:"token_policies"`
	IdentityPolicies []string `json:"identity_policies"`
	EntityID         string   `json:"entity_id"`
}

func (w *world) logIn(path, body string) login {
	w.t.Helper()
	return w.must(w.do("", "POST", path, body)).Auth
}

// withPass enables the method at auth/pass/ and gives its accessor.
func (w *world) withPass() (accessor string) {
	w.t.Helper()
	w.must(w.do(w.root, "POST", "sys/auth/pass", `{"type":"pass"}`))
	var m struct{ Accessor string }
	w.read("sys/auth/pass", &m)
	return m.Accessor
}

func (w *world) read(path string, to any) {
	w.t.Helper()
	if err := json.Unmarshal(w.must(w.do(w.root, "GET", path, "")).Data, to); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) policy(name, rules string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]string{"policy": rules})
	if err != nil {
		w.t.Fatal(err)
	}
	w.must(w.do(w.root, "PUT", "sys/policies/acl/"+name, string(body)))
}

// entity makes or changes an entity or group.
func (w *world) set(path, body string) (id string) {
	w.t.Helper()
	var made struct{ ID string }
	if a := w.must(w.do(w.root, "POST", "identity/"+path, body)); a.Status == 200 {
		if err := json.Unmarshal(a.Data, &made); err != nil {
			w.t.Fatal(err)
		}
	}
	return made.ID
}

func (w *world) reads(token, path string, want bool) {
	w.t.Helper()
	if a := w.do(token, "GET", path, ""); (a.Status != 403) != want {
		w.t.Errorf("%.12s… reads %s: %d, want %t", token, path, a.Status, want)
	}
}

// What an entity and its groups hold is good for every token of it from the next
// request on, and no longer than that.
func TestATokenHoldsWhatItsEntityDoes(t *testing.T) {
	w := open(t, passes())
	w.withPass()
	w.policy("reads", `path "secret/data/a" { capabilities = ["read"] } path "auth/token/create" { capabilities = ["update"] }`)
	w.policy("more", `path "secret/data/b" { capabilities = ["read"] }`)
	ann := w.logIn("auth/pass/login/ann", `{}`)
	batch := w.logIn("auth/pass/login/ann", `{"token_type":"batch"}`)
	if ann.EntityID == "" || ann.EntityID != batch.EntityID || len(ann.IdentityPolicies) > 0 {
		t.Fatalf("a new user: %+v %+v", ann, batch)
	}
	w.reads(ann.ClientToken, "secret/data/a", false)
	w.set("entity/id/"+ann.EntityID, `{"policies":["reads"]}`)
	group := w.set("group", `{"name":"g","member_entity_ids":["`+ann.EntityID+`"]}`)
	w.set("group", `{"name":"top","policies":["more"],"member_group_ids":["`+group+`"]}`)
	child := w.must(w.do(ann.ClientToken, "POST", "auth/token/create", "")).Auth
	again := w.logIn("auth/pass/login/ANN", `{}`)
	for _, l := range []login{child, again} {
		if fmt.Sprint(l.Policies, l.TokenPolicies, l.IdentityPolicies) != "[default more reads] [default] [more reads]" {
			t.Errorf("an answer says %+v", l)
		}
	}
	for _, l := range []login{ann, batch, child, again} {
		w.reads(l.ClientToken, "secret/data/a", true)
		w.reads(l.ClientToken, "secret/data/b", true)
		w.reads(l.ClientToken, "secret/data/c", false)
	}
	w.set("entity/id/"+ann.EntityID, `{"policies":[]}`)
	w.set("group/id/"+group, `{"member_entity_ids":[]}`)
	for _, l := range []login{ann, batch, child, again} {
		w.reads(l.ClientToken, "secret/data/a", false)
		w.reads(l.ClientToken, "secret/data/b", false)
	}
	if bob := w.logIn("auth/pass/login/bob", `{}`); bob.EntityID == ann.EntityID {
		t.Error("two users are one entity")
	}
	var n struct {
		Counters struct{ Entities struct{ Total int } }
	}
	if w.read("sys/internal/counters/entities", &n); n.Counters.Entities.Total != 2 {
		t.Errorf("counted: %+v", n)
	}
}

// Whoever asks what a token can do is told of its entity's policies too.
func TestCapabilitiesAreThoseOfTokenAndEntity(t *testing.T) {
	w := open(t, passes())
	w.withPass()
	w.policy("own", `path "secret/data/{{identity.entity.name}}" { capabilities = ["read"] }`)
	ann := w.logIn("auth/pass/login/ann", `{}`)
	w.set("entity/id/"+ann.EntityID, `{"name":"ann","policies":["own"]}`)
	var look struct {
		Accessor         string
		Policies         []string
		IdentityPolicies []string `json:"identity_policies"`
		EntityID         string   `json:"entity_id"`
	}
	if err := json.Unmarshal(w.must(w.do(ann.ClientToken, "GET", "auth/token/lookup-self", "")).Data, &look); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(look.Policies, look.IdentityPolicies) != "[default] [own]" || look.EntityID != ann.EntityID {
		t.Errorf("lookup: %+v", look)
	}
	const path = `"paths":["secret/data/ann","secret/data/bob"]`
	for _, a := range []answer{
		w.do(ann.ClientToken, "POST", "sys/capabilities-self", `{`+path+`}`),
		w.do(w.root, "POST", "sys/capabilities", `{"token":"`+ann.ClientToken+`",`+path+`}`),
		w.do(w.root, "POST", "sys/capabilities-accessor", `{"accessor":"`+look.Accessor+`",`+path+`}`),
	} {
		var caps map[string][]string
		if err := json.Unmarshal(w.must(a).Data, &caps); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(caps["secret/data/ann"], caps["secret/data/bob"]) != "[read] [deny]" {
			t.Errorf("capabilities: %v", caps)
		}
	}
	if a := w.must(w.do(ann.ClientToken, "GET", "sys/internal/ui/resultant-acl", "")); !strings.Contains(string(a.Data), `"secret/data/ann"`) {
		t.Errorf("resultant acl: %s", a.Data)
	}
	w.set("entity/id/"+ann.EntityID, `{"disabled":true}`)
	if a := w.do(w.root, "POST", "sys/capabilities", `{"token":"`+ann.ClientToken+`",`+path+`}`); a.Status != 403 {
		t.Errorf("capabilities of a disabled entity's token: %d %s", a.Status, a.Data)
	}
}

// A template is filled for each entity apart, and anew when the entity changes.
func TestTemplatesAreFilledForEachEntity(t *testing.T) {
	w := open(t, passes())
	accessor := w.withPass()
	w.policy("own", `path "secret/data/{{identity.entity.aliases.`+accessor+`.name}}/*" { capabilities = ["read"] }
		path "secret/data/team/{{identity.entity.aliases.`+accessor+`.metadata.team}}" { capabilities = ["read"] }
		path "secret/data/group/{{identity.groups.names.g.id}}" { capabilities = ["read"] }`)
	ann := w.logIn("auth/pass/login/ann", `{"token_policies":["own"],"meta":{"team":"red"}}`)
	bob := w.logIn("auth/pass/login/bob", `{"token_policies":["own"]}`)
	bare := w.must(w.do(w.root, "POST", "auth/token/create", `{"policies":["own"]}`)).Auth
	w.reads(ann.ClientToken, "secret/data/ann/x", true)
	w.reads(ann.ClientToken, "secret/data/team/red", true)
	w.reads(bob.ClientToken, "secret/data/bob/x", true)
	for _, path := range []string{"secret/data/ann/x", "secret/data/team/red", "secret/data/team/"} {
		w.reads(bob.ClientToken, path, false)
		w.reads(bare.ClientToken, path, false)
	}
	g := w.set("group", `{"name":"g","member_entity_ids":["`+bob.EntityID+`"]}`)
	w.reads(bob.ClientToken, "secret/data/group/"+g, true)
	w.reads(ann.ClientToken, "secret/data/group/"+g, false)
	w.logIn("auth/pass/login/ann", `{"meta":{"team":"blue"}}`)
	w.reads(ann.ClientToken, "secret/data/team/red", false)
	w.reads(ann.ClientToken, "secret/data/team/blue", true)
}

// With an entity go its tokens; merged into another, they are that one's.
func TestTokensStandAndFallWithTheirEntity(t *testing.T) {
	w := open(t, passes())
	w.withPass()
	w.policy("makes", `path "auth/token/*" { capabilities = ["update"] } path "a/auth/token/*" { capabilities = ["update"] }`)
	w.policy("reads", `path "secret/data/a" { capabilities = ["read"] }`)
	w.must(w.do(w.root, "POST", "sys/namespaces/a", ""))
	ann := w.logIn("auth/pass/login/ann", `{"token_policies":["makes"]}`)
	bob := w.logIn("auth/pass/login/bob", `{}`)
	child := w.must(w.do(ann.ClientToken, "POST", "auth/token/create", "")).Auth
	far := w.must(w.in("a", ann.ClientToken, "POST", "auth/token/create", "")).Auth
	all := map[string]string{ann.ClientToken: "", child.ClientToken: "", far.ClientToken: "a"}
	alive := func(want int) {
		t.Helper()
		for token, ns := range all {
			if a := w.in(ns, token, "GET", "auth/token/lookup-self", ""); a.Status != want {
				t.Errorf("token in %q: %d, want %d", ns, a.Status, want)
			}
		}
	}
	alive(200)
	w.set("entity/id/"+ann.EntityID, `{"disabled":true}`)
	alive(403)
	for _, path := range []string{"auth/token/renew", "auth/token/renew-self"} {
		if a := w.do(w.root, "POST", path, `{"token":"`+ann.ClientToken+`"}`); path == "auth/token/renew" && a.Status != 403 {
			t.Errorf("renewed: %d", a.Status)
		}
	}
	if a := w.do("", "POST", "auth/pass/login/ann", `{}`); a.Status != 403 || a.Errors[0] != "permission denied" {
		t.Errorf("login: %d %q", a.Status, a.Errors)
	}
	w.set("entity/id/"+ann.EntityID, `{"disabled":false}`)
	alive(200)
	w.set("entity/id/"+bob.EntityID, `{"policies":["reads"]}`)
	w.must(w.do(w.root, "DELETE", "sys/auth/pass", "")) // ends the tokens that it gave, and aliases, which would be in the way
	w.withPass()
	ann = w.logIn("auth/pass/login/ann", `{}`)
	w.must(w.do(w.root, "DELETE", "sys/namespaces/a", ""))
	w.set("entity/merge", `{"from_entity_ids":["`+ann.EntityID+`"],"to_entity_id":"`+bob.EntityID+`"}`)
	w.reads(ann.ClientToken, "secret/data/a", true)
	w.must(w.do(w.root, "DELETE", "identity/entity/id/"+bob.EntityID, ""))
	w.reads(ann.ClientToken, "secret/data/a", false)
	if a := w.do(ann.ClientToken, "GET", "auth/token/lookup-self", ""); a.Status != 403 || a.Errors[0] != "permission denied" {
		t.Errorf("token of a deleted entity: %d %q", a.Status, a.Errors)
	}
}

// A role gives tokens to somebody by an alias of the token mount: in a namespace,
// to somebody there, whoever asks.
func TestARoleGivesTokensToAnEntity(t *testing.T) {
	w := open(t)
	w.must(w.do(w.root, "POST", "sys/namespaces/a", ""))
	for _, ns := range []string{"", "a"} {
		w.must(w.in(ns, w.root, "POST", "auth/token/roles/r", `{"allowed_policies":["default"],"allowed_entity_aliases":["svc"]}`))
		w.must(w.in(ns, w.root, "PUT", "sys/policies/acl/reads", `{"policy":"path \"sys/mounts\" { capabilities = [\"read\"] }"}`))
		one := w.must(w.in(ns, w.root, "POST", "auth/token/create/r", `{"entity_alias":"svc"}`)).Auth
		two := w.must(w.in(ns, w.root, "POST", "auth/token/create/r", `{"entity_alias":"SVC"}`)).Auth
		if one.EntityID == "" || one.EntityID != two.EntityID {
			t.Errorf("in %q: entities %q and %q", ns, one.EntityID, two.EntityID)
		}
		w.must(w.in(ns, w.root, "POST", "identity/entity/id/"+one.EntityID, `{"policies":["reads"]}`))
		w.must(w.in(ns, one.ClientToken, "GET", "sys/mounts", ""))
		w.must(w.in(ns, w.root, "POST", "identity/entity/id/"+one.EntityID, `{"disabled":true}`))
		if a := w.in(ns, two.ClientToken, "GET", "auth/token/lookup-self", ""); a.Status != 403 {
			t.Errorf("in %q: a disabled entity's token: %d", ns, a.Status)
		}
		if a := w.in(ns, w.root, "POST", "auth/token/create/r", `{"entity_alias":"svc"}`); a.Status != 403 {
			t.Errorf("in %q: a token for a disabled entity: %d", ns, a.Status)
		}
	}
}

// External groups follow what a login or a renewal says.
func TestExternalGroupsFollowLoginsAndRenewals(t *testing.T) {
	w := open(t, passes())
	accessor := w.withPass()
	w.policy("reads", `path "secret/data/a" { capabilities = ["read"] }`)
	g := w.set("group", `{"name":"admins","type":"external","policies":["reads"]}`)
	alias := w.set("group-alias", `{"name":"adm","mount_accessor":"`+accessor+`","canonical_id":"`+g+`"}`)
	ann := w.logIn("auth/pass/login/ann", `{"groups":["adm","none"]}`)
	w.reads(ann.ClientToken, "secret/data/a", true)
	w.logIn("auth/pass/login/ann", `{}`)
	w.reads(ann.ClientToken, "secret/data/a", false)
	renewed := w.must(w.do(ann.ClientToken, "POST", "auth/token/renew-self", "")).Auth
	if !slices.Contains(renewed.Policies, "reads") {
		t.Errorf("renewed: %+v", renewed)
	}
	w.reads(ann.ClientToken, "secret/data/a", true)
	w.must(w.do(w.root, "DELETE", "identity/group-alias/id/"+alias, ""))
	w.reads(ann.ClientToken, "secret/data/a", false)
}

// Logins of one new user at once make one entity, over the wire too.
func TestLoginsAtOnceAreOneEntity(t *testing.T) {
	w := open(t, passes())
	w.withPass()
	var all sync.WaitGroup
	ids := make([]string, 16)
	for i := range ids {
		all.Go(func() { ids[i] = w.do("", "POST", "auth/pass/login/ann", `{}`).Auth.EntityID })
	}
	all.Wait()
	if one := slices.Compact(slices.Sorted(slices.Values(ids))); len(one) != 1 || one[0] == "" {
		t.Errorf("entities %q", one)
	}
}

// The audit log says whom a request's token is of, and what of it came from
// there.
func TestTheAuditNamesTheIdentity(t *testing.T) {
	w := open(t, passes())
	w.withPass()
	file := filepath.Join(t.TempDir(), "audit.log")
	w.must(w.do(w.root, "PUT", "sys/audit/file", `{"type":"file","options":{"file_path":"`+file+`"}}`))
	w.policy("reads", `path "secret/data/a" { capabilities = ["read"] }`)
	ann := w.logIn("auth/pass/login/ann", `{}`)
	w.set("entity/id/"+ann.EntityID, `{"policies":["reads"]}`)
	w.logIn("auth/pass/login/ann", `{}`)
	w.do(ann.ClientToken, "GET", "secret/data/a", "")
	type auth struct {
		EntityID         string   `json:"entity_id"`
		EntityCreated    bool     `json:"entity_created"`
		Policies         []string `json:"policies"`
		TokenPolicies    []string `json:"token_policies"`
		IdentityPolicies []string `json:"identity_policies"`
	}
	var lines []string
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e struct {
			Type     string
			Auth     auth
			Request  struct{ Path string }
			Response struct{ Auth *auth }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Request.Path == "auth/pass/login/ann" && e.Type == "response" {
			lines = append(lines, fmt.Sprint("login ", e.Auth, " gives ", *e.Response.Auth))
		}
		if e.Request.Path == "secret/data/a" {
			lines = append(lines, fmt.Sprint(e.Type, " ", e.Auth))
		}
	}
	got := strings.ReplaceAll(strings.Join(lines, "\n"), ann.EntityID, "ANN")
	want := `login {ANN true [default] [default] []} gives {ANN false [default] [default] []}
login {ANN false [default reads] [default] [reads]} gives {ANN false [default reads] [default] [reads]}
request {ANN false [default reads] [default] [reads]}
response {ANN false [default reads] [default] [reads]}`
	if got != want {
		t.Errorf("recorded:\n%s\nwant:\n%s", got, want)
	}
}
