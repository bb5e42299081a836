package party

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// A site is an application that was registered with a provider.
type site struct {
	*server
	*app
	http *httptest.Server
}

// register makes a client of the default provider and the application that it is
// of. Names are those of its key, scope and client.
func register(s *server, name, algorithm, kind string, pkce bool) *site {
	s.t.Helper()
	mux := http.NewServeMux()
	at := &site{server: s, app: &app{ctx: s.ctx, pkce: pkce}, http: httptest.NewServer(mux)}
	s.t.Cleanup(at.http.Close)
	mux.HandleFunc("/start", at.start)
	mux.HandleFunc("/cb", at.finish)
	s.set("identity/oidc/key/"+name, map[string]any{"algorithm": algorithm, "allowed_client_ids": "*"})
	s.set("identity/oidc/client/"+name, map[string]any{"key": name, "client_type": kind, "assignments": "allow_all", "redirect_uris": at.http.URL + "/cb"})
	s.set("identity/oidc/scope/user", map[string]any{"template": `{"username": {{identity.entity.name}}, "groups": {{identity.entity.groups.names}}}`})
	s.set("identity/oidc/provider/default", map[string]any{"scopes_supported": "user"})
	var err error
	if at.provider, err = oidc.NewProvider(s.ctx, s.addr+"/v1/"+s.namespace+"identity/oidc/provider/default"); err != nil {
		s.t.Fatalf("discovery: %v", err)
	}
	at.config = oauth2.Config{Endpoint: at.provider.Endpoint(), RedirectURL: at.http.URL + "/cb", Scopes: []string{oidc.ScopeOpenID, "user"},
		ClientID:     s.get(s.root, "identity/oidc/client/"+name, "client_id"),
		ClientSecret: s.get(s.root, "identity/oidc/client/"+name, "client_secret")}
	return at
}

// visit logs somebody in to the application, by their token of the server: it
// does what the page at the authorisation endpoint does.
func (at *site) visit(token string) (status int, said string) {
	at.t.Helper()
	page := at.follow(at.http.URL + "/start")
	ask := strings.TrimPrefix(page.Path, "/ui/vault/")
	if ask == page.Path || !strings.HasPrefix(ask, at.namespace+"identity/oidc/provider/default/authorize") {
		at.t.Fatalf("the visitor is sent to %s", page)
	}
	var allowed struct{ Code, State, Error string }
	code := at.do(token, http.MethodGet, strings.TrimPrefix(ask, at.namespace)+"?"+page.RawQuery, nil, &allowed)
	if code != http.StatusOK {
		return code, allowed.Error
	}
	back, err := url.Parse(page.Query().Get("redirect_uri"))
	if err != nil {
		at.t.Fatal(err)
	}
	back.RawQuery = url.Values{"code": {allowed.Code}, "state": {allowed.State}}.Encode()
	return at.open(back.String())
}

func (at *site) open(address string) (status int, body string) {
	at.t.Helper()
	r, err := http.NewRequestWithContext(at.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		at.t.Fatal(err)
	}
	resp, err := at.client.Do(r)
	if err != nil {
		at.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		at.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// follow returns where a page redirects to.
func (at *site) follow(address string) *url.URL {
	at.t.Helper()
	r, err := http.NewRequestWithContext(at.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		at.t.Fatal(err)
	}
	resp, err := at.client.Do(r)
	if err != nil {
		at.t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		at.t.Fatal(err)
	}
	return to
}

// admits logs somebody in and compares what the application learned.
func (at *site) admits(token, entity, name string) {
	at.t.Helper()
	status, body := at.visit(token)
	var v visitor
	if err := json.Unmarshal([]byte(body), &v); status != http.StatusOK || err != nil {
		at.t.Fatalf("the application says %d %s", status, body)
	}
	if v.Subject != entity || v.Username != name || v.Info["sub"] != entity || v.Info["username"] != name {
		at.t.Errorf("the application lets in %+v, want %s of %s", v, name, entity)
	}
}

// The library takes ID tokens of every algorithm, with and without PKCE, from
// clients with and without a secret.
func TestLogin(t *testing.T) {
	s := connect(t, "")
	token, entity := s.person("ann")
	for _, c := range []struct {
		algorithm, kind string
		pkce            bool
	}{
		{"RS256", "confidential", false}, {"RS384", "confidential", true}, {"RS512", "public", true},
		{"ES256", "public", true}, {"ES384", "confidential", false}, {"ES512", "public", true}, {"EdDSA", "confidential", true},
	} {
		t.Run(c.algorithm, func(t *testing.T) {
			s := connect(t, "")
			register(s, "app-"+c.algorithm, c.algorithm, c.kind, c.pkce).admits(token, entity, "ann")
		})
	}
}

// Secrets come as the library is told to send them.
func TestSecretInHeaderOrBody(t *testing.T) {
	s := connect(t, "")
	token, entity := s.person("bob")
	at := register(s, "styles", "ES256", "confidential", true)
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams, oauth2.AuthStyleAutoDetect} {
		at.config.Endpoint.AuthStyle = style
		at.admits(token, entity, "bob")
	}
	at.config.ClientSecret = "hvo_secret_wrong"
	at.config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if status, body := at.visit(token); status != http.StatusForbidden || !strings.Contains(body, "invalid_client") {
		t.Errorf("a wrong secret: %d %s", status, body)
	}
}

// What goes wrong reaches the library as the errors of OAuth.
func TestErrors(t *testing.T) {
	s := connect(t, "")
	token, entity := s.person("eve")
	at := register(s, "errors", "ES256", "public", true)
	at.admits(token, entity, "eve")
	if _, err := at.config.Exchange(s.ctx, "nonsense", oauth2.VerifierOption(at.verifier)); !code(err, "invalid_grant") {
		t.Errorf("an unknown code: %v", err)
	}
	at.pkce = false
	if status, said := at.visit(token); status != http.StatusBadRequest || said != "invalid_request" {
		t.Errorf("a public client without PKCE: %d %s", status, said)
	}
	if status, _ := at.visit(""); status != http.StatusForbidden {
		t.Errorf("nobody: %d", status)
	}
	forged := *at.last
	forged.AccessToken += "x"
	if _, err := at.provider.UserInfo(s.ctx, at.config.TokenSource(s.ctx, &forged)); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("userinfo by a forged token: %v", err)
	}
	if status := s.do(at.last.AccessToken, http.MethodGet, "auth/token/lookup-self", nil, &struct{}{}); status != http.StatusForbidden {
		t.Errorf("an access token is good for more than userinfo: %d", status)
	}
}

func code(err error, want string) bool {
	var refused *oauth2.RetrieveError
	return errors.As(err, &refused) && refused.ErrorCode == want
}

// Identity tokens are verified by their discovery document alone, across
// rotations.
func TestIdentityTokens(t *testing.T) {
	s := connect(t, "")
	s.set("sys/policies/acl/draw", map[string]any{"policy": `path "identity/oidc/token/*" { capabilities = ["read"] }`})
	_, entity := s.person("ida")
	s.set("identity/entity/id/"+entity, map[string]any{"policies": "draw"})
	token, _ := s.person("ida")
	s.set("identity/oidc/key/ids", map[string]any{"allowed_client_ids": "*"})
	s.set("identity/oidc/role/ids", map[string]any{"key": "ids", "client_id": "service", "template": `{"name": {{identity.entity.name}}}`})
	issuer, err := oidc.NewProvider(s.ctx, s.addr+"/v1/identity/oidc")
	if err != nil {
		t.Fatal(err)
	}
	verifier := issuer.VerifierContext(s.ctx, &oidc.Config{ClientID: "service"})
	first := s.get(token, "identity/oidc/token/ids", "token")
	for range 3 {
		for _, raw := range []string{first, s.get(token, "identity/oidc/token/ids", "token")} {
			id, err := verifier.Verify(s.ctx, raw)
			if err != nil {
				t.Fatal(err)
			}
			var claims struct{ Name string }
			if err := id.Claims(&claims); err != nil || id.Subject != entity || claims.Name != "ida" {
				t.Errorf("a token of %s, %q: %v", id.Subject, claims.Name, err)
			}
		}
		s.set("identity/oidc/key/ids/rotate", map[string]any{})
	}
	if _, err := issuer.VerifierContext(s.ctx, &oidc.Config{ClientID: "another"}).Verify(s.ctx, first); err == nil {
		t.Error("a token for one service is good for another")
	}
}

// A namespace has an issuer, clients and people of its own.
func TestNamespace(t *testing.T) {
	connect(t, "").set("sys/namespaces/team", map[string]any{})
	s := connect(t, "team/")
	token, entity := s.person("tom")
	at := register(s, "app", "ES256", "confidential", true)
	at.admits(token, entity, "tom")
	stranger, _ := connect(t, "").person("sue")
	if status, _ := at.visit(stranger); status == http.StatusOK {
		t.Error("a person of the root namespace is let in")
	}
	above, err := oidc.NewProvider(s.ctx, s.addr+"/v1/identity/oidc/provider/default")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := above.UserInfo(s.ctx, at.config.TokenSource(s.ctx, at.last)); err == nil {
		t.Error("an access token of the namespace is good above it")
	}
}
