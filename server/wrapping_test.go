package server_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

// wrapped puts something into a wrapping token.
func (w *world) wrapped() string {
	w.t.Helper()
	return w.want(w.do(w.root, http.MethodPost, "sys/wrapping/wrap", `{"a":"b"}`, "X-Vault-Wrap-TTL", "60s"), 200).WrapInfo.Token
}

// asked makes a token with more fields.
func (w *world) asked(fields string) string {
	w.t.Helper()
	return w.want(w.do(w.root, http.MethodPost, "auth/token/create", fields), 200).Auth.ClientToken
}

// Who unwraps a token of the body needs a token that may be used here and has
// the right; the wrapped answer stays until somebody has.
func TestUnwrappingAsksWhoTheCallerIs(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/shut", `{"policy":"path \"sys/wrapping/unwrap\" { capabilities = [\"deny\"] }"}`), 204)
	once := w.asked(`{"policies":["default"],"num_uses":1}`)
	for who, token := range map[string]string{
		"nobody":     "",
		"a stranger": "hvs.nosuch",
		"by policy":  w.asked(`{"policies":["default","shut"]}`),
	} {
		sealed := w.wrapped()
		body := `{"token":"` + sealed + `"}`
		for _, path := range []string{"sys/wrapping/unwrap", "sys/wrapping/rewrap"} {
			if who == "by policy" && path == "sys/wrapping/rewrap" {
				continue // shut for unwrap alone
			}
			if a := w.do(token, http.MethodPost, path, body); a.Status != 403 {
				t.Errorf("%s: %s answered %d %q", who, path, a.Status, a.Errors)
			}
		}
		w.want(w.do(w.root, http.MethodPost, "sys/wrapping/unwrap", body), 200)
	}
	w.want(w.do(once, http.MethodPost, "sys/wrapping/unwrap", `{"token":"`+w.wrapped()+`"}`), 200)
	w.want(w.do(once, http.MethodPost, "sys/wrapping/unwrap", `{"token":"`+w.wrapped()+`"}`), 403)
	// The wrapping token needs nobody else.
	w.want(w.do(w.wrapped(), http.MethodPost, "sys/wrapping/unwrap", ""), 200)
}

// A route that acts on the world wraps its answer too.
func TestAnswersFromOutsideAreWrapped(t *testing.T) {
	w := open(t)
	a := w.want(w.do(w.root, http.MethodPut, "sys/generate-root/attempt", `{}`, "X-Vault-Wrap-TTL", "60s"), 200)
	if a.WrapInfo.Token == "" {
		t.Fatalf("the answer came as it is: %+v", a)
	}
	inner := w.want(w.do(a.WrapInfo.Token, http.MethodPost, "sys/wrapping/unwrap", ""), 200)
	var got map[string]json.RawMessage
	if err := json.Unmarshal(inner.body, &got); err != nil || got["otp"] == nil {
		t.Errorf("unwrapped %s: %v", inner.body, err)
	}
}

// An answer with bytes of its own comes out as it would have been sent.
func TestRawAnswersAreWrapped(t *testing.T) {
	w := open(t)
	a := w.want(w.do(w.root, http.MethodGet, "sys/metrics", "", "X-Vault-Wrap-TTL", "60s"), 200)
	inner := w.want(w.do(a.WrapInfo.Token, http.MethodPost, "sys/wrapping/unwrap", ""), 200)
	var got map[string]json.RawMessage
	if err := json.Unmarshal(inner.body, &got); err != nil || got["Gauges"] == nil {
		t.Errorf("unwrapped %.200s: %v", inner.body, err)
	}
}

// What everyone may ask without a record makes no token.
func TestHealthIsNotWrapped(t *testing.T) {
	w := open(t)
	for _, path := range []string{"sys/health", "sys/seal-status", "sys/leader"} {
		if a := w.want(w.do("", http.MethodGet, path, "", "X-Vault-Wrap-TTL", "60s"), 200); a.WrapInfo.Token != "" {
			t.Errorf("a stranger got a wrapping token of %s", path)
		}
	}
	if a := w.want(w.do("", http.MethodPut, "sys/unseal", `{"reset":true}`, "X-Vault-Wrap-TTL", "60s"), 200); a.WrapInfo.Token != "" {
		t.Error("a stranger got a wrapping token of sys/unseal")
	}
}
