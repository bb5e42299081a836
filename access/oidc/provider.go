package oidc

import (
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
)

// A Scope is a name for claims that a client may ask for.
type Scope struct {
	Template    string `json:"template" doc:"Its claims, as JSON or base64 of it."`
	Description string `json:"description" doc:"What it is for."`
}

const openID = "openid" // the scope that every request has

var scopes = engine.Collection[Store, Scope]{Path: "oidc/scope", Noun: "scope"}

func scopeRoutes() engine.Routes[Store] {
	c := scopes
	c.Check = func(_ *Store, _ engine.Tx, item *engine.Item[Scope]) error {
		if item.Name == openID {
			return engine.Bad("the %q scope name is reserved", openID)
		}
		if item.Value.Template = decodeTemplate(item.Value.Template); item.Value.Template == "" {
			return nil
		}
		return checkTemplate(item.Value.Template)
	}
	c.Remove = func(_ *Store, tx engine.Tx, item *engine.Item[Scope]) error {
		var of []string
		err := each(&providers, tx, func(name string, p *Provider) error {
			if slices.Contains(p.ScopesSupported, item.Name) {
				of = append(of, name)
			}
			return nil
		})
		if err == nil && len(of) > 0 {
			err = referenced("scope", item.Name, "providers", of)
		}
		return err
	}
	return c.Routes()
}

// A Provider is an OpenID provider: an issuer, the clients that may use it, and
// what these may ask for.
type Provider struct {
	Issuer           string   `json:"issuer" doc:"Scheme, host and port that the issuer begins with; empty is the cluster's address."`
	AllowedClientIDs []string `json:"allowed_client_ids" doc:"Clients that may use it; * is all."`
	ScopesSupported  []string `json:"scopes_supported" doc:"Scopes that may be asked for, besides openid."`
}

const defaultProvider = "default"

var providers = engine.Collection[Store, Provider]{Path: "oidc/provider", Noun: "provider",
	Given: map[string]Provider{defaultProvider: {"", []string{"*"}, []string{}}}}

func providerRoutes() engine.Routes[Store] {
	c := providers
	c.Check = checkProvider
	c.Remove = func(_ *Store, _ engine.Tx, item *engine.Item[Provider]) error {
		if item.Name == defaultProvider {
			return engine.Bad("deletion of OIDC provider %q not allowed", defaultProvider)
		}
		return nil
	}
	c.Show = func(s *Store, v engine.View, item *engine.Item[Provider]) (any, error) {
		return s.showProvider(v, item.Name, &item.Value), nil
	}
	return append(c.Routes()[1:], // the list is its own
		engine.List(c.Path, listProviders).Doc("List every provider, or those that a client may use."),
		engine.Read("oidc/provider/{name}/.well-known/openid-configuration", providerDiscovery).Public().Bare().Doc("What clients of a provider need to know."),
		engine.Read("oidc/provider/{name}/.well-known/keys", providerKeys).Public().Bare().Doc("The public keys of a provider."))
}

// showProvider is a provider with the issuer that it has.
func (s *Store) showProvider(v engine.View, name string, p *Provider) *Provider {
	shown := *p
	shown.Issuer = s.issuerOf(v, name, p)
	return &shown
}

type providersOf struct {
	ClientID string `json:"allowed_client_id" doc:"Client that may use them; empty is any."`
}

func listProviders(s *Store, v engine.View, q providersOf) (engine.Keys, error) {
	keys := engine.Keys{Info: map[string]any{}}
	err := each(&providers, v, func(name string, p *Provider) error {
		if q.ClientID == "" || admits(p.AllowedClientIDs, q.ClientID) {
			keys.Keys, keys.Info[name] = append(keys.Keys, name), s.showProvider(v, name, p)
		}
		return nil
	})
	return keys, err
}

func checkProvider(_ *Store, tx engine.Tx, item *engine.Item[Provider]) error {
	p := &item.Value
	if err := checkIssuer(p.Issuer); err != nil {
		return err
	}
	p.AllowedClientIDs, p.ScopesSupported = unique(p.AllowedClientIDs), unique(p.ScopesSupported)
	from := map[string]string{} // claim to scope
	for _, name := range p.ScopesSupported {
		if name == openID {
			return engine.Bad("%q is a reserved scope, which every provider supports", openID)
		}
		scope, err := scopes.Peek(tx, name)
		if err != nil {
			return err
		}
		if scope == nil {
			return engine.Bad("scope %q does not exist", name)
		}
		made, err := claimsOf(scope.Template, policy.Subject{}, tx.Now())
		if err != nil {
			return err
		}
		for claim := range made {
			if other := from[claim]; other != "" {
				tx.Warn("Found scope templates with conflicting top-level keys: conflict %q in scopes %q, %q. This may result in an error if the scopes are requested in an OIDC Authentication Request.", claim, other, name)
			}
			from[claim] = name
		}
	}
	return nil
}

func (s *Store) issuerOf(v engine.View, name string, p *Provider) string {
	return s.at(v, p.Issuer) + "/provider/" + name
}

type providerDocument struct {
	Issuer        string   `json:"issuer"`
	Keys          string   `json:"jwks_uri"`
	Authorize     string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Userinfo      string   `json:"userinfo_endpoint"`
	Request       bool     `json:"request_parameter_supported"`
	RequestURI    bool     `json:"request_uri_parameter_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	ResponseTypes []string `json:"response_types_supported"`
	Scopes        []string `json:"scopes_supported"`
	Claims        []string `json:"claims_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	GrantTypes    []string `json:"grant_types_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	Challenges    []string `json:"code_challenge_methods_supported"`
}

func providerDiscovery(s *Store, v engine.View, q byName) (*engine.Answer, error) {
	p, err := providers.Peek(v, q.Name)
	if err != nil || p == nil {
		return nil, err
	}
	issuer := s.issuerOf(v, q.Name, p)
	page := strings.Replace(issuer, "/v1/", "/ui/vault/", 1) // where people allow it
	return cacheable(providerDocument{
		Issuer: issuer, Keys: issuer + "/.well-known/keys", Authorize: page + "/authorize",
		Token: issuer + "/token", Userinfo: issuer + "/userinfo",
		Algorithms: algorithmNames, ResponseTypes: []string{"code"}, Scopes: append(slices.Clone(p.ScopesSupported), openID), Claims: []string{},
		SubjectTypes: []string{"public"}, GrantTypes: []string{"authorization_code"},
		AuthMethods: []string{"none", "client_secret_basic", "client_secret_post"}, Challenges: []string{plainChallenge, hashedChallenge},
	}), nil
}

func providerKeys(_ *Store, v engine.View, q byName) (*jose.JSONWebKeySet, error) {
	p, err := providers.Peek(v, q.Name)
	if err != nil || p == nil {
		return nil, err
	}
	var names []string
	err = eachClient(v, func(name string, c *Client) error {
		held, err := credentials(v).Peek(name)
		if err == nil && held != nil && admits(p.AllowedClientIDs, held.ID) {
			names = append(names, c.Key)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return publish(v, names, v.Now())
}
