package oidc

import (
	"net/http"

	"github.com/fastness-dev/fastness/engine"
)

func userinfoRoutes() engine.Routes[Store] {
	const at, doc = "oidc/provider/{name}/userinfo", "Read who an access token is about."
	return engine.Routes[Store]{
		engine.Read(at, userinfo).Public().Bare().Doc(doc),
		engine.Compute(at, userinfo).Public().Bare().Doc(doc),
	}
}

// unknownBearer refuses an access token without a word why (RFC 6750).
func unknownBearer() *engine.Answer {
	no := refuse(http.StatusUnauthorized, "invalid_token", "permission denied")
	no.Header = http.Header{"Www-Authenticate": {`Bearer error="invalid_token",error_description="permission denied"`}}
	return no
}

func userinfo(s *Store, v engine.View, q byName) (*engine.Answer, error) {
	p, err := providers.Peek(v, q.Name)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, engine.Missing()
	}
	g, err := grantAt(v, accessPath(asked(v).RawToken()))
	if err != nil {
		return nil, err
	}
	if g == nil || g.Provider != q.Name {
		return unknownBearer(), nil
	}
	client, err := clientByID(v, g.ClientID)
	if err != nil {
		return nil, err
	}
	if client == nil || !admits(p.AllowedClientIDs, client.ID) {
		return unknownBearer(), nil
	}
	who, err := s.entity(v, g.Entity)
	if err != nil {
		return nil, err
	}
	if who == nil {
		return unknownBearer(), nil
	}
	if ok, err := client.assigned(v, loginOfHolder(who)); err != nil || !ok {
		return unknownBearer(), err
	}
	made, conflict, err := scopeClaims(v, g.Scopes, who)
	if err != nil {
		return nil, err
	}
	if conflict != "" {
		return refuse(http.StatusBadRequest, "invalid_scope", conflict), nil
	}
	if err := made.set("sub", who.ID); err != nil {
		return nil, err
	}
	return &engine.Answer{Data: made}, nil
}
