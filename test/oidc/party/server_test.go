package party

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
)

// A server is Fastness as its operator sees it, in one namespace.
type server struct {
	t         *testing.T
	addr      string // with the namespace's path, up to v1
	root      string
	client    *http.Client
	ctx       context.Context // what the library sends by
	namespace string          // "" or "team/"
}

func connect(t *testing.T, namespace string) *server {
	t.Helper()
	s := &server{t: t, addr: os.Getenv("VAULT_ADDR"), root: os.Getenv("VAULT_TOKEN"), namespace: namespace}
	pem, err := os.ReadFile(os.Getenv("VAULT_CACERT"))
	if err != nil || s.addr == "" {
		t.Fatalf("VAULT_ADDR, VAULT_CACERT and VAULT_TOKEN name the server: run `go test ./test/oidc/` in the main module: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("VAULT_CACERT holds no certificate")
	}
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(s.client.CloseIdleConnections)
	s.ctx = oidc.ClientContext(t.Context(), s.client)
	return s
}

// do sends a request below /v1/ and decodes the answer's data, or the whole of
// it where that has none.
func (s *server) do(token, method, path string, body any, to any) int {
	s.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	if body == nil {
		b = nil
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.addr+"/v1/"+s.namespace+path, bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", token)
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if to != nil && len(text) > 0 {
		if err := json.Unmarshal(text, to); err != nil {
			s.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
		}
	}
	if to == nil && resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	return resp.StatusCode
}

// set writes, and must.
func (s *server) set(path string, fields map[string]any) {
	s.t.Helper()
	s.do(s.root, http.MethodPost, path, fields, nil)
}

// get reads a field of an answer's data.
func (s *server) get(token, path, field string) string {
	s.t.Helper()
	var a struct{ Data map[string]any }
	if code := s.do(token, http.MethodGet, path, nil, &a); code != http.StatusOK {
		s.t.Fatalf("read %s: %d", path, code)
	}
	text, _ := a.Data[field].(string)
	return text
}

// person makes a user with an entity and returns their token and its id.
func (s *server) person(name string) (token, entity string) {
	s.t.Helper()
	var mounts struct{ Data map[string]any }
	s.do(s.root, http.MethodGet, "sys/auth", nil, &mounts)
	if mounts.Data["userpass/"] == nil {
		s.set("sys/auth/userpass", map[string]any{"type": "userpass"})
	}
	s.set("auth/userpass/users/"+name, map[string]any{"password": "pw-" + name})
	login := func() (token, entity string) {
		var a struct {
			Auth struct {
				ClientToken string `json:"client_token"`
				EntityID    string `json:"entity_id"`
			}
		}
		if code := s.do("", http.MethodPost, "auth/userpass/login/"+name, map[string]any{"password": "pw-" + name}, &a); code != http.StatusOK {
			s.t.Fatalf("log %s in: %d", name, code)
		}
		return a.Auth.ClientToken, a.Auth.EntityID
	}
	_, entity = login()
	s.set("identity/entity/id/"+entity, map[string]any{"name": name})
	return login()
}
