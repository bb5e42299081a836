package oidc

import (
	"net/http"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/engine"
)

func authorizeRoutes() engine.Routes[Store] {
	const at, doc = "oidc/provider/{name}/authorize", "Allow a client to know who the caller is, by a code."
	return engine.Routes[Store]{
		engine.Issue(at, authorize).Bare().Doc(doc),
		engine.Write(at, authorize).Bare().Doc(doc),
	}
}

type authorization struct {
	Provider     string `path:"name"`
	ResponseType string `json:"response_type" doc:"code."`
	ClientID     string `json:"client_id" doc:"The client."`
	RedirectURI  string `json:"redirect_uri" doc:"Where the client wants the code; one of its own."`
	Scope        string `json:"scope" doc:"openid, and more scopes, with spaces between."`
	State        string `json:"state" doc:"Comes back with the code."`
	Nonce        string `json:"nonce" doc:"Comes back in the ID token."`
	Challenge    string `json:"code_challenge" doc:"What the code's verifier is compared with (PKCE)."`
	Method       string `json:"code_challenge_method" default:"plain" doc:"plain or S256."`
	MaxAge       *int   `json:"max_age" doc:"How many seconds ago the login may have been."`
	Prompt       string `json:"prompt" doc:"none, login, consent or select_account: for user interfaces."`
	Request      string `json:"request" doc:"Not supported."`
	RequestURI   string `json:"request_uri" doc:"Not supported."`
}

// oauthError is an error as RFC 6749 words it.
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	State       string `json:"state,omitempty"`
}

// refuse is an answer, not an error: what a refusal has spent stays spent.
func refuse(status int, code, description string) *engine.Answer {
	return &engine.Answer{Status: status, Data: &oauthError{Code: code, Description: description}}
}

func (q *authorization) refuse(code, description string) *engine.Answer {
	return &engine.Answer{Status: http.StatusBadRequest, Data: &oauthError{code, description, q.State}}
}

type authorized struct {
	Code  string `json:"code"`
	State string `json:"state"`
}

func authorize(s *Store, tx engine.Tx, q authorization) (*engine.Answer, error) {
	p, err := providers.Peek(tx, q.Provider)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, engine.Missing()
	}
	client, no, err := q.client(tx, p)
	if err != nil || no != nil {
		return no, err
	}
	if no := q.check(client); no != nil {
		return no, nil
	}
	g, no, err := q.grant(s, tx, p, client)
	if err != nil || no != nil {
		return no, err
	}
	code, err := s.draw(codeLength)
	if err != nil {
		return nil, err
	}
	if err := g.put(tx, codePath(code)); err != nil {
		return nil, err
	}
	return &engine.Answer{Data: &authorized{code, q.State}}, nil
}

const (
	codeLength = 32
	maxNonce   = 1024 // bytes
)

// client finds who asks. Nothing may be sent to a redirect URI before this.
func (q *authorization) client(v engine.View, p *Provider) (*knownClient, *engine.Answer, error) {
	if q.ClientID == "" {
		return nil, q.refuse("invalid_request", "client_id parameter is required"), nil
	}
	client, err := clientByID(v, q.ClientID)
	switch {
	case err != nil:
		return nil, nil, err
	case client == nil:
		return nil, q.refuse("invalid_client_id", "client with client_id not found"), nil
	case !admits(p.AllowedClientIDs, client.ID):
		return nil, q.refuse("unauthorized_client", "client is not authorized to use the provider"), nil
	case q.RedirectURI == "":
		return nil, q.refuse("invalid_request", "redirect_uri parameter is required"), nil
	case !redirects(client.RedirectURIs, q.RedirectURI):
		return nil, q.refuse("invalid_redirect_uri", "redirect_uri is not allowed for the client"), nil
	}
	return client, nil, nil
}

// check looks at what is asked for. It returns nil when that can be had.
func (q *authorization) check(client *knownClient) *engine.Answer {
	prompts := strings.Fields(q.Prompt)
	switch {
	case q.Request != "":
		return q.refuse("request_not_supported", "request parameter is not supported")
	case q.RequestURI != "":
		return q.refuse("request_uri_not_supported", "request_uri parameter is not supported")
	case !slices.Contains(strings.Fields(q.Scope), openID):
		return q.refuse("invalid_request", `scope parameter must contain the "openid" value`)
	case q.ResponseType == "":
		return q.refuse("invalid_request", "response_type parameter is required")
	case q.ResponseType != "code":
		return q.refuse("unsupported_response_type", "unsupported response_type value")
	case q.MaxAge != nil && *q.MaxAge < 0:
		return q.refuse("invalid_request", "max_age parameter must not be negative")
	case len(q.Nonce) > maxNonce: // it is kept, and everybody may ask for codes
		return q.refuse("invalid_request", "nonce parameter is too long")
	case slices.Contains(prompts, "none") && len(prompts) > 1,
		slices.ContainsFunc(prompts, func(p string) bool { return !slices.Contains(promptValues, p) }):
		return q.refuse("invalid_request", "invalid prompt value")
	case q.Challenge == "" && client.ClientType == public:
		return q.refuse("invalid_request", "PKCE is required for public clients")
	case q.Challenge == "":
		return nil
	case q.Method != plainChallenge && q.Method != hashedChallenge:
		return q.refuse("invalid_request", "invalid code_challenge_method")
	case !isVerifier(q.Challenge):
		return q.refuse("invalid_request", "invalid code_challenge")
	}
	return nil
}

var promptValues = []string{"none", "login", "consent", "select_account"}

// grant is what the caller allows the client, if they may use it.
func (q *authorization) grant(s *Store, tx engine.Tx, p *Provider, client *knownClient) (*grant, *engine.Answer, error) {
	who, err := s.caller(tx)
	if err != nil {
		return nil, nil, err
	}
	if who == nil {
		return nil, q.refuse("access_denied", "identity entity must be associated with the request"), nil
	}
	if ok, err := client.assigned(tx, loginOfHolder(who)); err != nil || !ok {
		return nil, q.refuse("access_denied", "identity entity not authorized by client assignment"), err
	}
	g := &grant{Provider: q.Provider, ClientID: client.ID, Entity: who.ID, RedirectURI: q.RedirectURI, Nonce: q.Nonce,
		Expires: tx.Now().Add(codeTTL)}
	if q.Challenge != "" {
		g.Challenge, g.Method = q.Challenge, q.Method
	}
	for _, scope := range unique(strings.Fields(q.Scope)) {
		if slices.Contains(p.ScopesSupported, scope) { // others are ignored
			g.Scopes = append(g.Scopes, scope)
		}
	}
	if q.MaxAge != nil {
		if g.AuthTime, err = s.o.AuthTime(tx); err != nil {
			return nil, nil, err
		}
		if tx.Now().Unix()-g.AuthTime.Unix() > int64(*q.MaxAge) { // in whole seconds, as it is asked for and told
			return nil, q.refuse("max_age_violation", "active re-authentication is required by max_age"), nil
		}
	}
	_, conflict, err := scopeClaims(tx, g.Scopes, who)
	if err != nil {
		return nil, nil, err
	}
	if conflict != "" {
		return nil, q.refuse("invalid_scope", conflict), nil
	}
	return g, nil, nil
}

func loginOfHolder(h *identity.Holder) loginOf {
	who := loginOf{EntityID: h.ID}
	for _, g := range h.Subject.Groups {
		who.Groups = append(who.Groups, g.ID)
	}
	return who
}
