package party

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// An app is a web application. It holds what one login needs between its start
// and its end.
type app struct {
	ctx      context.Context // with the HTTP client that the library is to use
	provider *oidc.Provider
	config   oauth2.Config
	pkce     bool

	state, nonce, verifier string
	last                   *oauth2.Token
}

// A visitor is what the application learns of who logged in.
type visitor struct {
	Subject, Username string
	Info              map[string]any
}

// start sends a visitor to the provider.
func (a *app) start(w http.ResponseWriter, r *http.Request) {
	a.state, a.nonce, a.verifier = oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.nonce)}
	if a.pkce {
		options = append(options, oauth2.S256ChallengeOption(a.verifier))
	}
	http.Redirect(w, r, a.config.AuthCodeURL(a.state, options...), http.StatusFound)
}

// finish takes the visitor back, with a code.
func (a *app) finish(w http.ResponseWriter, r *http.Request) {
	v, err := a.admit(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if err := json.NewEncoder(w).Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (a *app) admit(r *http.Request) (*visitor, error) {
	if r.URL.Query().Get("state") != a.state {
		return nil, errors.New("a login that was not begun here")
	}
	var options []oauth2.AuthCodeOption
	if a.pkce {
		options = append(options, oauth2.VerifierOption(a.verifier))
	}
	token, err := a.config.Exchange(a.ctx, r.URL.Query().Get("code"), options...)
	if err != nil {
		return nil, fmt.Errorf("exchange: %w", err)
	}
	a.last = token
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("no ID token")
	}
	id, err := a.provider.VerifierContext(a.ctx, &oidc.Config{ClientID: a.config.ClientID}).Verify(a.ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	if id.Nonce != a.nonce {
		return nil, errors.New("another's nonce")
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		return nil, fmt.Errorf("verify the access token: %w", err)
	}
	v := &visitor{Subject: id.Subject}
	var claims struct{ Username string }
	if err := id.Claims(&claims); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	v.Username = claims.Username
	info, err := a.provider.UserInfo(a.ctx, a.config.TokenSource(a.ctx, token))
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	if info.Subject != id.Subject {
		return nil, errors.New("userinfo is about another")
	}
	return v, info.Claims(&v.Info)
}
