package server_test

import (
	"context"
	"net/http"
	"regexp"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/server"
)

// A gate is an auth method that notes what is run of it.
type gate struct {
	looked, verified, granted int
	bump                      func() // runs in the first grant's transaction
}

type gateRequest struct {
	Name string `path:"name"`
	Word string `json:"word" secret:"true"`
}

type bumpRequest struct{}

func (g *gate) look(v engine.View, req gateRequest) (string, error) {
	g.looked++
	if req.Word == "" {
		return "", engine.Bad("missing word")
	}
	return "open", nil
}

func (g *gate) verify(_ context.Context, req gateRequest, want string) (string, error) {
	g.verified++
	if req.Word != want {
		return "", engine.Refused(engine.Bad("wrong word"))
	}
	return req.Name, nil
}

func (g *gate) who(_ engine.View, req gateRequest) (engine.Who, error) {
	return engine.Who{Alias: req.Name}, nil
}

func (g *gate) grant(tx engine.Tx, _ gateRequest, name string) (*engine.Grant, error) {
	g.granted++
	if _, err := tx.Get("row"); err != nil {
		return nil, err
	}
	if g.granted == 1 && g.bump != nil {
		g.bump()
	}
	return &engine.Grant{DisplayName: name, Terms: engine.TokenTerms{Policies: []string{"p"}}}, nil
}

func (g *gate) write(tx engine.Tx, _ bumpRequest) (engine.None, error) {
	tx.Put("row", []byte("x"))
	return engine.None{}, nil
}

func (g *gate) typ() engine.Type {
	return (&engine.Spec[gate]{Name: "userpass", Kind: engine.Auth, // of a type that locks out
		Open: func(engine.Mount) (*gate, error) { return g, nil },
		Routes: engine.Routes[gate]{
			engine.Named(engine.VerifiedLogin("login/{name}", (*gate).look, (*gate).verify, (*gate).grant), (*gate).who),
			engine.Write("bump", (*gate).write),
		}}).Type()
}

// What a login asks others, or spends time on, is done once, however often a
// conflict repeats its transaction, and not at all when it cannot be tried.
func TestALoginIsVerifiedOnce(t *testing.T) {
	g := &gate{}
	w := openWith(t, func(o *server.Options) { o.Engines = append(o.Engines, g.typ()) })
	w.want(w.do(w.root, http.MethodPost, "sys/auth/gate", `{"type":"userpass"}`), 204)
	g.bump = func() { w.want(w.do(w.root, http.MethodPost, "auth/gate/bump", ""), 204) }
	a := w.want(w.do("", http.MethodPost, "auth/gate/login/ann", `{"word":"open"}`), 200)
	if g.verified != 1 || g.granted != 2 {
		t.Errorf("verified %d times and granted %d times, want 1 and 2", g.verified, g.granted)
	}
	w.want(w.do(a.Auth.ClientToken, http.MethodGet, "auth/token/lookup-self", ""), 200)
	for body, status := range map[string]int{`{"word":"shut"}`: 400, `{}`: 400, `{"word":{}}`: 400, `{`: 400} {
		w.want(w.do("", http.MethodPost, "auth/gate/login/ann", body), status)
	}
	if g.verified != 2 || g.granted != 2 {
		t.Errorf("refused logins: verified %d times and granted %d times, want 2 and 2", g.verified, g.granted)
	}
	wrapped := w.want(w.do("", http.MethodPost, "auth/gate/login/ann", `{"word":"open"}`, "X-Vault-Wrap-TTL", "60"), 200)
	if wrapped.WrapInfo.Token == "" || wrapped.Auth.ClientToken != "" {
		t.Errorf("a wrapped login answers %+v", wrapped)
	}
}

// Who is locked out is not verified: guessing on costs the server nothing.
func TestWhoIsLockedOutIsNotVerified(t *testing.T) {
	g := &gate{}
	w := openWith(t, func(o *server.Options) { o.Engines = append(o.Engines, g.typ()) })
	w.want(w.do(w.root, http.MethodPost, "sys/auth/gate", `{"type":"userpass"}`), 204)
	for range 5 {
		w.want(w.do("", http.MethodPost, "auth/gate/login/ann", `{"word":"shut"}`), 400)
	}
	w.want(w.do("", http.MethodPost, "auth/gate/login/ann", `{"word":"open"}`), 403)
	if g.verified != 5 || g.granted != 0 {
		t.Errorf("verified %d times and granted %d times, want 5 and 0", g.verified, g.granted)
	}
	w.want(w.do("", http.MethodPost, "auth/gate/login/bob", `{"word":"open"}`), 200)
}

type drawRequest struct {
	Policy string `json:"policy"`
}

type drawn struct {
	Password string `json:"password"`
}

func (g *gate) draw(v engine.View, req drawRequest) (*drawn, error) {
	p, err := v.Password(req.Policy)
	return &drawn{p}, err
}

// An engine draws passwords by the policies that sys keeps, without seeing them.
func TestAnEngineDrawsPasswords(t *testing.T) {
	typ := (&engine.Spec[gate]{Name: "gate", Kind: engine.Secret, Routes: engine.Routes[gate]{engine.Compute("draw", (*gate).draw)}}).Type()
	w := openWith(t, func(o *server.Options) { o.Engines = append(o.Engines, typ) })
	w.want(w.do(w.root, http.MethodPost, "sys/mounts/gate", `{"type":"gate"}`), 204)
	w.want(w.do(w.root, http.MethodPut, "sys/policies/password/pin", `{"policy":"length = 6\nrule \"charset\" { charset = \"0123456789\" }"}`), 204)
	for policy, shape := range map[string]string{"pin": `^\{"password":"[0-9]{6}"\}$`, "": `^\{"password":"[a-zA-Z0-9-]{20}"\}$`} {
		a := w.want(w.do(w.root, http.MethodPost, "gate/draw", `{"policy":"`+policy+`"}`), 200)
		if !regexp.MustCompile(shape).Match(a.Data) {
			t.Errorf("by %q: %s", policy, a.Data)
		}
	}
	a := w.want(w.do(w.root, http.MethodPost, "gate/draw", `{"policy":"none"}`), 400)
	if len(a.Errors) != 1 || a.Errors[0] != `password policy "none" does not exist` {
		t.Errorf("by none: %q", a.Errors)
	}
}
