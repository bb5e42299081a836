package server_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/secrets/kv"
	"github.com/fastness-dev/fastness/server"
	"github.com/fastness-dev/fastness/storage"
	kvstate "github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// The stories of quotas are told by clients of several addresses, while a clock
// stands still until it is moved.
func TestQuotaStories(t *testing.T) {
	datadriven.Walk(t, "testdata/quotas", func(t *testing.T, path string) {
		s := openStory(t)
		datadriven.RunTest(t, path, s.run)
	})
}

type story struct {
	*world
	now   atomic.Pointer[time.Time] // the runner looks at it too
	names map[string]string         // what answers said, by the name a story gives it
}

func openStory(t *testing.T) *story {
	t.Helper()
	st := &story{names: map[string]string{}}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	st.now.Store(&noon)
	s, err := server.New(server.Options{State: kvstate.NewMemory(), Log: raft.NewMemory(), Engines: append(kv.Types(), badgeType()),
		Clock: func() time.Time { return *st.now.Load() }, Settings: sys.Settings{Version: "1.21.0", StorageType: "inmem", RootToken: "root"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	made, err := s.System().Init(context.Background(), 1, 1, nil, "", false)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(made.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.System().Unseal(context.Background(), key); err != nil {
		t.Fatal(err)
	}
	st.world = &world{t, s, s.Handler(wire.Limits{}), "root", key}
	return st
}

// A badge is an auth method whose users show a word that is their name turned
// around; names are not told apart by case.
type badge struct{}

type badgeRequest struct {
	Name string `path:"name"`
	Role string `json:"role"`
	Word string `json:"word" secret:"true"`
}

func badgeType() engine.Type {
	login := engine.Login("login/{name}", func(_ *badge, _ engine.Tx, req badgeRequest) (*engine.Grant, error) {
		word := []byte(strings.ToLower(req.Name))
		slices.Reverse(word)
		if req.Word != string(word) {
			return nil, engine.Refused(engine.Bad("wrong word"))
		}
		return &engine.Grant{Alias: strings.ToLower(req.Name), DisplayName: req.Name, Role: req.Role}, nil
	})
	return (&engine.Spec[badge]{Name: "userpass", Kind: engine.Auth, Routes: engine.Routes[badge]{
		engine.Named(login, func(_ *badge, _ engine.View, req badgeRequest) (engine.Who, error) {
			return engine.Who{Alias: strings.ToLower(req.Name), Role: req.Role}, nil
		}),
	}}).Type()
}

// settle waits until nothing is due any more.
func (s *story) settle(t *testing.T) {
	t.Helper()
	now := []byte(fmt.Sprintf("%016x", uint64(s.now.Load().UnixMilli())))
	for waits := true; waits; {
		changed := s.s.Store().Changed()
		if err := s.s.Store().View(t.Context(), func(tx *storage.Tx) error {
			waits = false
			for row, err := range tx.In(storage.Due).Scan("", "") {
				waits = err == nil && fmt.Sprintf("%016x", row.Key[:8]) <= string(now)
				return err
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if waits {
			<-changed
		}
	}
}

// run knows `advance 5s`, `settle`, `let NAME=key` (of the last answer's data or auth),
// and METHOD path, with from= an address, ns= a namespace, token= another than
// the root token, times= how often; all, to see the answer.
func (s *story) run(t *testing.T, td *datadriven.TestData) string {
	t.Helper()
	from, ns, token, times := "192.0.2.1", "", "root", 1
	td.MaybeScanArgs(t, "from", &from)
	td.MaybeScanArgs(t, "ns", &ns)
	td.MaybeScanArgs(t, "token", &token)
	td.MaybeScanArgs(t, "times", &times)
	if td.Cmd == "advance" {
		d, err := time.ParseDuration(td.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		later := s.now.Load().Add(d)
		s.now.Store(&later)
		return ""
	}
	if td.Cmd == "settle" {
		s.settle(t)
		return ""
	}
	var last *httptest.ResponseRecorder
	var codes []string
	for range times {
		r := httptest.NewRequest(td.Cmd, "/v1/"+s.named(td.CmdArgs[0].String()), strings.NewReader(td.Input))
		r.RemoteAddr = from + ":1234"
		if strings.Contains(from, ":") {
			r.RemoteAddr = "[" + from + "]:1234"
		}
		if token != "none" {
			r.Header.Set("X-Vault-Token", s.named(token))
		}
		if ns != "" {
			r.Header.Set("X-Vault-Namespace", ns)
		}
		last = httptest.NewRecorder()
		s.h.ServeHTTP(last, r)
		codes = append(codes, fmt.Sprint(last.Code))
	}
	if td.HasArg("let") {
		var name, key string
		td.ScanArgs(t, "let", &name, &key)
		s.learn(name, key, last.Body.Bytes())
	}
	out := strings.Join(codes, " ") + "\n"
	for _, h := range []string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Retry-After"} {
		if v := last.Header().Get(h); v != "" {
			out += h + ": " + v + "\n"
		}
	}
	return out + s.told(t, td.HasArg("all"), last.Body.Bytes())
}

func (s *story) named(text string) string {
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(s.names))) { // a name before its beginning
		text = strings.ReplaceAll(text, "$"+name, s.names[name])
	}
	return text
}

// learn gives a name to a value of an answer: the first of its key.
func (s *story) learn(name, key string, body []byte) {
	s.t.Helper()
	_, after, ok := strings.Cut(string(body), `"`+key+`":"`)
	if !ok {
		s.t.Fatalf("no %q in %s", key, body)
	}
	s.names[name], _, _ = strings.Cut(after, `"`)
}

// told is the answer as a story shows it: errors, and all of it when asked.
func (s *story) told(t *testing.T, all bool, body []byte) string {
	t.Helper()
	if len(body) == 0 {
		return ""
	}
	var a struct {
		Data   json.RawMessage
		Errors []string
	}
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%q is no JSON: %v", body, err)
	}
	if !all {
		if len(a.Errors) == 0 {
			return ""
		}
		return strings.Join(a.Errors, "; ") + "\n"
	}
	text := string(a.Data)
	for name, value := range s.names {
		text = strings.ReplaceAll(text, value, "$"+name)
	}
	return text + "\n"
}

// racing says that the race detector is on, which allocates by itself.
var racing bool

// A request within its quota costs what one without any quota costs: its
// allocations are the same to the last one.
func TestAQuotaAllocatesNothing(t *testing.T) {
	s := openStory(t)
	s.want(s.do(s.root, http.MethodPost, "sys/mounts/q", `{"type":"kv"}`), 204)
	s.want(s.do(s.root, http.MethodPost, "q/a", `{"v":"1"}`), 204)
	read := func() float64 {
		r := httptest.NewRequest(http.MethodGet, "/v1/q/a", nil)
		r.Header.Set("X-Vault-Token", s.root)
		w := httptest.NewRecorder()
		return testing.AllocsPerRun(500, func() {
			w.Body.Reset()
			s.h.ServeHTTP(w, r)
		})
	}
	without := read()
	s.want(s.do(s.root, http.MethodPost, "sys/quotas/rate-limit/far", `{"rate":1,"path":"cubbyhole/"}`), 204)
	s.want(s.do(s.root, http.MethodPost, "sys/quotas/rate-limit/all", `{"rate":1e9}`), 204)
	s.want(s.do(s.root, http.MethodPost, "sys/quotas/rate-limit/q", `{"rate":1e9,"path":"q/a*"}`), 204)
	if with := read(); with > without && !racing {
		t.Errorf("a read makes %.1f allocations with a quota, %.1f without", with, without)
	}
}

// What is refused is on record if it is asked for, and only then.
func TestARefusalForItsRateIsRecorded(t *testing.T) {
	s := openStory(t)
	file := t.TempDir() + "/audit.log"
	s.want(s.do(s.root, http.MethodPost, "sys/audit/f", `{"type":"file","options":{"file_path":"`+file+`"}}`), 204)
	s.want(s.do(s.root, http.MethodPost, "sys/quotas/rate-limit/c", `{"rate":1,"path":"cubbyhole/"}`), 204)
	s.want(s.do(s.root, http.MethodGet, "cubbyhole/none", ""), 404)
	before := lines(t, file)
	s.want(s.do(s.root, http.MethodGet, "cubbyhole/none", ""), 429)
	if n := lines(t, file) - before; n != 0 {
		t.Errorf("%d lines of record for a refusal that is not to be recorded", n)
	}
	s.want(s.do(s.root, http.MethodPost, "sys/quotas/config", `{"enable_rate_limit_audit_logging":true}`), 204)
	before = lines(t, file)
	s.want(s.do(s.root, http.MethodPost, "cubbyhole/none", `{"a":`), 429)
	if n := lines(t, file) - before; n != 2 {
		t.Errorf("%d lines of record for a refusal, want that of the request and that of the answer", n)
	}
}

func lines(t *testing.T, file string) int {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}
