package server_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/secrets/kv"
	"github.com/fastness-dev/fastness/server"
	"github.com/fastness-dev/fastness/storage"
	kvstate "github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// A world is a server in memory, initialised and unsealed.
type world struct {
	t    *testing.T
	s    *server.Server
	h    http.Handler
	root string
	key  []byte // the only share
}

func open(t *testing.T, more ...engine.Type) *world {
	t.Helper()
	return openWith(t, func(o *server.Options) { o.Engines = append(o.Engines, more...) })
}

// openWith is open with other options.
func openWith(t *testing.T, change func(*server.Options)) *world {
	t.Helper()
	o := server.Options{State: kvstate.NewMemory(), Log: raft.NewMemory(), Engines: kv.Types(),
		Settings: sys.Settings{Version: "1.21.0", StorageType: "inmem", RootToken: "root"},
		Seed: func(tx *storage.Tx, m *mount.Mounts) error {
			_, err := m.Enable(tx, mount.Entry{Path: "secret/", Kind: engine.Secret, Type: "kv", Options: map[string]string{"version": "2"}})
			return err
		}}
	change(&o)
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := context.Background()
	made, err := s.System().Init(ctx, 1, 1, nil, "", false)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(made.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.System().Unseal(ctx, key); err != nil {
		t.Fatal(err)
	}
	return &world{t, s, s.Handler(wire.Limits{}), "root", key}
}

type answer struct {
	Status        int
	Data          json.RawMessage
	Auth          login
	WrapInfo      struct{ Token, Accessor string } `json:"wrap_info"`
	LeaseID       string                           `json:"lease_id"`
	LeaseDuration int                              `json:"lease_duration"`
	Renewable     bool
	Warnings      []string
	Errors        []string
	body          []byte
	header        http.Header
}

func (w *world) do(token, method, path, body string, headers ...string) answer {
	w.t.Helper()
	return w.doWith(token, method, path, body, nil, headers...)
}

// doWith is do with second factors.
func (w *world) doWith(token, method, path, body string, factors []string, headers ...string) answer {
	w.t.Helper()
	r := httptest.NewRequest(method, "/v1/"+path, strings.NewReader(body))
	r.Header.Set("X-Vault-Token", token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	for _, f := range factors {
		r.Header.Add("X-Vault-MFA", f)
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	var a answer
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
			w.t.Fatalf("%s %s: %q is no JSON: %v", method, path, rec.Body, err)
		}
	}
	a.Status, a.body, a.header = rec.Code, rec.Body.Bytes(), rec.Header()
	return a
}

func (w *world) want(a answer, status int) answer {
	w.t.Helper()
	if a.Status != status {
		w.t.Fatalf("status %d %q, want %d", a.Status, a.Errors, status)
	}
	return a
}

// A stranger learns nothing: what is there and what is not look the same.
func TestAStrangerLearnsNothing(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`), 200)
	for _, path := range []string{"secret/data/a", "secret/data/none", "secret/metadata/a", "no/such/mount", "sys/mounts", "sys/no-such-route"} {
		for _, token := range []string{"", "hvs.wrong", strings.Repeat("x", 500)} {
			a := w.want(w.do(token, http.MethodGet, path, ""), 403)
			if len(a.Errors) != 1 || a.Errors[0] != "permission denied" {
				t.Errorf("%s told a stranger %q", path, a.Errors)
			}
		}
	}
}

// What a token may do is what its policies say, told as create or update by
// whether the thing is there.
func TestPoliciesTellCreateFromUpdate(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/maker", `{"policy":"path \"secret/data/*\" { capabilities = [\"create\"] }"}`), 204)
	token := w.want(w.do(w.root, http.MethodPost, "auth/token/create", `{"policies":["maker"]}`), 200).Auth.ClientToken
	w.want(w.do(token, http.MethodPost, "secret/data/new", `{"data":{"x":"1"}}`), 200)
	w.want(w.do(token, http.MethodPost, "secret/data/new", `{"data":{"x":"2"}}`), 403)
	w.want(w.do(token, http.MethodGet, "secret/data/new", ""), 403)
}

// The last use of a token is spent even by a request that is refused.
func TestUsesAreSpentByRefusedRequests(t *testing.T) {
	w := open(t)
	token := w.want(w.do(w.root, http.MethodPost, "auth/token/create", `{"policies":["default"],"num_uses":2}`), 200).Auth.ClientToken
	w.want(w.do(token, http.MethodGet, "secret/data/a", ""), 403)
	w.want(w.do(token, http.MethodGet, "auth/token/lookup-self", ""), 200)
	w.want(w.do(token, http.MethodGet, "auth/token/lookup-self", ""), 403)
}

// Any answer can be wrapped, and is handed out once.
// Old clients read cubbyhole/response with the wrapping token itself.
func TestAWrappedAnswerIsInTheCubbyhole(t *testing.T) {
	w := open(t)
	w.must(w.do(w.root, "POST", "secret/data/a", `{"data":{"x":"y"}}`))
	wrapped := w.must(w.do(w.root, "GET", "secret/data/a", "", "X-Vault-Wrap-TTL", "60")).WrapInfo.Token
	a := w.must(w.do(wrapped, "GET", "cubbyhole/response", ""))
	var data struct{ Response string }
	if err := json.Unmarshal(a.Data, &data); err != nil || !strings.Contains(data.Response, `"x":"y"`) {
		t.Errorf("%s: %v", a.body, err)
	}
	for _, path := range []string{"cubbyhole/response", "sys/wrapping/unwrap"} {
		method := map[bool]string{true: "GET", false: "POST"}[path == "cubbyhole/response"]
		if a := w.do(wrapped, method, path, ""); a.Status < 400 {
			t.Errorf("handed out twice: %s %d", path, a.Status)
		}
	}
}

func TestAWrappedAnswerIsHandedOutOnce(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`), 200)
	wrapped := w.want(w.do(w.root, http.MethodGet, "secret/data/a", "", "X-Vault-Wrap-TTL", "60"), 200)
	if wrapped.Data != nil && string(wrapped.Data) != "null" {
		t.Fatalf("the wrapped answer shows %s", wrapped.Data)
	}
	opened := w.want(w.do(wrapped.WrapInfo.Token, http.MethodPost, "sys/wrapping/unwrap", ""), 200)
	if !strings.Contains(string(opened.Data), `"x":"1"`) {
		t.Fatalf("unwrapped %s", opened.Data)
	}
	again := w.want(w.do(wrapped.WrapInfo.Token, http.MethodPost, "sys/wrapping/unwrap", ""), 400)
	if again.Errors[0] != "wrapping token is not valid or does not exist" {
		t.Errorf("told %q", again.Errors)
	}
}

// A sealed node answers for its seal and for nothing else.
func TestASealedNodeSaysSo(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPut, "sys/seal", ""), 204)
	for _, path := range []string{"secret/data/a", "sys/mounts", "auth/token/lookup-self"} {
		if a := w.want(w.do(w.root, http.MethodGet, path, ""), 503); a.Errors[0] != "Vault is sealed" {
			t.Errorf("%s: %q", path, a.Errors)
		}
	}
	w.want(w.do("", http.MethodGet, "sys/seal-status", ""), 200)
	w.want(w.do("", http.MethodGet, "sys/health", ""), 503)
}

// A body over the limit, and one from a stranger, cost no parsing.
func TestABodyOfAStrangerIsNotRead(t *testing.T) {
	w := open(t)
	w.want(w.do("hvs.wrong", http.MethodPost, "secret/data/a", `{not json`), 403)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{not json`), 400)
	w.h = w.s.Handler(wire.Limits{MaxBody: 64})
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"`+strings.Repeat("y", 100)+`"}}`), 413)
}

// A root key that no token can be encrypted to is told before there is a
// cluster: afterwards, the answer with the unseal keys would be lost.
func TestABadRootKeyMakesNoCluster(t *testing.T) {
	s, err := server.New(server.Options{State: kvstate.NewMemory(), Log: raft.NewMemory(), Settings: sys.Settings{Version: "1.21.0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, s: s, h: s.Handler(wire.Limits{})}
	w.want(w.do("", http.MethodPut, "sys/init", `{"secret_shares":1,"secret_threshold":1,"root_token_pgp_key":"bm90IGEga2V5"}`), 400)
	if is, err := s.System().Initialized(t.Context()); err != nil || is {
		t.Fatalf("initialised: %t, %v", is, err)
	}
	w.want(w.do("", http.MethodPut, "sys/init", `{"secret_shares":1,"secret_threshold":1}`), 200)
}

// While a node unseals it has the keys before it has its audit devices: until
// both are there it answers as sealed.
func TestNothingIsServedBeforeAuditIsReady(t *testing.T) {
	w := open(t)
	s := w.s.System()
	w.want(w.do(w.root, http.MethodPut, "sys/seal", ""), 204)
	ready := s.Unsealed
	asked := false
	s.Unsealed = func(ctx context.Context) error {
		asked = true
		if a := w.want(w.do(w.root, http.MethodGet, "secret/data/a", ""), 503); a.Errors[0] != "Vault is sealed" {
			t.Errorf("told %q", a.Errors)
		}
		return ready(ctx)
	}
	if err := s.Unseal(t.Context(), w.key); err != nil {
		t.Fatal(err)
	}
	w.want(w.do(w.root, http.MethodGet, "secret/data/none", ""), 404)
	if !asked {
		t.Error("nobody asked while the node unsealed")
	}
}

// A seal does not wait for a rotation that waits for the seal.
func TestASealAndARotationDoNotWaitForEachOther(t *testing.T) {
	w := open(t)
	s := w.s.System()
	sealing := s.Sealing
	s.Sealing = func() {
		if err := s.RotateIfDue(t.Context()); err != nil {
			t.Error(err)
		}
		sealing()
	}
	// Enough encryptions for the rotation to have something to store.
	for range 1<<16 + 1 {
		if _, err := s.Barrier.SealToken(nil, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	w.want(w.do(w.root, http.MethodPut, "sys/seal", ""), 204)
}
