package oidc

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/fastness-dev/fastness/engine"
)

func tokenRoutes() engine.Routes[Store] {
	return engine.Routes[Store]{
		engine.Read("oidc/token/{name}", drawToken).Doc("Get an identity token of a role."),
		engine.Compute("oidc/introspect", introspect).Bare().Doc("Look whether an identity token is valid."),
	}
}

type byName struct {
	Name string `path:"name"`
}

type tokenAnswer struct {
	ClientID string          `json:"client_id"`
	Token    string          `json:"token"`
	TTL      engine.Duration `json:"ttl"`
}

func drawToken(s *Store, v engine.View, q byName) (*tokenAnswer, error) {
	role, err := roles.Peek(v, q.Name)
	if err != nil {
		return nil, err
	}
	if role == nil {
		return nil, engine.Bad("role %q not found", q.Name)
	}
	k, err := keys.Peek(v, role.Key)
	if err != nil {
		return nil, err
	}
	switch {
	case k == nil:
		return nil, engine.Bad("key %q not found", role.Key)
	case !admits(k.AllowedClientIDs, role.ClientID):
		return nil, engine.Bad("the key %q does not list the client ID of the role %q as an allowed client ID", role.Key, q.Name)
	}
	who, err := s.caller(v)
	if err != nil {
		return nil, err
	}
	if who == nil {
		return nil, engine.Bad("no entity associated with the request's token")
	}
	made, err := claimsOf(role.Template, who.Subject, v.Now())
	if err != nil {
		return nil, err
	}
	issuer, err := s.issuer(v)
	if err != nil {
		return nil, err
	}
	token, err := s.mint(v, role.Key, made, statement{Issuer: issuer, Subject: who.ID, Audience: role.ClientID, TTL: time.Duration(role.TTL)})
	if err != nil {
		return nil, err
	}
	return &tokenAnswer{role.ClientID, token, role.TTL}, nil
}

// A statement is what the server says of a token that it signs.
type statement struct {
	Issuer, Subject, Audience string
	TTL                       time.Duration
	Nonce                     string    // "" is none
	AuthTime                  time.Time // zero is none
	Code, Access              string    // of which hashes are told; "" is none
}

// mint signs claims with a key that has a ring. The statement's take the place
// of what a template says of them.
func (s *Store) mint(v engine.View, key string, made claims, said statement) (string, error) {
	r, err := rings(v).Peek(key)
	if err != nil {
		return "", err
	}
	if r == nil {
		return "", fmt.Errorf("key %s has no pairs", key)
	}
	namespace, err := s.o.NamespaceID(whole(v))
	if err != nil {
		return "", err
	}
	a, err := algorithmOf(r.Now.Algorithm)
	if err != nil {
		return "", err
	}
	type claim struct {
		name  string
		value any
	}
	all := []claim{{"iss", said.Issuer}, {"sub", said.Subject}, {"aud", said.Audience}, {"namespace", namespace},
		{"iat", v.Now().Unix()}, {"exp", v.Now().Add(said.TTL).Unix()}}
	if said.Nonce != "" {
		all = append(all, claim{"nonce", said.Nonce})
	}
	if !said.AuthTime.IsZero() {
		all = append(all, claim{"auth_time", said.AuthTime.Unix()})
	}
	if said.Code != "" {
		all = append(all, claim{"c_hash", halfHash(a, said.Code)}, claim{"at_hash", halfHash(a, said.Access)})
	}
	for _, name := range reserved {
		delete(made, name)
	}
	for _, c := range all {
		if err := made.set(c.name, c.value); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(made)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	return r.Now.sign(b)
}

type introspection struct {
	Token    string `json:"token" doc:"The identity token."`
	ClientID string `json:"client_id" doc:"The audience that it must have, if any."`
}

type introspected struct {
	Active bool   `json:"active"`
	Error  string `json:"error,omitempty"`
}

func introspect(s *Store, v engine.View, q introspection) (*introspected, error) {
	no := func(format string, args ...any) (*introspected, error) {
		return &introspected{Error: fmt.Sprintf(format, args...)}, nil
	}
	allowed := make([]jose.SignatureAlgorithm, len(algorithms))
	for i := range algorithms {
		allowed[i] = algorithms[i].name
	}
	token, err := jose.ParseSignedCompact(q.Token, allowed)
	if err != nil {
		return no("error parsing token: %s", err)
	}
	raw, err := verify(v, token)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return no("unable to validate the token signature")
	}
	var said jwt.Claims
	if err := json.Unmarshal(raw, &said); err != nil {
		return no("error parsing claims: %s", err)
	}
	issuer, err := s.issuer(v)
	if err != nil {
		return nil, err
	}
	want := jwt.Expected{Issuer: issuer, Time: v.Now()}
	if q.ClientID != "" {
		want.AnyAudience = jwt.Audience{q.ClientID}
	}
	err = said.ValidateWithLeeway(want, 0)
	if err == nil && !v.Now().Before(said.Expiry.Time()) { // at its end a token has ended
		err = jwt.ErrExpired
	}
	if err != nil {
		return no("error validating claims: %s", err)
	}
	who, err := s.entity(v, said.Subject)
	if err != nil {
		return nil, err
	}
	if who == nil {
		return no("entity was not found")
	}
	return &introspected{Active: true}, nil
}
