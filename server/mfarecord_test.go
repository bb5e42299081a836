package server_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/server"
)

// Neither codes nor secrets are on record; who got a token by them is.
func TestSecondFactorsAreNotOnRecord(t *testing.T) {
	h := newHand()
	w := openWith(t, func(o *server.Options) { o.Clock = h.now; o.Engines = append(o.Engines, passes()) })
	file := filepath.Join(t.TempDir(), "audit.log")
	w.want(w.do(w.root, "PUT", "sys/audit/file", `{"type":"file","options":{"file_path":"`+file+`"}}`), 204)
	w.withPass()
	method := w.method("identity/mfa/method/totp", `{"issuer":"x","method_name":"phone"}`)
	ann := w.logIn("auth/pass/login/ann", `{}`).EntityID
	w.want(w.do(w.root, "POST", "identity/mfa/login-enforcement/all", `{"mfa_method_ids":["`+method+`"],"auth_method_types":["pass"]}`), 204)
	var secret struct{ URL, Barcode string }
	a := w.must(w.do(w.root, "POST", "identity/mfa/method/totp/admin-generate", `{"method_id":"`+method+`","entity_id":"`+ann+`"}`))
	if err := json.Unmarshal(a.Data, &secret); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(secret.URL)
	if err != nil {
		t.Fatal(err)
	}
	var need struct {
		Auth struct {
			MFA struct {
				ID string `json:"mfa_request_id"`
			} `json:"mfa_requirement"`
		}
	}
	if err := json.Unmarshal(w.must(w.do("", "POST", "auth/pass/login/ann", "{}")).body, &need); err != nil {
		t.Fatal(err)
	}
	code := code(t, secret.URL, h.now())
	proved := w.must(w.do("", "POST", "sys/mfa/validate", `{"mfa_request_id":"`+need.Auth.MFA.ID+`","mfa_payload":{"`+method+`":["`+code+`"]}}`))
	w.want(w.doWith("", "POST", "auth/pass/login/ann", "{}", []string{"phone:" + code}), 403)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{code, u.Query().Get("secret"), secret.Barcode, proved.Auth.ClientToken, need.Auth.MFA.ID} {
		if s == "" || strings.Contains(string(b), s) {
			t.Errorf("%.8s… is on record", s)
		}
	}
	var last string
	for line := range strings.SplitSeq(string(b), "\n") {
		if strings.Contains(line, `"path":"sys/mfa/validate"`) && strings.Contains(line, `"type":"response"`) {
			last = line
		}
	}
	var rec struct {
		Auth     struct{ Accessor string }
		Response struct {
			Auth struct {
				Accessor string `json:"accessor"`
				Entity   string `json:"entity_id"`
			}
		}
	}
	if err := json.Unmarshal([]byte(last), &rec); err != nil || rec.Response.Auth.Accessor == "" || rec.Response.Auth.Entity != ann {
		t.Errorf("the token is not on record: %s", last)
	}
}
