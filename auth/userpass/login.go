package userpass

import (
	"context"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

func loginRoutes() engine.Routes[Engine] {
	login := engine.VerifiedLogin("login/{username@}", (*Engine).look, (*Engine).verify, (*Engine).grant)
	return engine.Routes[Engine]{engine.Named(login.Doc("Log in by a password."), (*Engine).who)}
}

type loginRequest struct {
	Name     string `path:"username" doc:"Name of the user."`
	Password string `json:"password" secret:"true" doc:"The password."`
}

func (e *Engine) who(_ engine.View, req loginRequest) (engine.Who, error) {
	return engine.Who{Alias: strings.ToLower(req.Name)}, nil
}

// nobody is salt and hash of a password that nobody knows. A login with a name
// that nobody has is checked against it, so that it takes as long as any other.
const nobody = "EVPnVOnH996TPK.rwBTxBeZPo45EYrXMCwLfgUSPt34JTDZqKHnqu"

// look gives the hash to verify against, and "" when there is no such user.
func (e *Engine) look(v engine.View, req loginRequest) (string, error) {
	if req.Password == "" {
		return "", engine.Bad("missing password")
	}
	u, err := named(v, req.Name)
	if err != nil || u == nil {
		return "", err
	}
	return u.Hash, nil
}

// verify gives the hash that the password fits. It is the only slow part: it
// holds no transaction, and waits for its turn.
func (e *Engine) verify(ctx context.Context, req loginRequest, hash string) (string, error) {
	select {
	case e.turns <- struct{}{}:
		defer func() { <-e.turns }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	known := hash != "" && len(req.Password) <= maxPassword
	if !known {
		hash = e.nobody
	}
	password := []byte(req.Password)
	if e.compare([]byte(hash), password[:min(len(password), maxPassword)]) != nil || !known {
		return "", wrong()
	}
	return hash, nil
}

func wrong() error { return engine.Refused(engine.Bad("invalid username or password")) }

// grant is the token of a user whose password was verified, if it is still the
// one that was.
func (e *Engine) grant(tx engine.Tx, req loginRequest, hash string) (*engine.Grant, error) {
	u, err := named(tx, req.Name)
	if err != nil {
		return nil, err
	}
	if u == nil || u.Hash != hash {
		return nil, wrong()
	}
	if !engine.Within(u.BoundCIDRs, tx.Caller().Address) {
		return nil, engine.Denied()
	}
	return grantOf(strings.ToLower(req.Name), u), nil
}

func grantOf(name string, u *user) *engine.Grant {
	return &engine.Grant{
		Alias: name, DisplayName: name, Meta: map[string]string{"username": name},
		Held: map[string]string{"username": name}, Terms: u.TokenTerms,
	}
}

// renew goes by the user as they are now. A token whose policies are not theirs
// any more is not renewed: they are to log in again.
func (e *Engine) renew(v engine.View, was engine.Renewal) (*engine.Grant, error) {
	name := was.Held["username"]
	u, err := named(v, name)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return nil, engine.Bad("user %q does not exist during renewal", name)
	case !slices.Equal(withoutDefault(was.Policies), withoutDefault(u.Policies)):
		return nil, engine.Bad("policies have changed, not renewing")
	}
	return grantOf(name, u), nil
}

func withoutDefault(policies []string) []string {
	return slices.DeleteFunc(slices.Clone(policies), func(p string) bool { return p == "default" })
}
