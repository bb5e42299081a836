package attacks

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// roots are ways to write the name of the root policy.
var roots = []string{"root", "ROOT", "Root", " root", "root ", "\troot", "root\n", "root\u00a0", "\u3000root", "r\u043e\u043et", "root,default", "default,root"}

func (w *world) policiesOf(token string) []string {
	w.t.Helper()
	a := w.want(w.do(token, http.MethodGet, "auth/token/lookup-self", ""), 200)
	var held struct{ Policies []string }
	if err := json.Unmarshal(a.Data, &held); err != nil {
		w.t.Fatal(err)
	}
	return held.Policies
}

// Nobody gets the root policy by writing its name another way: not from
// a token that may make any token.
func TestCVE_2025_5999_RootPolicySpelledAnotherWay(t *testing.T) {
	w := open(t)
	maker := w.token("maker", `path "auth/token/*" { capabilities = ["create","update","read","sudo"] } path "secret/*" { capabilities = ["read"] }`)
	got := func(how, policy string, a answer) {
		t.Helper()
		if a.Status != 200 {
			return
		}
		token := a.Auth.ClientToken
		if b := w.do(token, http.MethodGet, "sys/mounts", ""); b.Status != 403 {
			t.Errorf("%s with %q opens sys/mounts: status %d, policies %q", how, policy, b.Status, w.policiesOf(token))
		}
		for _, held := range w.policiesOf(token) {
			if strings.EqualFold(strings.TrimSpace(held), "root") {
				t.Errorf("%s with %q holds %q", how, policy, held)
			}
		}
	}
	for _, policy := range roots {
		list, err := json.Marshal(map[string]any{"policies": []string{policy}})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"policies": policy})
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{string(list), string(text)} {
			for _, path := range []string{"auth/token/create", "auth/token/create-orphan"} {
				got(path, policy, w.do(maker, http.MethodPost, path, body))
			}
		}
	}
	a := w.want(w.do(maker, http.MethodPost, "auth/token/create", `{"policies":["maker"]}`), 200)
	w.want(w.do(a.Auth.ClientToken, http.MethodGet, "secret/data/none", ""), 404)
}

// The root policy is nobody's to write, in any case.
func TestCVE_2024_9180_RootPolicyWritten(t *testing.T) {
	w := open(t)
	for _, name := range []string{"root", "ROOT", "Root"} {
		for _, under := range []string{"sys/policies/acl/", "sys/policy/"} {
			if a := w.do(w.root, http.MethodPut, under+name, `{"policy":"path \"x\" { capabilities = [\"deny\"] }"}`); a.Status != 400 {
				t.Errorf("write of %s%s: status %d", under, name, a.Status)
			}
			if a := w.do(w.root, http.MethodDelete, under+name, ""); a.Status != 400 {
				t.Errorf("delete of %s%s: status %d", under, name, a.Status)
			}
		}
	}
	w.want(w.do(w.root, http.MethodGet, "sys/mounts", ""), 200)
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/rooted", `{"policy":"path \"x\" { capabilities = [\"deny\"] }"}`), 204)
}

// What one token names is nothing to another: a wrapping token reads nothing
// else, a cubbyhole is its token's own. Without namespaces tokens are the scopes.
func TestCVE_2026_45808_IdentifierOfAnotherScope(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`), 200)
	wrapped := w.want(w.do(w.root, http.MethodGet, "secret/data/a", "", "X-Vault-Wrap-TTL", "60"), 200).WrapInfo.Token
	for _, path := range []string{"secret/data/a", "sys/mounts", "auth/token/lookup-self", "cubbyhole/other"} {
		if a := w.do(wrapped, http.MethodGet, path, ""); a.Status < 400 {
			t.Errorf("a wrapping token reads %s: %s", path, a.Data)
		}
	}
	other := w.token("other", `path "secret/*" { capabilities = ["read"] }`)
	kept := w.token("kept", `path "secret/*" { capabilities = ["read"] }`)
	w.want(w.do(kept, http.MethodPost, "cubbyhole/mine", `{"x":"1"}`), 204)
	w.want(w.do(other, http.MethodGet, "cubbyhole/mine", ""), 404)
	w.want(w.do(other, http.MethodPost, "auth/token/revoke", `{"token":"`+kept+`"}`), 403)
	if a := w.want(w.do(kept, http.MethodGet, "cubbyhole/mine", ""), 200); !strings.Contains(string(a.Data), `"1"`) {
		t.Errorf("the owner reads %s", a.Data)
	}
	if b := w.do(w.root, http.MethodGet, "cubbyhole/mine", ""); b.Status != 404 {
		t.Errorf("root reads another's cubbyhole: status %d", b.Status)
	}
}
