package oidc_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

const (
	callback = "https://app.example/cb"
	provider = "oidc/provider/pr"
)

// A client is what an operator hands to an application.
type client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// withClient is a world with ann, the provider pr and a client of a kind, which
// everybody may use.
func withClient(t *testing.T, kind string) (*world, client) {
	t.Helper()
	w := newWorld(t)
	w.Caller.EntityID = w.person("ann")
	w.set("key/k", map[string]any{"algorithm": "ES384", "allowed_client_ids": "*"})
	w.set("scope/profile", map[string]any{"template": `{"username": {{identity.entity.name}}}`})
	w.set("provider/pr", map[string]any{"allowed_client_ids": "*", "scopes_supported": "profile"})
	return w, w.client("app", map[string]any{"client_type": kind, "assignments": "allow_all", "key": "k"})
}

func (w *world) client(name string, fields map[string]any) client {
	w.t.Helper()
	if fields["redirect_uris"] == nil {
		fields["redirect_uris"] = callback
	}
	w.set("client/"+name, fields)
	return ask[client](w, 200, engine.OpRead, "oidc/client/"+name, "")
}

// with is a copy of values with more of them; a value of "" takes one away.
func with(values map[string]string, more ...string) map[string]string {
	out := maps.Clone(values)
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	maps.DeleteFunc(out, func(_, v string) bool { return v == "" })
	return out
}

func (c client) request(more ...string) map[string]string {
	return with(map[string]string{"response_type": "code", "client_id": c.ID, "redirect_uri": callback, "scope": "openid profile", "state": "st", "nonce": "nn"}, more...)
}

type reply struct {
	Code, State string
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	IDToken     string `json:"id_token"`
	TokenType   string `json:"token_type"`
	Error       string
	Description string `json:"error_description"`
	Status      int    `json:"-"`
}

func (w *world) said(r enginetest.Reply) reply {
	w.t.Helper()
	var v reply
	if err := json.Unmarshal(r.Body, &v); err != nil {
		w.t.Fatal(err)
	}
	v.Status = r.Status
	return v
}

func (w *world) authorize(values map[string]string) reply {
	w.t.Helper()
	return w.said(w.Do(engine.OpRead, provider+"/authorize?"+form(values), ""))
}

// code authorizes, and must.
func (w *world) code(values map[string]string) string {
	w.t.Helper()
	r := w.authorize(values)
	if r.Status != 200 || r.Code == "" || r.State != values["state"] {
		w.t.Fatalf("authorize: %+v", r)
	}
	return r.Code
}

// redeem changes a code with the client's credentials in the body.
func (w *world) redeem(c client, code string, more ...string) reply {
	w.t.Helper()
	b, err := json.Marshal(with(map[string]string{"grant_type": "authorization_code", "code": code, "redirect_uri": callback,
		"client_id": c.ID, "client_secret": c.Secret}, more...))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.said(w.Do(engine.OpWrite, provider+"/token", string(b)))
}

// userinfo reads who a token is about.
func (w *world) userinfo(at, token string) (status int, claims map[string]any) {
	w.t.Helper()
	w.bearer = token
	r := w.Do(engine.OpRead, at+"/userinfo", "")
	if err := json.Unmarshal(r.Body, &claims); err != nil {
		w.t.Fatal(err)
	}
	return r.Status, claims
}

func (w *world) refused(what string, r reply, want string) {
	w.t.Helper()
	if r.Status < 400 || r.Error != want || r.Code != "" || r.AccessToken != "" || r.IDToken != "" {
		w.t.Errorf("%s: %d %q %q, want %s", what, r.Status, r.Error, r.Description, want)
	}
}

func hashed(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

var (
	verifier = strings.Repeat("v", 43)
	other    = strings.Repeat("o", 43)
)

// A client learns who the caller is, by tokens that say for whom they were made
// and which code and access token they belong to.
func TestCodeFlow(t *testing.T) {
	w, c := withClient(t, "confidential")
	w.login = w.Now().Add(-time.Minute)
	code := w.code(c.request("max_age", "60", "code_challenge", hashed(verifier), "code_challenge_method", "S256"))
	got := w.redeem(c, code, "code_verifier", verifier)
	if got.Status != 200 || got.TokenType != "Bearer" || got.ExpiresIn != 86400 {
		t.Fatalf("redeem: %+v", got)
	}
	header, claims, err := w.verified(provider, got.IDToken)
	if err != nil {
		t.Fatal(err)
	}
	half := func(s string) string { // of SHA-384, by ES384
		sum := sha512.Sum384([]byte(s))
		return base64.RawURLEncoding.EncodeToString(sum[:24])
	}
	want := map[string]any{"iss": address + "/v1/identity/" + provider, "sub": w.Caller.EntityID, "aud": c.ID, "nonce": "nn", "username": "ann",
		"namespace": "root", "iat": float64(w.Now().Unix()), "exp": float64(w.Now().Add(24 * time.Hour).Unix()),
		"auth_time": float64(w.login.Unix()), "c_hash": half(code), "at_hash": half(got.AccessToken)}
	if header.Algorithm != "ES384" || !maps.Equal(claims, want) {
		t.Errorf("signed by %s: %v, want %v", header.Algorithm, claims, want)
	}
	if status, info := w.userinfo(provider, got.AccessToken); status != 200 || !maps.Equal(info, map[string]any{"sub": w.Caller.EntityID, "username": "ann"}) {
		t.Errorf("userinfo: %d %v", status, info)
	}
	if err := w.Advance(24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if status, _ := w.userinfo(provider, got.AccessToken); status != 401 {
		t.Errorf("userinfo by a token that has ended: %d", status)
	}
}

// Credentials come in the header or in the body, form-encoded or not at all.
func TestClientAuthentication(t *testing.T) {
	w, c := withClient(t, "confidential")
	w.name, w.password = c.ID, c.Secret
	if r := w.redeem(client{}, w.code(c.request())); r.Status != 200 {
		t.Errorf("by header: %+v", r)
	}
	code := w.code(c.request())
	w.refused("both", w.redeem(c, code), "invalid_request")
	w.password = "wrong"
	w.refused("a wrong secret", w.redeem(client{}, code), "invalid_client")
	w.name = ""
	for _, secret := range []string{"", "x", c.Secret + "x", c.Secret[:len(c.Secret)-1]} {
		w.refused("secret "+secret, w.redeem(client{c.ID, secret}, code), "invalid_client")
	}
	w.refused("nobody", w.redeem(client{}, code), "invalid_request")
	w.refused("another", w.redeem(client{"x", c.Secret}, code), "invalid_client")
	if r := w.redeem(c, code); r.Status != 200 {
		t.Errorf("who cannot prove themselves has spent the code: %+v", r)
	}
}

// Only those who are assigned get a code, and only if they still are a token.
func TestAssignments(t *testing.T) {
	w, _ := withClient(t, "confidential")
	ann, bob, eve := w.Caller.EntityID, w.person("bob"), w.person("eve")
	inner := ask[struct{ ID string }](w, 200, engine.OpWrite, "group", `{"name":"inner","member_entity_ids":["`+bob+`"]}`).ID
	outer := ask[struct{ ID string }](w, 200, engine.OpWrite, "group", `{"name":"outer","member_group_ids":["`+inner+`"]}`).ID
	w.set("assignment/as", map[string]any{"entity_ids": ann, "group_ids": outer})
	c := w.client("few", map[string]any{"assignments": "as"})
	for id, may := range map[string]bool{ann: true, bob: true, eve: false, "": false, "id99": false} {
		w.Caller.EntityID = id
		r := w.authorize(c.request())
		if (r.Status == 200) != may || !may && r.Error != "access_denied" {
			t.Errorf("%q: %+v", id, r)
		}
	}
	w.Caller.EntityID = bob
	code, got := w.code(c.request()), w.redeem(c, w.code(c.request()))
	w.set("assignment/as", map[string]any{"group_ids": ""})
	w.refused("no longer assigned", w.redeem(c, code), "invalid_grant")
	if status, _ := w.userinfo(provider, got.AccessToken); status != 401 {
		t.Errorf("userinfo of one no longer assigned: %d", status)
	}
	w.Caller.EntityID = ann
	code, got = w.code(c.request()), w.redeem(c, w.code(c.request()))
	ask[any](w, 204, engine.OpWrite, "entity/id/"+ann, `{"disabled":true}`)
	w.refused("disabled", w.redeem(c, code), "invalid_grant")
	if status, _ := w.userinfo(provider, got.AccessToken); status != 401 {
		t.Errorf("userinfo of one disabled: %d", status)
	}
	nobody := w.client("none", map[string]any{})
	w.Caller.EntityID = eve
	w.refused("no assignment", w.authorize(nobody.request()), "access_denied")
}

// What a request for a code lacks or has too much of is named, with the state.
func TestAuthorizeRefuses(t *testing.T) {
	w, c := withClient(t, "confidential")
	w.set("provider/narrow", map[string]any{"allowed_client_ids": "x"})
	for _, q := range []struct{ name, value, want string }{
		{"client_id", "", "invalid_request"},
		{"client_id", "x", "invalid_client_id"},
		{"redirect_uri", "", "invalid_request"},
		{"response_type", "", "invalid_request"},
		{"response_type", "id_token", "unsupported_response_type"},
		{"scope", "", "invalid_request"},
		{"scope", "openidx profile", "invalid_request"},
		{"request", "x", "request_not_supported"},
		{"request_uri", "x", "request_uri_not_supported"},
		{"prompt", "none login", "invalid_request"},
		{"prompt", "x", "invalid_request"},
		{"max_age", "-1", "invalid_request"},
		{"nonce", strings.Repeat("n", 1025), "invalid_request"},
	} {
		r := w.authorize(c.request(q.name, q.value))
		w.refused(q.name+"="+q.value, r, q.want)
		if r.State != "st" {
			t.Errorf("%s=%s: state %q", q.name, q.value, r.State)
		}
	}
	w.refused("a provider of others", w.said(w.Do(engine.OpRead, "oidc/provider/narrow/authorize?"+form(c.request()), "")), "unauthorized_client")
	w.login = w.Now().Add(-61 * time.Second)
	w.refused("an old login", w.authorize(c.request("max_age", "60")), "max_age_violation")
	w.code(c.request("prompt", "login consent", "scope", "openid unheard-of", "nonce", strings.Repeat("n", 1024)))
}

// A list of providers can be of those that a client may use.
func TestProvidersOfAClient(t *testing.T) {
	w := newWorld(t)
	w.set("provider/few", map[string]any{"allowed_client_ids": "x,y", "issuer": "https://id.example"})
	for query, want := range map[string][]string{"": {"default", "few"}, "?allowed_client_id=x": {"default", "few"}, "?allowed_client_id=z": {"default"}} {
		got := ask[struct {
			Keys []string
			Info map[string]struct{ Issuer string } `json:"key_info"`
		}](w, 200, engine.OpList, "oidc/provider"+query, "")
		if !slices.Equal(got.Keys, want) || got.Info["default"].Issuer != address+"/v1/identity/oidc/provider/default" ||
			len(want) == 2 && got.Info["few"].Issuer != "https://id.example/v1/identity/oidc/provider/few" {
			t.Errorf("%q: %+v", query, got)
		}
	}
}

// Two scopes that make one claim cannot be asked for together, and the operator
// is told before.
func TestScopesInConflict(t *testing.T) {
	w, c := withClient(t, "confidential")
	w.set("scope/twice", map[string]any{"template": `{"username": 1, "more": 2}`})
	r := w.Do(engine.OpWrite, "oidc/provider/pr", `{"scopes_supported":"profile,twice"}`)
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], `"username"`) {
		t.Errorf("warnings %q", r.Warnings)
	}
	w.refused("both", w.authorize(c.request("scope", "openid profile twice")), "invalid_scope")
	got := w.redeem(c, w.code(c.request("scope", "openid twice openid")))
	if _, claims, err := w.verified(provider, got.IDToken); err != nil || claims["more"] != 2.0 {
		t.Errorf("one of them: %v %v", claims, err)
	}
}

// What finds a grant is a digest, and nothing of it is left once it has ended.
func TestGrantsEnd(t *testing.T) {
	w, c := withClient(t, "public")
	pkce := c.request("code_challenge", verifier)
	waiting, spent := w.code(pkce), w.code(pkce)
	access := w.redeem(c, spent, "code_verifier", verifier).AccessToken
	rows := map[string]string{}
	for secret, folder := range map[string]string{waiting: "code/", spent: "code/", access: "access/"} {
		sum := sha256.Sum256([]byte(secret))
		rows["oidc/"+folder+hex.EncodeToString(sum[:])] = secret
	}
	look := func(there bool) {
		t.Helper()
		w.view(func(tx *storage.Tx) error {
			for path := range rows {
				row, err := tx.In(storage.MountRange(1)).Get(path)
				if err != nil {
					return err
				}
				if (row != nil) != there {
					t.Errorf("%s: %q, want there %t", path, row, there)
				}
				for _, secret := range rows {
					if bytes.Contains(row, []byte(secret)) {
						t.Errorf("%s holds a secret", path)
					}
				}
			}
			return nil
		})
	}
	look(true)
	if err := w.Advance(24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	look(false)
}

// A list of clients shows no secrets, a public client has none.
func TestClientsAreShown(t *testing.T) {
	w, c := withClient(t, "confidential")
	if !strings.HasPrefix(c.Secret, "hvo_secret_") || len(c.Secret) != len("hvo_secret_")+64 || len(c.ID) != 32 {
		t.Errorf("drawn: %+v", c)
	}
	if p := w.client("spa", map[string]any{"client_type": "public"}); p.Secret != "" || p.ID == c.ID {
		t.Errorf("a public client: %+v", p)
	}
	r := w.Do(engine.OpList, "oidc/client", "")
	if strings.Contains(string(r.Body), "secret") || !strings.Contains(string(r.Body), c.ID) {
		t.Errorf("the list: %s", r.Body)
	}
	again := w.client("app", map[string]any{"id_token_ttl": 60})
	if again != c {
		t.Errorf("a change draws anew: %+v", again)
	}
	ask[any](w, 204, engine.OpDelete, "oidc/client/app", "")
	w.refused("a deleted client", w.authorize(c.request()), "invalid_client_id")
	if made := w.client("app", map[string]any{}); made.ID == c.ID || made.Secret == c.Secret {
		t.Errorf("a new client of the name is the old one: %+v", made)
	}
	if !slices.Equal(ask[struct{ Keys []string }](w, 200, engine.OpList, "oidc/client", "").Keys, []string{"app", "spa"}) {
		t.Error("the list lacks one")
	}
}
