package oidc_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/go-jose/go-jose/v4"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/oidc"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

const address = "https://vault.example:8200"

// A world is identity/ with its part oidc, and a request's headers.
type world struct {
	*enginetest.Mount
	t    testing.TB
	ids  *identity.Store
	last string // token

	bearer         string
	name, password string // of basic authentication
	login          time.Time
}

func (w *world) RawToken() string { return w.bearer }
func (w *world) BasicAuth() (name, password string, ok bool) {
	return w.name, w.password, w.name != ""
}

func newWorld(t testing.TB) *world {
	w := &world{t: t}
	entities, pairs := 0, 0
	w.ids = identity.New(identity.Options{
		NewID: func() string { entities++; return "id" + strconv.Itoa(entities) },
		Mount: func(*storage.Tx, string) (*identity.Mount, error) { return &identity.Mount{Accessor: "pass"}, nil },
	})
	part := oidc.New(oidc.Options{Identities: w.ids, Address: address, Rand: rand.NewChaCha8([32]byte{1}),
		NewID:    func() string { pairs++; return "pair" + strconv.Itoa(pairs) },
		AuthTime: func(engine.View) (time.Time, error) { return w.login, nil },
	}).Part()
	w.Mount = enginetest.New(t, w.ids.Type(part), nil)
	w.Data, w.login = w, w.Now()
	return w
}

// ask sends a request and decodes what comes back.
func ask[T any](w *world, status int, op engine.Op, path, body string) T {
	w.t.Helper()
	r := w.Do(op, path, body)
	if r.Status != status {
		w.t.Fatalf("%s %s %s: %d %s, want %d", op, path, body, r.Status, r.Body, status)
	}
	var v T
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &v); err != nil {
			w.t.Fatalf("%s %s: %v", op, path, err)
		}
	}
	return v
}

func (w *world) set(path string, fields map[string]any) {
	w.t.Helper()
	b, err := json.Marshal(fields)
	if err != nil {
		w.t.Fatal(err)
	}
	ask[any](w, 204, engine.OpWrite, "oidc/"+path, string(b))
}

// person makes an entity and gives its id.
func (w *world) person(name string) string {
	w.t.Helper()
	b, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		w.t.Fatal(err)
	}
	return ask[struct{ ID string }](w, 200, engine.OpWrite, "entity", string(b)).ID
}

// published are the keys at a place, as whoever verifies gets them.
func (w *world) published(at string) jose.JSONWebKeySet {
	w.t.Helper()
	return ask[jose.JSONWebKeySet](w, 200, engine.OpRead, at+"/.well-known/keys", "")
}

// verified is what a token says, by the keys at a place alone.
func (w *world) verified(at, token string) (header jose.Header, claims map[string]any, err error) {
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA})
	if err != nil {
		return header, nil, err
	}
	header = parsed.Signatures[0].Header
	found := w.published(at)
	for _, key := range found.Key(header.KeyID) {
		if raw, err := parsed.Verify(key); err == nil && key.Algorithm == header.Algorithm {
			return header, claims, json.Unmarshal(raw, &claims)
		}
	}
	return header, nil, fmt.Errorf("%s is not published", header.KeyID)
}

var ops = map[string]engine.Op{"read": engine.OpRead, "list": engine.OpList, "write": engine.OpWrite, "delete": engine.OpDelete}

// TestStories runs transcripts. A block begins with `new`, for a fresh store, or
// `do`; its lines are
//
//	read PATH   list PATH   delete PATH   write PATH JSON
//	caller ENTITY          whose token the requests that follow come with
//	draw ROLE              an identity token: its header and claims
//	verify                 the last one, by what is published
//	introspect [CLIENT]    the last one, by the server
//	keys [PROVIDER]        what is published
//	advance TIME
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		var w *world
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				w = newWorld(t)
			}
			w.t = t
			var out strings.Builder
			for line := range strings.SplitSeq(d.Input, "\n") {
				if line = strings.TrimSpace(line); line != "" {
					out.WriteString(w.line(line))
				}
			}
			return out.String()
		})
	})
}

func (w *world) line(line string) string {
	verb, rest, _ := strings.Cut(line, " ")
	if op, ok := ops[verb]; ok {
		target, body, _ := strings.Cut(rest, " ")
		return w.Do(op, target, body).String()
	}
	switch verb {
	case "caller":
		w.Caller.EntityID = rest
		return ""
	case "advance":
		d, err := time.ParseDuration(rest)
		if err == nil {
			err = w.Advance(d)
		}
		if err != nil {
			return err.Error() + "\n"
		}
		return ""
	case "draw":
		return w.draw(rest)
	case "verify":
		if _, _, err := w.verified("oidc", w.last); err != nil {
			return err.Error() + "\n"
		}
		return "ok\n"
	case "introspect":
		b, err := json.Marshal(map[string]string{"token": w.last, "client_id": rest})
		if err != nil {
			w.t.Fatal(err)
		}
		return w.Do(engine.OpWrite, "oidc/introspect", string(b)).String()
	case "keys":
		at := "oidc"
		if rest != "" {
			at += "/provider/" + rest
		}
		var out strings.Builder
		for _, k := range w.published(at).Keys {
			fmt.Fprintf(&out, "%s %s %s %s public=%t\n", k.KeyID, k.Algorithm, k.Use, strings.TrimPrefix(fmt.Sprintf("%T", k.Key), "*"), k.IsPublic())
		}
		return out.String()
	}
	return "unknown verb " + verb + "\n"
}

func (w *world) draw(role string) string {
	r := w.Do(engine.OpRead, "oidc/token/"+role, "")
	if r.Status != 200 {
		return r.String()
	}
	var drawn struct {
		Token string
		TTL   int
	}
	if err := json.Unmarshal(r.Body, &drawn); err != nil {
		return err.Error()
	}
	w.last = drawn.Token
	parts := strings.Split(drawn.Token, ".")
	head, herr := base64.RawURLEncoding.DecodeString(parts[0])
	claims, cerr := base64.RawURLEncoding.DecodeString(parts[1])
	if herr != nil || cerr != nil {
		return "no token: " + drawn.Token
	}
	return fmt.Sprintf("%s\n%s\n", head, claims)
}

// view is a look at storage.
func (w *world) view(f func(*storage.Tx) error) {
	w.t.Helper()
	if err := w.Store.View(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

func form(values map[string]string) string {
	q := url.Values{}
	for k, v := range values {
		q.Set(k, v)
	}
	return q.Encode()
}
