package attacks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// methods mounts AppRole with a role, and userpass with a user, that logs in.
func (w *world) methods() {
	w.t.Helper()
	for _, q := range []struct {
		path, body string
		status     int
	}{
		{"sys/auth/approle", `{"type":"approle"}`, 204},
		{"sys/auth/userpass", `{"type":"userpass"}`, 204},
		{"auth/approle/role/app", `{"role_id":"app"}`, 204},
		{"auth/approle/role/app/custom-secret-id", `{"secret_id":"secret"}`, 200},
		{"auth/userpass/users/ann", `{"password":"secret"}`, 204},
	} {
		w.want(w.do(w.root, http.MethodPost, q.path, q.body), q.status)
	}
}

const (
	roleLogin = `{"role_id":"app","secret_id":"secret"}`
	userLogin = `{"password":"secret"}`
)

// A described path is what our own description of the API says of it.
type described struct {
	Post struct {
		RequestBody struct {
			Content map[string]struct {
				Schema struct{ Properties map[string]any }
			}
		}
	}
}

// document is our own description of the API, by path.
func (w *world) document() map[string]described {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/v1/sys/internal/specs/openapi", nil)
	r.Header.Set("X-Vault-Token", w.root)
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	var doc struct{ Paths map[string]described }
	if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
		w.t.Fatal(err)
	}
	return doc.Paths
}

// grantors are the paths of the API below a prefix that take names of policies:
// path, parameter. Those of tokens have tests of their own.
func (w *world) grantors(under string) map[[2]string]bool {
	w.t.Helper()
	found := map[[2]string]bool{}
	for path, p := range w.document() {
		if !strings.HasPrefix(path, under) || strings.HasPrefix(path, "/auth/token/") {
			continue
		}
		for _, c := range p.Post.RequestBody.Content {
			for name := range c.Schema.Properties {
				if strings.Contains(name, "policies") || strings.Contains(name, "policy") && !strings.Contains(name, "no_default_policy") {
					found[[2]string{strings.TrimPrefix(path, "/"), name}] = true
				}
			}
		}
	}
	return found
}

// No role and no user gives a root token, however root is spelt and whichever
// parameter takes it.
func TestCVE_2025_5999_RootPolicyOfARole(t *testing.T) {
	w := open(t)
	w.methods()
	found := w.grantors("/auth/")
	for _, known := range [][2]string{
		{"auth/approle/role/{role_name}", "policies"}, {"auth/approle/role/{role_name}", "token_policies"},
		{"auth/approle/role/{role_name}/policies", "policies"}, {"auth/approle/role/{role_name}/policies", "token_policies"},
		{"auth/userpass/users/{username}", "policies"}, {"auth/userpass/users/{username}", "token_policies"},
		{"auth/userpass/users/{username}/policies", "policies"}, {"auth/userpass/users/{username}/policies", "token_policies"},
	} {
		if !found[known] {
			t.Errorf("the API's description does not have %s of %s: found %v", known[1], known[0], found)
		}
	}
	at := strings.NewReplacer("{role_name}", "app", "{username}", "ann")
	for where := range found {
		for _, name := range roots {
			for _, value := range []any{name, []string{name}, []string{"default", name}, []any{[]string{name}}} {
				body, err := json.Marshal(map[string]any{where[1]: value})
				if err != nil {
					t.Fatal(err)
				}
				if a := w.do(w.root, http.MethodPost, at.Replace(where[0]), string(body)); a.Status == 400 {
					continue // and nothing has changed
				}
				for path, login := range map[string]string{"auth/approle/login": roleLogin, "auth/userpass/login/ann": userLogin} {
					if strings.HasPrefix(path, "auth/userpass") != strings.HasPrefix(where[0], "auth/userpass") {
						continue
					}
					a := w.do("", http.MethodPost, path, login)
					if a.Status != 200 {
						continue
					}
					if b := w.do(a.Auth.ClientToken, http.MethodGet, "sys/mounts", ""); b.Status != 403 {
						t.Errorf("%s of %s as %s gives a token that opens sys/mounts", where[1], where[0], body)
					}
					if slices.ContainsFunc(w.policiesOf(a.Auth.ClientToken), func(p string) bool { return strings.EqualFold(strings.TrimSpace(p), "root") }) {
						t.Errorf("%s of %s as %s gives the policy root", where[1], where[0], body)
					}
				}
			}
		}
	}
	for path, body := range map[string]string{"auth/approle/role/app": `{"token_policies":"p"}`, "auth/userpass/users/ann": `{"token_policies":"p"}`} {
		w.want(w.do(w.root, http.MethodPost, path, body), 204)
	}
	a := w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin), 200)
	if held := w.policiesOf(a.Auth.ClientToken); !slices.Equal(held, []string{"default", "p"}) {
		t.Errorf("the neighbour holds %v", held)
	}
}

// A secret-id, or its accessor, of another role or another mount is as unknown
// as one that never was, to every route that takes one.
func TestCVE_2023_24999_SecretIDOfAnotherRole(t *testing.T) {
	w := open(t)
	w.methods()
	w.want(w.do(w.root, http.MethodPost, "sys/auth/other", `{"type":"approle"}`), 204)
	for _, role := range []string{"auth/approle/role/mine", "auth/other/role/app"} {
		w.want(w.do(w.root, http.MethodPost, role, `{}`), 204)
	}
	made := w.want(w.do(w.root, http.MethodPost, "auth/approle/role/app/secret-id", `{}`), 200)
	var id struct {
		SecretID string `json:"secret_id"`
		Accessor string `json:"secret_id_accessor"`
	}
	if err := json.Unmarshal(made.Data, &id); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"auth/approle/role/mine", "auth/other/role/app"} {
		for _, q := range []struct{ method, path, key, value string }{
			{http.MethodPost, "/secret-id/lookup", "secret_id", id.SecretID},
			{http.MethodPost, "/secret-id/destroy", "secret_id", id.SecretID},
			{http.MethodDelete, "/secret-id/destroy", "secret_id", id.SecretID},
			{http.MethodPost, "/secret-id-accessor/lookup", "secret_id_accessor", id.Accessor},
			{http.MethodPost, "/secret-id-accessor/destroy", "secret_id_accessor", id.Accessor},
			{http.MethodDelete, "/secret-id-accessor/destroy", "secret_id_accessor", id.Accessor},
			{http.MethodPost, "/secret-id-accessor/destroy", "secret_id_accessor", "../app/" + id.Accessor},
		} {
			got := w.do(w.root, q.method, role+q.path, `{"`+q.key+`":"`+q.value+`"}`)
			unknown := w.do(w.root, q.method, role+q.path, `{"`+q.key+`":"00000000-0000-0000-0000-000000000000"}`)
			said := strings.ReplaceAll(fmt.Sprint(got.Errors), q.value, "ID")
			if want := strings.ReplaceAll(fmt.Sprint(unknown.Errors), "00000000-0000-0000-0000-000000000000", "ID"); got.Status != unknown.Status || said != want {
				t.Errorf("%s %s%s: %d %s, of an unknown one %d %s", q.method, role, q.path, got.Status, said, unknown.Status, want)
			}
		}
	}
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/app/secret-id/lookup", `{"secret_id":"`+id.SecretID+`"}`), 200)
	w.want(w.do("", http.MethodPost, "auth/approle/login", `{"role_id":"app","secret_id":"`+id.SecretID+`"}`), 200)
}

// What a login is refused with does not tell whether the name was known: not
// the status, not the headers, not a word of the body.
func TestCVE_2023_3462_RefusalsTellWhoExists(t *testing.T) {
	w := open(t)
	w.methods()
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/far", `{"role_id":"far","secret_id_bound_cidrs":"10.0.0.0/8"}`), 204)
	w.want(w.do(w.root, http.MethodPost, "auth/userpass/users/far", `{"password":"secret","token_bound_cidrs":"10.0.0.0/8"}`), 204)
	told := func(path, body string) string {
		r := httptest.NewRequest(http.MethodPost, "/v1/"+path, strings.NewReader(body))
		rec := httptest.NewRecorder()
		w.h.ServeHTTP(rec, r)
		return fmt.Sprint(rec.Code, rec.Header(), rec.Body)
	}
	for _, c := range [][2][2]string{
		{{"auth/approle/login", `{"role_id":"app","secret_id":"wrong"}`}, {"auth/approle/login", `{"role_id":"ghost","secret_id":"wrong"}`}},
		{{"auth/approle/login", `{"role_id":"far","secret_id":"wrong"}`}, {"auth/approle/login", `{"role_id":"ghost","secret_id":"wrong"}`}},
		{{"auth/approle/login", `{"role_id":"app","secret_id":"secret2"}`}, {"auth/approle/login", `{"role_id":"ghost","secret_id":"secret"}`}},
		{{"auth/approle/login", `{"role_id":"app"}`}, {"auth/approle/login", `{"role_id":"ghost"}`}},
		{{"auth/userpass/login/ann", `{"password":"wrong"}`}, {"auth/userpass/login/ghost", `{"password":"wrong"}`}},
		{{"auth/userpass/login/far", `{"password":"wrong"}`}, {"auth/userpass/login/ghost", `{"password":"wrong"}`}},
		{{"auth/userpass/login/ann", `{}`}, {"auth/userpass/login/ghost", `{}`}},
		{{"auth/userpass/login/ann", `{"password":[1]}`}, {"auth/userpass/login/ghost", `{"password":[1]}`}},
		{{"auth/userpass/login/ann", `{"password":"` + strings.Repeat("x", 100) + `"}`}, {"auth/userpass/login/ghost", `{"password":"` + strings.Repeat("x", 100) + `"}`}},
	} {
		known, unknown := told(c[0][0], c[0][1]), told(c[1][0], c[1][1])
		if known != unknown {
			t.Errorf("%s: %s\n%s: %s", c[0], known, c[1], unknown)
		}
	}
	w.want(w.do("", http.MethodPost, "auth/userpass/login/ann", userLogin), 200)
	w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin), 200)
}

// accessors counts the tokens that there are.
func (w *world) accessors() int {
	w.t.Helper()
	var list struct{ Keys []string }
	if err := json.Unmarshal(w.want(w.do(w.root, "LIST", "auth/token/accessors", ""), 200).Data, &list); err != nil {
		w.t.Fatal(err)
	}
	return len(list.Keys)
}

// A login that is refused, wherever it fails, leaves no token behind, whatever
// is wrong with it; and it never is our fault.
func TestCVE_2026_46405_TokensOfRefusedLogins(t *testing.T) {
	w := open(t)
	w.methods()
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/far", `{"role_id":"far","token_bound_cidrs":"10.0.0.0/8"}`), 204)
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/far/custom-secret-id", `{"secret_id":"secret"}`), 200)
	w.want(w.do(w.root, http.MethodPost, "auth/userpass/users/far", `{"password":"secret","token_bound_cidrs":"10.0.0.0/8"}`), 204)
	// A batch token of limited uses cannot be: the grant is refused after all else.
	w.want(w.do(w.root, http.MethodPost, "auth/userpass/users/odd", `{"password":"secret","token_num_uses":3}`), 204)
	w.want(w.do(w.root, http.MethodPost, "sys/auth/userpass/tune", `{"token_type":"batch"}`), 204)
	before := w.accessors()
	big := strings.Repeat("x", 1<<20)
	for _, q := range [][2]string{
		{"auth/approle/login", `{"role_id":"app","secret_id":"wrong"}`},
		{"auth/approle/login", `{"role_id":"far","secret_id":"secret"}`},
		{"auth/approle/login", `{"role_id":null,"secret_id":null}`},
		{"auth/approle/login", `{"role_id":"app","secret_id":null}`},
		{"auth/approle/login", `{"role_id":["app"],"secret_id":["secret"]}`},
		{"auth/approle/login", `{"role_id":{"app":1},"secret_id":"secret"}`},
		{"auth/approle/login", `{"role_id":"app","secret_id":"secret","secret_id":"wrong"}`},
		{"auth/approle/login", `{"role_id":"` + big + `","secret_id":"secret"}`},
		{"auth/approle/login", `{"role_id":"app","secret_id":"` + big + `"}`},
		{"auth/approle/login", `{"role_id":"app\u0000","secret_id":"secret"}`},
		{"auth/approle/login", `[]`}, {"auth/approle/login", `null`}, {"auth/approle/login", `"app"`}, {"auth/approle/login", ``}, {"auth/approle/login", `{`},
		{"auth/userpass/login/ann", `{"password":"wrong"}`},
		{"auth/userpass/login/ann", `{"password":"secret","password":"wrong"}`},
		{"auth/userpass/login/ann", `{"password":null}`},
		{"auth/userpass/login/ann", `{"password":["secret"]}`},
		{"auth/userpass/login/ann", `{"password":"` + big + `"}`},
		{"auth/userpass/login/ann%00", userLogin},
		{"auth/userpass/login/ann%20", userLogin},
		{"auth/userpass/login/" + strings.Repeat("a", 5000), userLogin},
		{"auth/userpass/login/far", userLogin},
		{"auth/userpass/login/odd", userLogin},
	} {
		a := w.do("", http.MethodPost, q[0], q[1])
		if a.Status < 400 || a.Status >= 500 || a.Auth.ClientToken != "" {
			t.Errorf("%.60s %.60s: status %d %.200q", q[0], q[1], a.Status, a.Errors)
		}
	}
	if after := w.accessors(); after != before {
		t.Errorf("%d tokens before and %d after logins that were refused", before, after)
	}
	w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin), 200)
	if after := w.accessors(); after != before+1 {
		t.Errorf("%d tokens before and %d after a login", before, after)
	}
}

// A secret-id that is good for some logins is good for so many, however many
// try at the same time; one login is of no matter to another secret-id.
func TestSecretIDUsesUnderRaces(t *testing.T) {
	w := open(t)
	w.methods()
	w.want(w.do(w.root, http.MethodPost, "sys/auth/approle/tune", `{"user_lockout_config":{"lockout_disable":true}}`), 204)
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/some", `{"role_id":"some","secret_id_num_uses":5}`), 204)
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/some/custom-secret-id", `{"secret_id":"one"}`), 200)
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/some/custom-secret-id", `{"secret_id":"two"}`), 200)
	var in [2]atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			secret := []string{"one", "two"}[i%2]
			a := w.do("", http.MethodPost, "auth/approle/login", `{"role_id":"some","secret_id":"`+secret+`"}`)
			switch a.Status {
			case 200:
				in[i%2].Add(1)
			case 400:
			default:
				t.Errorf("status %d %q", a.Status, a.Errors)
			}
		})
	}
	wg.Wait()
	if one, two := in[0].Load(), in[1].Load(); one != 5 || two != 5 {
		t.Errorf("secret-ids of five uses were good for %d and %d logins", one, two)
	}
	for _, secret := range []string{"one", "two"} {
		w.want(w.do(w.root, http.MethodPost, "auth/approle/role/some/secret-id/lookup", `{"secret_id":"`+secret+`"}`), 204)
	}
}

// A token of a login ends at its longest life, whenever and as often as it is
// renewed, also when the role allows less than it did; and it ends with its
// role or user.
func TestCVE_2021_32923_RenewedLoginsEnd(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var passed atomic.Int64
	w := openAt(t, func() time.Time { return start.Add(time.Duration(passed.Load())) })
	w.methods()
	set := func(most string) {
		w.want(w.do(w.root, http.MethodPost, "auth/approle/role/app", `{"token_ttl":"10s","token_max_ttl":"`+most+`"}`), 204)
	}
	lives := func(token string) bool {
		return w.do(token, http.MethodGet, "auth/token/lookup-self", "").Status == 200
	}
	for left := 50 * time.Millisecond; left >= -50*time.Millisecond; left -= 10 * time.Millisecond {
		set("30s")
		from := passed.Load()
		token := w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin), 200).Auth.ClientToken
		for _, at := range []time.Duration{9 * time.Second, 18 * time.Second, 27 * time.Second, 30*time.Second - left} {
			passed.Store(from + int64(at))
			w.do(token, http.MethodPost, "auth/token/renew-self", `{"increment":"1h"}`)
		}
		if alive := lives(token); alive != (left > 0) {
			t.Errorf("with %s left it lives: %v", left, alive)
		}
		passed.Store(from + int64(30*time.Second))
		w.do(token, http.MethodPost, "auth/token/renew-self", `{}`)
		if lives(token) {
			t.Errorf("renewed with %s left it outlives its maximum", left)
		}
		from = passed.Load()
		token = w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin), 200).Auth.ClientToken
		set("12s")
		passed.Store(from + int64(9*time.Second))
		w.want(w.do(token, http.MethodPost, "auth/token/renew-self", `{}`), 200)
		passed.Store(from + int64(12*time.Second))
		if lives(token) {
			t.Error("it outlives what its role allows now")
		}
	}
	role := w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin), 200).Auth.ClientToken
	user := w.want(w.do("", http.MethodPost, "auth/userpass/login/ann", userLogin), 200).Auth.ClientToken
	w.want(w.do(w.root, http.MethodDelete, "auth/approle/role/app", ""), 204)
	w.want(w.do(w.root, http.MethodDelete, "auth/userpass/users/ann", ""), 204)
	for _, token := range []string{role, user} {
		if a := w.do(token, http.MethodPost, "auth/token/renew-self", `{}`); a.Status != 400 {
			t.Errorf("renewed without its role or user: status %d", a.Status)
		}
	}
}

// What proves a login is shown nowhere: not when it is malformed, nor wrong, nor
// right.
func TestCVE_2025_4166_CredentialsQuoted(t *testing.T) {
	w := open(t)
	w.methods()
	file := w.auditFile()
	for _, q := range [][2]string{
		{"auth/approle/login", `{"role_id":"app","secret_id":"` + canary + `"}`},
		{"auth/approle/login", `{"role_id":"app","secret_id":["` + canary + `"]}`},
		{"auth/approle/login", `{"role_id":"app","secret_id":"` + canary},
		{"auth/approle/login", `{"role_id":{"a":1},"secret_id":{"a":"` + canary + `"}}`},
		{"auth/approle/role/app/custom-secret-id", `{"secret_id":"` + canary + `","metadata":"{"}`},
		{"auth/approle/role/app/custom-secret-id", `{"secret_id":"` + canary + `","ttl":"often"}`},
		{"auth/approle/role/app/secret-id/lookup", `{"secret_id":"` + canary + `"}`},
		{"auth/approle/role/app/secret-id/destroy", `{"secret_id":"` + canary + `"}`},
		{"auth/approle/role/none/secret-id/lookup", `{"secret_id":"` + canary + `"}`},
		{"auth/userpass/login/ann", `{"password":"` + canary + `"}`},
		{"auth/userpass/login/ann", `{"password":{"a":"` + canary + `"}}`},
		{"auth/userpass/users/bob", `{"password":"` + canary + `","token_type":"gold"}`},
		{"auth/userpass/users/bob", `{"password_hash":"` + canary + `"}`},
		{"auth/userpass/users/bob", `{"password":"` + canary + `"}`},
		{"auth/userpass/users/ghost/password", `{"password":"` + canary + `"}`},
		{"auth/userpass/users/ann/password", `{"password":"` + canary + strings.Repeat("x", 72) + `"}`},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/"+q[0], strings.NewReader(q[1]))
		r.Header.Set("X-Vault-Token", w.root)
		rec := httptest.NewRecorder()
		w.h.ServeHTTP(rec, r)
		shown(t, "the answer to "+q[0], rec.Body.String())
	}
	w.want(w.do("", http.MethodPost, "auth/userpass/login/bob", `{"password":"`+canary+`"}`), 200)
	for _, path := range []string{"auth/userpass/users/bob", "auth/approle/role/app"} {
		shown(t, path, string(w.want(w.do(w.root, http.MethodGet, path, ""), 200).Data))
	}
	shown(t, "the log", w.log.String())
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "auth/userpass/login/bob") {
		t.Fatalf("the audit tells of no login: %v", err)
	}
	shown(t, "the audit", string(text))
}

// Roles, secret-ids, users and password policies of one namespace are unknown in
// another, whose mounts have the same paths.
func TestCVE_2026_45808_LoginsOfAnotherNamespace(t *testing.T) {
	w := open(t)
	w.methods()
	in := []string{"X-Vault-Namespace", "team"}
	w.want(w.do(w.root, http.MethodPost, "sys/namespaces/team", ``), 200)
	for _, kind := range []string{"approle", "userpass"} {
		w.want(w.do(w.root, http.MethodPost, "sys/auth/"+kind, `{"type":"`+kind+`"}`, in...), 204)
	}
	made := w.want(w.do(w.root, http.MethodPost, "auth/approle/role/app/secret-id", `{}`), 200)
	var id struct {
		Accessor string `json:"secret_id_accessor"`
	}
	if err := json.Unmarshal(made.Data, &id); err != nil {
		t.Fatal(err)
	}
	w.want(w.do(w.root, http.MethodPut, "sys/policies/password/pin", `{"policy":"length = 4\nrule \"charset\" { charset = \"01\" }"}`), 204)
	w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin, in...), 400)
	w.want(w.do("", http.MethodPost, "auth/userpass/login/ann", userLogin, in...), 400)
	w.want(w.do(w.root, http.MethodGet, "auth/approle/role/app", "", in...), 404)
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/app", `{"role_id":"app"}`, in...), 204)
	w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin, in...), 400)
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/app/secret-id/lookup", `{"secret_id":"secret"}`, in...), 204)
	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/app/secret-id-accessor/lookup", `{"secret_id_accessor":"`+id.Accessor+`"}`, in...), 404)
	w.want(w.do(w.root, http.MethodGet, "sys/policies/password/pin/generate", "", in...), 404)

	w.want(w.do(w.root, http.MethodPost, "auth/approle/role/app/custom-secret-id", `{"secret_id":"theirs"}`, in...), 200)
	w.want(w.do("", http.MethodPost, "auth/approle/login", `{"role_id":"app","secret_id":"theirs"}`), 400)
	theirs := w.want(w.do("", http.MethodPost, "auth/approle/login", `{"role_id":"app","secret_id":"theirs"}`, in...), 200).Auth.ClientToken
	w.want(w.do(theirs, http.MethodGet, "auth/token/lookup-self", "", in...), 200)
	w.want(w.do(theirs, http.MethodGet, "auth/token/lookup-self", ""), 403)
	w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin), 200)
}

// Failures count against whom they are about, however the name is spelt, and as
// many as a lockout allows are all, also when they come at once. Where a name is
// told apart by case, as a role-id is, other spellings are other names.
func TestCVE_2025_6004_LockoutBySpelling(t *testing.T) {
	w := open(t)
	w.methods()
	spellings := []string{"ann", "ANN", "Ann", "aNN", "anN", "AnN", "aNn", "ANn"}
	var wg sync.WaitGroup
	var tried atomic.Int64
	for i := range 24 {
		wg.Go(func() {
			if a := w.do("", http.MethodPost, "auth/userpass/login/"+spellings[i%len(spellings)], `{"password":"wrong"}`); a.Status == 400 {
				tried.Add(1)
			}
		})
	}
	wg.Wait()
	if n := tried.Load(); n != 5 {
		t.Errorf("%d guesses were told that they are wrong, want 5", n)
	}
	for _, name := range spellings {
		if a := w.do("", http.MethodPost, "auth/userpass/login/"+name, userLogin); a.Status != 403 {
			t.Errorf("%s logs in although it is locked out: status %d", name, a.Status)
		}
	}
	for _, name := range []string{"ann%20", "%20ann", "ann%09", "%C3%A5nn", "ann%00", "ann/", "ann."} { // no names at all
		if a := w.do("", http.MethodPost, "auth/userpass/login/"+name, userLogin); a.Status == 200 {
			t.Errorf("%s logs in", name)
		}
	}
	for range 5 {
		w.want(w.do("", http.MethodPost, "auth/approle/login", `{"role_id":"app","secret_id":"wrong"}`), 400)
	}
	w.want(w.do("", http.MethodPost, "auth/approle/login", roleLogin), 403)
	w.want(w.do("", http.MethodPost, "auth/approle/login", `{"role_id":"APP","secret_id":"secret"}`), 400)
	w.want(w.do(w.root, http.MethodPost, "auth/userpass/users/bob", `{"password":"secret"}`), 204)
	w.want(w.do("", http.MethodPost, "auth/userpass/login/bob", userLogin), 200)
}
