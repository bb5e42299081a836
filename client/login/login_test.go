package login_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/client"
	"github.com/fastness-dev/fastness/client/login"
)

// A server answers paths, and notes what it was asked.
type server struct {
	answers map[string]string // by path below /v1/; absent is 400
	asked   []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	s.asked = append(s.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s", path, body, r.Header.Get("X-Vault-Token"))))
	a, ok := s.answers[path]
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		a = `{"errors":["no"]}`
	}
	_, _ = io.WriteString(w, a)
}

func TestLogins(t *testing.T) {
	const auth = `{"auth":{"client_token":"new"}}`
	const at = "auth/approle/role/ci/secret-id"
	s := &server{answers: map[string]string{
		"auth/userpass/login/ann": auth,
		"auth/corp/ad/login/ann":  auth,
		"auth/approle/login":      auth,
		"auth/github/login":       auth,
		"auth/cert/login":         auth,
		"auth/empty/login":        `{"data":{"a":"b"}}`,
		"auth/token/lookup-self":  `{"data":{"accessor":"a","policies":["p"],"identity_policies":["i"],"ttl":7}}`,
		"sys/wrapping/lookup":     `{"data":{"creation_path":"` + at + `"}}`,
		"sys/wrapping/unwrap":     `{"data":{"secret_id":"inner"}}`,
	}}
	web := httptest.NewServer(s)
	defer web.Close()
	c, err := client.New(client.Config{Address: web.URL, Token: "old"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		method login.Method
		token  string // "" is an error
		asked  string
	}{
		{"password", login.Password{Username: "ann", Password: "canary"}, "new", `auth/userpass/login/ann {"password":"canary"}`},
		{"ldap elsewhere", login.Password{Kind: "ldap", Mount: "corp/ad/", Username: "ann", Password: "canary"}, "new", `auth/corp/ad/login/ann {"password":"canary"}`},
		{"wrong password", login.Password{Username: "bob", Password: "canary"}, "", `auth/userpass/login/bob {"password":"canary"}`},
		{"a name that is a path", login.Password{Username: "../token", Password: "canary"}, "", ""},
		{"no name", login.Password{Password: "canary"}, "", ""},
		{"approle", login.AppRole{RoleID: "r", SecretID: "canary"}, "new", `auth/approle/login {"role_id":"r","secret_id":"canary"}`},
		{"without a token", login.AppRole{Mount: "empty", RoleID: "r", SecretID: "canary"}, "", `auth/empty/login {"role_id":"r","secret_id":"canary"}`},
		{"wrapped", login.AppRole{RoleID: "r", WrappedSecretID: "canary", WrappedAt: at}, "new",
			`sys/wrapping/lookup {"token":"canary"}|sys/wrapping/unwrap  canary|auth/approle/login {"role_id":"r","secret_id":"inner"}`},
		{"wrapped elsewhere", login.AppRole{RoleID: "r", WrappedSecretID: "canary", WrappedAt: at + "x"}, "", `sys/wrapping/lookup {"token":"canary"}`},
		{"wrapped anywhere", login.AppRole{RoleID: "r", WrappedSecretID: "canary"}, "", ""},
		{"github", login.GitHub{Token: "canary"}, "new", `auth/github/login {"token":"canary"}`},
		{"cert", login.Cert{}, "new", `auth/cert/login {}`},
		{"token", login.Token{Token: "mine"}, "mine", `auth/token/lookup-self  mine`},
		{"no token", login.Token{}, "", ""},
	} {
		s.asked = nil
		a, err := tc.method.Login(t.Context(), c)
		if got := strings.Join(s.asked, "|"); got != tc.asked {
			t.Errorf("%s: asked %s, want %s", tc.name, got, tc.asked)
		}
		switch {
		case tc.token == "" && (err == nil || strings.Contains(err.Error(), "canary")):
			t.Errorf("%s: %v, want an error without what was sent", tc.name, err)
		case tc.token != "" && (err != nil || a.Auth.ClientToken != tc.token):
			t.Errorf("%s: %+v, %v", tc.name, a, err)
		}
	}
}
