package oidc

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/engine"
)

func redeemRoutes() engine.Routes[Store] {
	return engine.Routes[Store]{
		engine.Write("oidc/provider/{name}/token", redeem).Public().Bare().Doc("Change a code for an ID token and an access token."),
	}
}

type redemption struct {
	Provider     string `path:"name"`
	GrantType    string `json:"grant_type" doc:"authorization_code."`
	Code         string `json:"code" doc:"The code."`
	RedirectURI  string `json:"redirect_uri" doc:"That of the request for the code."`
	ClientID     string `json:"client_id" doc:"The client, unless it is in the Authorization header."`
	ClientSecret string `json:"client_secret" secret:"true" doc:"Its secret, unless that is in the Authorization header."`
	Verifier     string `json:"code_verifier" doc:"What the code's challenge was made of (PKCE)."`
}

type redeemed struct {
	AccessToken string          `json:"access_token"`
	ExpiresIn   engine.Duration `json:"expires_in"`
	IDToken     string          `json:"id_token"`
	TokenType   string          `json:"token_type"`
}

// accessPrefix marks access tokens, for people and for who looks for leaks.
const (
	accessPrefix = "hvo_access_"
	accessLength = 64
)

func redeem(s *Store, tx engine.Tx, q redemption) (*engine.Answer, error) {
	p, err := providers.Peek(tx, q.Provider)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, engine.Missing()
	}
	client, no, err := q.authenticate(tx, p)
	if err != nil || no != nil {
		return no, err
	}
	switch {
	case q.GrantType != "authorization_code":
		return refuse(http.StatusBadRequest, "unsupported_grant_type", "unsupported grant_type or parameter is empty value"), nil
	case q.Code == "":
		return refuse(http.StatusBadRequest, "invalid_request", "code parameter is required"), nil
	case q.RedirectURI == "":
		return refuse(http.StatusBadRequest, "invalid_request", "redirect_uri parameter is required"), nil
	}
	g, no, err := q.spend(tx, client)
	if err != nil || no != nil {
		return no, err
	}
	who, no, err := s.still(tx, p, client, g)
	if err != nil || no != nil {
		return no, err
	}
	return q.answer(s, tx, p, client, g, who)
}

// authenticate finds the client and has it prove itself.
func (q *redemption) authenticate(v engine.View, p *Provider) (*knownClient, *engine.Answer, error) {
	id, secret := q.ClientID, q.ClientSecret
	basic := false
	if name, password, ok := asked(v).BasicAuth(); ok {
		var nerr, perr error
		name, nerr = url.QueryUnescape(name) // RFC 6749, section 2.3.1
		password, perr = url.QueryUnescape(password)
		if nerr != nil || perr != nil || q.ClientSecret != "" || q.ClientID != "" && q.ClientID != name {
			return nil, refuse(http.StatusBadRequest, "invalid_request", "more than one way of client authentication"), nil //nolint:nilerr // told as OAuth tells it
		}
		id, secret, basic = name, password, true
	}
	if id == "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "client_id parameter is required"), nil
	}
	client, err := clientByID(v, id)
	if err != nil {
		return nil, nil, err
	}
	if client == nil || client.ClientType == confidential && subtle.ConstantTimeCompare([]byte(secret), []byte(client.Secret)) != 1 {
		no := refuse(http.StatusUnauthorized, "invalid_client", "client failed to authenticate")
		if basic {
			no.Header = http.Header{"Www-Authenticate": {"Basic"}}
		}
		return nil, no, nil
	}
	if !admits(p.AllowedClientIDs, client.ID) {
		return nil, refuse(http.StatusBadRequest, "invalid_client", "client is not authorized to use the provider"), nil
	}
	return client, nil, nil
}

// spend takes the code. It is gone whether or not the client gets anything for
// it; who comes with it a second time ends what it was changed for.
func (q *redemption) spend(tx engine.Tx, client *knownClient) (*grant, *engine.Answer, error) {
	invalid := func(why string) (*grant, *engine.Answer, error) {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", why), nil
	}
	at := codePath(q.Code)
	g, err := grantAt(tx, at)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case g == nil:
		return invalid("authorization grant is invalid or expired")
	case g.Spent != "":
		if g.ClientID == client.ID {
			forget(tx, g.Spent)
			forget(tx, at)
		}
		return invalid("authorization grant is invalid or expired")
	}
	forget(tx, at)
	switch {
	case g.ClientID != client.ID:
		return invalid("authorization code was not issued to the client")
	case g.Provider != q.Provider:
		return invalid("authorization code was not issued by the provider")
	case g.RedirectURI != q.RedirectURI:
		return invalid("redirect_uri does not match the redirect_uri used in the authorization request")
	case !g.proves(q.Verifier):
		return invalid("invalid code_verifier for token exchange")
	}
	return g, nil, nil
}

// still finds the entity of a code, if it may log in now.
func (s *Store) still(v engine.View, p *Provider, client *knownClient, g *grant) (*identity.Holder, *engine.Answer, error) {
	k, err := keys.Peek(v, client.Key)
	if err != nil {
		return nil, nil, err
	}
	if k == nil || !admits(k.AllowedClientIDs, client.ID) {
		return nil, refuse(http.StatusBadRequest, "invalid_client", "client is not authorized to use the key"), nil
	}
	who, err := s.entity(v, g.Entity)
	if err != nil {
		return nil, nil, err
	}
	if who == nil {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "identity entity is not found or disabled"), nil
	}
	if ok, err := client.assigned(v, loginOfHolder(who)); err != nil || !ok {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "identity entity not authorized by client assignment"), err
	}
	return who, nil, nil
}

func (q *redemption) answer(s *Store, tx engine.Tx, p *Provider, client *knownClient, g *grant, who *identity.Holder) (*engine.Answer, error) {
	made, conflict, err := scopeClaims(tx, g.Scopes, who)
	if err != nil {
		return nil, err
	}
	if conflict != "" {
		return refuse(http.StatusBadRequest, "invalid_scope", conflict), nil
	}
	access, err := s.draw(accessLength)
	if err != nil {
		return nil, err
	}
	access = accessPrefix + access
	ends := tx.Now().Add(time.Duration(client.AccessTokenTTL))
	if err := (&grant{Provider: g.Provider, ClientID: client.ID, Entity: who.ID, Scopes: g.Scopes, Expires: ends}).put(tx, accessPath(access)); err != nil {
		return nil, err
	}
	if err := (&grant{ClientID: client.ID, Expires: g.Expires, Spent: accessPath(access)}).put(tx, codePath(q.Code)); err != nil {
		return nil, err
	}
	token, err := s.mint(tx, client.Key, made, statement{Issuer: s.issuerOf(tx, q.Provider, p), Subject: who.ID, Audience: client.ID,
		TTL: time.Duration(client.IDTokenTTL), Nonce: g.Nonce, AuthTime: g.AuthTime, Code: q.Code, Access: access})
	if err != nil {
		return nil, err
	}
	return &engine.Answer{Data: &redeemed{access, client.AccessTokenTTL, token, "Bearer"}}, nil
}

// scopeClaims are the claims of scopes for an entity. Two scopes that make the
// same claim are a conflict, which is told in words.
func scopeClaims(v engine.View, names []string, who *identity.Holder) (all claims, conflict string, err error) {
	all = claims{}
	for _, name := range names {
		scope, err := scopes.Peek(v, name)
		if err != nil {
			return nil, "", err
		}
		if scope == nil {
			continue
		}
		made, err := claimsOf(scope.Template, who.Subject, v.Now())
		if err != nil {
			return nil, "", err
		}
		for claim, value := range made {
			if _, taken := all[claim]; taken {
				return nil, fmt.Sprintf("found scopes with conflicting top-level claim: claim %q in scope %q", claim, name), nil
			}
			all[claim] = value
		}
	}
	return all, "", nil
}
