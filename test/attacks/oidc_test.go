package attacks

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// An application is a client of the default provider in a namespace, and ann,
// who may use it.
type application struct {
	*world
	ns, id, secret string
	ann, entity    string // her token and who she is
}

const appURI = "https://app.example/cb"

// application makes one in a namespace that is there.
func (w *world) application(ns string) *application {
	w.t.Helper()
	a := &application{world: w, ns: ns}
	for _, q := range []struct {
		path, body string
		status     int
	}{
		{"sys/auth/userpass", `{"type":"userpass"}`, 204},
		{"auth/userpass/users/ann", `{"password":"pw"}`, 204},
		{"sys/policies/acl/draw", `{"policy":"path \"identity/oidc/token/*\" { capabilities = [\"read\"] }"}`, 204},
		{"auth/userpass/users/ann", `{"token_policies":"draw"}`, 204},
		{"identity/oidc/key/k", `{"algorithm":"ES256","allowed_client_ids":"*"}`, 204},
		{"identity/oidc/role/r", `{"key":"k"}`, 204},
		{"identity/oidc/client/app", `{"key":"k","redirect_uris":"` + appURI + `","assignments":"allow_all"}`, 204},
	} {
		a.want(a.do(w.root, http.MethodPost, ns+q.path, q.body), q.status)
	}
	var login struct {
		Auth struct {
			ClientToken string `json:"client_token"`
			EntityID    string `json:"entity_id"`
		}
	}
	a.read("", http.MethodPost, "auth/userpass/login/ann", `{"password":"pw"}`, &login)
	a.ann, a.entity = login.Auth.ClientToken, login.Auth.EntityID
	var client struct {
		Data struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
		}
	}
	a.read(w.root, http.MethodGet, "identity/oidc/client/app", "", &client)
	a.id, a.secret = client.Data.ID, client.Data.Secret
	return a
}

// raw sends a request to the namespace and returns the answer as it came.
func (a *application) raw(token, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/v1/"+a.ns+path, strings.NewReader(body))
	r.Header.Set("X-Vault-Token", token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	a.h.ServeHTTP(rec, r)
	return rec
}

func (a *application) read(token, method, path, body string, to any) {
	a.t.Helper()
	rec := a.raw(token, method, path, body)
	if err := json.Unmarshal(rec.Body.Bytes(), to); err != nil || rec.Code != http.StatusOK {
		a.t.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
}

// a reply is what the provider says.
type reply struct {
	Code, State, Error string
	AccessToken        string `json:"access_token"`
	IDToken            string `json:"id_token"`
}

func (a *application) reply(rec *httptest.ResponseRecorder) (r reply) {
	a.t.Helper()
	if err := json.Unmarshal(rec.Body.Bytes(), &r); err != nil {
		a.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return r
}

const provider = "identity/oidc/provider/default/"

// authorize asks for a code in the name of a client.
func (a *application) authorize(token, id string, more ...string) *httptest.ResponseRecorder {
	q := url.Values{"response_type": {"code"}, "client_id": {id}, "redirect_uri": {appURI}, "scope": {"openid"}, "state": {"st"}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return a.raw(token, http.MethodGet, provider+"authorize?"+q.Encode(), "")
}

// redeem changes a code as a form, with the credentials of an application.
func (a *application) redeem(code string, of *application, more ...string) *httptest.ResponseRecorder {
	q := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {appURI}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return a.raw("", http.MethodPost, provider+"token", q.Encode(), "Content-Type", "application/x-www-form-urlencoded",
		"Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(of.id+":"+of.secret)))
}

// Bodies that are forms, and answers without an envelope, are on record as
// hashes: nobody redeems a code or becomes a client by reading the audit.
func TestCVE_2025_62513_BodiesOfTheProviderOnRecord(t *testing.T) {
	w := open(t)
	a := w.application("")
	file := w.auditFile()
	verifier := strings.Repeat("v", 43)
	a.read(w.root, http.MethodGet, "identity/oidc/client/app", "", &struct{}{})
	code := a.reply(a.authorize(a.ann, a.id, "code_challenge", verifier)).Code
	wrong := a.reply(a.redeem(code+"x", a, "code_verifier", verifier))
	got := a.reply(a.redeem(code, a, "code_verifier", verifier))
	if wrong.Error != "invalid_grant" || got.AccessToken == "" || got.IDToken == "" {
		t.Fatalf("the flow: %+v %+v", wrong, got)
	}
	if rec := a.raw(got.AccessToken, http.MethodGet, provider+"userinfo", ""); rec.Code != http.StatusOK {
		t.Errorf("userinfo: %d", rec.Code)
	}
	var drawn struct{ Data struct{ Token string } }
	a.read(a.ann, http.MethodGet, "identity/oidc/token/r", "", &drawn)
	a.read(w.root, http.MethodPost, "identity/oidc/introspect", `{"token":"`+drawn.Data.Token+`"}`, &struct{}{})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), provider+"token") < 2 {
		t.Fatalf("the flow is not on record: %s", text)
	}
	for what, secret := range map[string]string{"secret": a.secret, "code": code, "verifier": verifier, "access token": got.AccessToken,
		"ID token": got.IDToken, "identity token": drawn.Data.Token} {
		for where, said := range map[string]string{"the audit": string(text), "the log": w.log.String()} {
			if secret == "" || strings.Contains(said, secret) || strings.Contains(said, base64.StdEncoding.EncodeToString([]byte(a.id+":"+secret))) {
				t.Errorf("%s shows the %s", where, what)
			}
		}
	}
}

// Of many who come with one code at once, one at most gets something for it.
func TestRFC9700_CodeChangedManyTimesAtOnce(t *testing.T) {
	a := open(t).application("")
	for range 8 {
		code := a.reply(a.authorize(a.ann, a.id)).Code
		var wait sync.WaitGroup
		var got atomic.Int32
		for range 8 {
			wait.Go(func() {
				if rec := a.redeem(code, a); rec.Code == http.StatusOK {
					got.Add(1)
				} else if !strings.Contains(rec.Body.String(), "invalid_grant") {
					t.Errorf("%d %s", rec.Code, rec.Body)
				}
			})
		}
		wait.Wait()
		if got.Load() != 1 {
			t.Fatalf("a code was changed %d times", got.Load())
		}
	}
}

// What a request says comes back as data, whatever it looks like.
func TestCVE_2026_33758_ParametersEchoedAsPages(t *testing.T) {
	a := open(t).application("")
	script := `<script>alert(1)</script>`
	for _, q := range [][]string{{"state", script}, {"scope", script}, {"redirect_uri", script}, {"response_type", script}, {"client_id", script},
		{"prompt", script}, {"code_challenge_method", script}, {"max_age", script}, {"nonce", script}, {"error_description", script}} {
		rec := a.authorize(a.ann, a.id, q...)
		if kind := rec.Header().Get("Content-Type"); kind != "application/json" || strings.Contains(rec.Body.String(), "<") {
			t.Errorf("%s is answered as %s: %s", q[0], kind, rec.Body)
		}
	}
	if got := a.reply(a.authorize(a.ann, a.id, "state", script)); got.State != script {
		t.Errorf("the state comes back as %q", got.State)
	}
}

// Nothing of one namespace's provider is known in another: not a client, a code,
// a token or a person.
func TestCVE_2026_45808_ProviderOfAnotherNamespace(t *testing.T) {
	w := open(t)
	for _, ns := range []string{"a", "b"} {
		w.want(w.do(w.root, http.MethodPost, "sys/namespaces/"+ns, ""), 200)
	}
	all := []*application{w.application(""), w.application("a/"), w.application("b/")}
	for _, x := range all {
		for _, y := range all {
			own := x == y
			if got := x.reply(x.authorize(x.ann, y.id)); (got.Code != "") != own {
				t.Errorf("a client of %q in %q: %+v", y.ns, x.ns, got)
			}
			if got := x.raw(y.ann, http.MethodGet, "identity/oidc/token/r", ""); (got.Code == http.StatusOK) != own {
				t.Errorf("a person of %q draws a token in %q: %d", y.ns, x.ns, got.Code)
			}
			if got := x.authorize(y.ann, x.id); (got.Code == http.StatusOK) != own {
				t.Errorf("a person of %q logs in to %q: %d %s", y.ns, x.ns, got.Code, got.Body)
			}
			code := y.reply(y.authorize(y.ann, y.id)).Code
			for _, as := range []*application{x, y} {
				if got := x.reply(x.redeem(code, as)); !own && got.AccessToken != "" {
					t.Errorf("a code of %q is changed in %q", y.ns, x.ns)
				}
			}
			access := y.reply(y.redeem(y.reply(y.authorize(y.ann, y.id)).Code, y)).AccessToken
			if got := x.raw(access, http.MethodGet, provider+"userinfo", ""); (got.Code == http.StatusOK) != own {
				t.Errorf("userinfo of %q by a token of %q: %d", x.ns, y.ns, got.Code)
			}
			var drawn struct{ Data struct{ Token string } }
			y.read(y.ann, http.MethodGet, "identity/oidc/token/r", "", &drawn)
			var looked struct{ Active bool }
			x.read(w.root, http.MethodPost, "identity/oidc/introspect", `{"token":"`+drawn.Data.Token+`"}`, &looked)
			if looked.Active != own {
				t.Errorf("an identity token of %q is active in %q: %t", y.ns, x.ns, looked.Active)
			}
		}
	}
}
