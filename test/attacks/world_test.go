package attacks

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/catalog"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/server"
	"github.com/fastness-dev/fastness/storage"
	kvstate "github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// A world is one whole server in memory, initialised and unsealed, to attack.
type world struct {
	t    *testing.T
	s    *server.Server
	h    http.Handler
	root string
	log  *lines
	key  []byte // the only share
}

// Lines are what the server logged.
type lines struct {
	mu sync.Mutex
	b  []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

func open(t *testing.T) *world {
	t.Helper()
	return openAt(t, nil)
}

// openAt is open with a clock; nil is that of the machine.
func openAt(t *testing.T, clock func() time.Time) *world {
	t.Helper()
	log := &lines{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := server.New(server.Options{Clock: clock, Logger: logger, State: kvstate.NewMemory(), Log: raft.NewMemory(), Engines: catalog.Engines(),
		Settings: sys.Settings{Version: "1.21.0", StorageType: "inmem", RootToken: "root"},
		Seed: func(tx *storage.Tx, m *mount.Mounts) error {
			_, err := m.Enable(tx, mount.Entry{Path: "secret/", Kind: engine.Secret, Type: "kv", Options: map[string]string{"version": "2"}})
			return err
		}})
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
	return &world{t, s, s.Handler(wire.Limits{}), "root", log, key}
}

// reseal seals the server and opens it again.
func (w *world) reseal() {
	w.t.Helper()
	w.s.System().Seal()
	if err := w.s.System().Unseal(context.Background(), w.key); err != nil {
		w.t.Fatal(err)
	}
}

type answer struct {
	Status int
	Data   json.RawMessage
	Auth   struct {
		ClientToken string `json:"client_token"`
		MFA         struct {
			Request string `json:"mfa_request_id"`
		} `json:"mfa_requirement"`
	}
	WrapInfo struct{ Token string } `json:"wrap_info"`
	Errors   []string
	Paths    map[string]map[string]json.RawMessage // of a description of the API
}

// raw is do with the answer's body as it came.
func (w *world) raw(token, method, path, body string, headers ...string) []byte {
	w.t.Helper()
	return w.serve(token, method, path, body, headers).Body.Bytes()
}

func (w *world) do(token, method, path, body string, headers ...string) answer {
	w.t.Helper()
	rec := w.serve(token, method, path, body, headers)
	var a answer
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
			w.t.Fatalf("%s %s: %q is no JSON: %v", method, path, rec.Body, err)
		}
	}
	a.Status = rec.Code
	return a
}

func (w *world) serve(token, method, path, body string, headers []string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/v1/"+path, strings.NewReader(body))
	r.Header.Set("X-Vault-Token", token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return rec
}

func (w *world) want(a answer, status int) answer {
	w.t.Helper()
	if a.Status != status {
		w.t.Fatalf("status %d %q, want %d", a.Status, a.Errors, status)
	}
	return a
}

// token makes a token whose one policy is the rules given.
func (w *world) token(name, rules string) string {
	w.t.Helper()
	body, err := json.Marshal(map[string]string{"policy": rules})
	if err != nil {
		w.t.Fatal(err)
	}
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/"+name, string(body)), 204)
	return w.want(w.do(w.root, http.MethodPost, "auth/token/create", `{"policies":["`+name+`"]}`), 200).Auth.ClientToken
}
