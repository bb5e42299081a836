package attacks

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// One path has one spelling: a glob over a neighbour reaches nothing else by
// dots, empty segments, escapes or back-slashes.
func TestCVE_2026_3605_GlobDeletedSecretsNotGranted(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "secret/data/theirs/a", `{"data":{"x":"1"}}`), 200)
	shapes := map[string]string{
		"glob":  `path "secret/data/mine/*" { capabilities = ["create","read","update","delete","list"] } path "secret/metadata/mine/*" { capabilities = ["read","delete","list"] }`,
		"plus":  `path "secret/data/mine/+" { capabilities = ["create","read","update","delete","list"] } path "secret/metadata/mine/+" { capabilities = ["read","delete","list"] }`,
		"deep":  `path "secret/data/mine/+/+/+" { capabilities = ["create","read","update","delete","list"] } path "secret/metadata/mine/+/+/+" { capabilities = ["read","delete","list"] }`,
		"exact": `path "secret/data/mine/a" { capabilities = ["create","read","update","delete","list"] }`,
	}
	spellings := []string{
		"mine/../theirs/a", "mine/./../theirs/a", "mine//../theirs/a", "mine/%2e%2e/theirs/a", "mine/%2E./theirs/a",
		"mine/..%2ftheirs/a", "mine%2f..%2ftheirs%2fa", "mine/..%5ctheirs/a", "mine/\u2025/theirs/a", "./theirs/a", "/theirs/a",
	}
	for name, rules := range shapes {
		token := w.token(name, rules)
		for _, spelling := range spellings {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, "LIST"} {
				for _, under := range []string{"secret/data/", "secret/metadata/"} {
					path := strings.ReplaceAll(under+spelling, "\u2025", "%E2%80%A5")
					r := httptest.NewRequest(method, "/v1/"+path, strings.NewReader(`{"data":{"x":"stolen"}}`))
					r.Header.Set("X-Vault-Token", token)
					rec := httptest.NewRecorder()
					w.h.ServeHTTP(rec, r)
					if rec.Code < 400 && !strings.Contains(path, "%E2") && !strings.Contains(path, "%5c") { // odd letters may be in a name of one's own
						t.Errorf("%s: %s %s answered %d %s", name, method, path, rec.Code, rec.Body)
					}
					got := w.want(w.do(w.root, http.MethodGet, "secret/data/theirs/a", ""), 200)
					if !strings.Contains(string(got.Data), `"x":"1"`) {
						t.Fatalf("%s: %s %s answered %d and left %s", name, method, path, rec.Code, got.Data)
					}
					if method == http.MethodGet && strings.Contains(rec.Body.String(), `"x":"1"`) {
						t.Fatalf("%s: %s read the secret", name, path)
					}
				}
			}
		}
	}
	mine := w.token("mine", shapes["glob"])
	w.want(w.do(mine, http.MethodPost, "secret/data/mine/a", `{"data":{"x":"2"}}`), 200)
	w.want(w.do(mine, http.MethodDelete, "secret/metadata/mine/a", ""), 204)
}

// A deny over what is below a folder stops the listing of the folder too.
func TestGHSA_xp3c_3jw3_4vcr_DenyDidNotStopList(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "secret/data/b/hidden", `{"data":{"x":"1"}}`), 200)
	w.want(w.do(w.root, http.MethodPost, "secret/data/c/shown", `{"data":{"x":"1"}}`), 200)
	token := w.token("lister", `path "secret/metadata/*" { capabilities = ["list"] } path "secret/metadata/b/*" { capabilities = ["deny"] }`)
	w.want(w.do(token, "LIST", "secret/metadata/b", ""), 403)
	w.want(w.do(token, "LIST", "secret/metadata/b/", ""), 403)
	w.want(w.do(token, http.MethodGet, "secret/metadata/b?list=true", ""), 403)
	w.want(w.do(token, http.MethodGet, "secret/metadata/b/?list=true", ""), 403)
	if a := w.want(w.do(token, "LIST", "secret/metadata/c", ""), 200); !strings.Contains(string(a.Data), "shown") {
		t.Errorf("the neighbour lists %s", a.Data)
	}
}

// A forbidden parameter value is forbidden in every case it is written in.
func TestVault_2_0_4_DeniedParametersByCase(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/super-admin", `{"policy":"path \"secret/*\" { capabilities = [\"read\"] }"}`), 204)
	token := w.token("giver", `path "auth/token/create" { capabilities = ["update","sudo"] denied_parameters = { "policies" = ["super-admin"] } }`)
	for _, as := range []string{`["super-admin"]`, `["Super-Admin"]`, `["SUPER-ADMIN"]`, `[" super-admin "]`, `"super-admin"`, `"Super-Admin"`, `"giver,Super-Admin"`, `["giver","Super-Admin"]`} {
		for _, key := range []string{"policies", "Policies", "POLICIES"} {
			a := w.do(token, http.MethodPost, "auth/token/create", `{"`+key+`":`+as+`}`)
			if a.Status != 200 {
				continue
			}
			held := w.want(w.do(a.Auth.ClientToken, http.MethodGet, "auth/token/lookup-self", ""), 200)
			if strings.Contains(string(held.Data), "super-admin") {
				t.Errorf("%s %s gave %s", key, as, held.Data)
			}
		}
	}
	w.want(w.do(token, http.MethodPost, "auth/token/create", `{"policies":["giver"]}`), 200)
}
