package wire_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	pathpkg "path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/wire"
)

func status(err error) int {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

func TestOnlyCanonicalPathsPass(t *testing.T) {
	for path, want := range map[string]int{
		"secret/a":        0,
		"secret/a/":       0,
		"secret/a b/ü":    0,
		"secret/...":      0,
		"secret/../sys":   400,
		"secret/./a":      400,
		"..":              400,
		"secret//a":       400,
		"/secret":         400,
		"secret/a\x00b":   400,
		"secret/a\nb":     400,
		"secret/\xff\xfe": 400,
	} {
		if got := status(wire.CheckPath(path)); got != want {
			t.Errorf("%q: status %d, want %d", path, got, want)
		}
	}
}

// A percent-escape is decoded once; what is then not canonical is refused.
func TestEscapesAreDecodedOnce(t *testing.T) {
	for target, want := range map[string]string{
		"/v1/secret/a%2Fb":     "secret/a/b",
		"/v1/secret/a%252Fb":   "secret/a%2Fb",
		"/v1/secret/%2e%2e/x":  "400",
		"/v1/secret/%2E%2E/x":  "400",
		"/v1/secret/a%2F%2Fb":  "400",
		"/v1/secret/a%00b":     "400",
		"/v1/secret/%ff":       "400",
		"/v1/secret/%252e%252": "secret/%2e%2",
	} {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			continue // net/http refuses it before us
		}
		r := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}, RemoteAddr: "127.0.0.1:1"}
		q, err := wire.Decode(r, wire.Limits{})
		switch {
		case want == "400" && status(err) != 400:
			t.Errorf("%s: %v, want 400", target, err)
		case want != "400" && (err != nil || q.Path != want):
			t.Errorf("%s: path %q (%v), want %q", target, q.Path, err, want)
		}
	}
}

func TestVerbs(t *testing.T) {
	for _, c := range []struct {
		method, target string
		op             engine.Op
		status         int
	}{
		{"GET", "/v1/a", engine.OpRead, 0},
		{"GET", "/v1/a?list=true", engine.OpList, 0},
		{"GET", "/v1/a?list=false", engine.OpRead, 0},
		{"GET", "/v1/a?list=maybe", 0, 400},
		{"LIST", "/v1/a", engine.OpList, 0},
		{"POST", "/v1/a", engine.OpWrite, 0},
		{"PUT", "/v1/a", engine.OpWrite, 0},
		{"PATCH", "/v1/a", engine.OpPatch, 0},
		{"DELETE", "/v1/a", engine.OpDelete, 0},
		{"TRACE", "/v1/a", 0, 405},
		{"GET", "/v2/a", 0, 404},
	} {
		q, err := wire.Decode(httptest.NewRequest(c.method, c.target, nil), wire.Limits{})
		if status(err) != c.status || err == nil && q.Op != c.op {
			t.Errorf("%s %s: op %v, %v", c.method, c.target, q.Op, err)
		}
	}
}

func TestBodiesWithinLimits(t *testing.T) {
	l := wire.Limits{MaxBody: 1 << 10, MaxDepth: 4, MaxString: 50, MaxFields: 3, MaxItems: 3}
	for body, want := range map[string]int{
		``:                                0,
		`{}`:                              0,
		` {"a":[1,2,3]} `:                 0,
		`null`:                            0,
		`{"a":1,"b":2,"c":3,"d":4}`:       400,
		`{"a":[1,2,3,4]}`:                 400,
		`{"a":{"b":{"c":{"d":{"e":1}}}}}`: 400,
		`{"a":"` + strings.Repeat("x", 51) + `"}`: 400,
		`{"a":`:            400,
		`[1]`:              400,
		`"text"`:           400,
		`{"a":1}{}`:        400,
		"{\"a\":\"\xff\"}": 400,
		`{"a":"` + strings.Repeat("x", 2000) + `"}`: 413,
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/a", strings.NewReader(body))
		q, err := wire.Decode(r, l)
		if err != nil {
			t.Fatal(err)
		}
		if got := status(q.ReadBody(httptest.NewRecorder(), l)); got != want {
			t.Errorf("%.40s: status %d, want %d", body, got, want)
		}
	}
}

func TestPatchNeedsItsContentType(t *testing.T) {
	for kind, want := range map[string]int{"application/merge-patch+json": 0, "application/json": 415, "": 400} {
		r := httptest.NewRequest(http.MethodPatch, "/v1/a", strings.NewReader(`{"a":1}`))
		r.Header.Set("Content-Type", kind)
		q, err := wire.Decode(r, wire.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := status(q.ReadBody(httptest.NewRecorder(), wire.Limits{})); got != want {
			t.Errorf("%q: status %d, want %d", kind, got, want)
		}
	}
}

// The envelope is valid JSON with every key, whatever the data.
func TestEnvelope(t *testing.T) {
	q := &wire.Request{ID: "id", Op: engine.OpRead}
	rep, err := wire.Envelope(q, &engine.RouteInfo{Flat: true}, "kv", &engine.Answer{Data: json.RawMessage(`{"a":"\""}`)}, []string{"w\n"})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(rep.Body, &got); err != nil {
		t.Fatalf("%s: %v", rep.Body, err)
	}
	for _, k := range []string{"request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth", "mount_type", "a"} {
		if got[k] == nil {
			t.Errorf("no %s in %s", k, rep.Body)
		}
	}
	for op, want := range map[engine.Op]int{engine.OpRead: 404, engine.OpWrite: 204, engine.OpDelete: 204} {
		rep, err := wire.Envelope(&wire.Request{Op: op}, &engine.RouteInfo{}, "", nil, nil)
		if got := status(err); err == nil && rep.Status != want || err != nil && got != want {
			t.Errorf("nothing, for %s: %v %v", op, rep, err)
		}
	}
}

// What is ours to mend is not told to the client.
func TestRefusalHidesCauses(t *testing.T) {
	if e := wire.Refusal(errors.New("password hunter2")); e.Status != 500 || strings.Contains(e.Error(), "hunter2") {
		t.Errorf("told %d %q", e.Status, e.Error())
	}
}

// A path that passes has one spelling: cut into its segments and put together
// again it is the same, and no segment is empty, a dot or two, or says anything
// but text. Only what ends it may be a slash.
func FuzzCheckPath(f *testing.F) {
	for _, p := range []string{"secret/data/a", "a//b", "a/../b", "./a", "a/.", "a/b/", "", "/", "a\x00b", "a\xffb", "a/%2e%2e/b", "ä/…", "a\x7f"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if wire.CheckPath(path) != nil {
			return
		}
		if !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			t.Errorf("%q passed", path)
		}
		segments := strings.Split(path, "/")
		for i, s := range segments {
			if s == "." || s == ".." || s == "" && i < len(segments)-1 {
				t.Errorf("%q passed with the segment %q", path, s)
			}
		}
		if trimmed := strings.TrimSuffix(path, "/"); trimmed != "" && pathpkg.Clean(trimmed) != trimmed {
			t.Errorf("%q passed, whose canonical form is %q", path, pathpkg.Clean(trimmed))
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("GET", "/v1/secret/data/a?list=true", "hvs.x", "60", "")
	f.Add("POST", "/v1/secret/%2e%2e/a", "", "-1", `{"a":[1,{"b":null}]}`)
	f.Add("PATCH", "/v1//", "\xff", "1h", `{"a":"\ud800"}`)
	f.Fuzz(func(t *testing.T, method, target, token, wrap, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{}, RemoteAddr: "1.2.3.4:5", ContentLength: int64(len(body))}
		r.Body = http.NoBody
		if body != "" {
			r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.Method, r.URL = method, u
		}
		r.Header.Set("X-Vault-Token", token)
		r.Header.Set("X-Vault-Wrap-TTL", wrap)
		q, err := wire.Decode(r, wire.Limits{})
		if err != nil {
			return
		}
		if wire.CheckPath(q.Path) != nil {
			t.Errorf("path %q passed", q.Path)
		}
		if err := q.ReadBody(httptest.NewRecorder(), wire.Limits{}); err == nil && q.Body != nil && !json.Valid(q.Body) {
			t.Errorf("body %q passed", q.Body)
		}
	})
}
