package oidc

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// Config is what is set for all identity tokens of a namespace.
type Config struct {
	Issuer string `json:"issuer" doc:"Scheme, host and port that the issuer of identity tokens begins with; empty is the cluster's address."`
}

func configs(v engine.View) storage.Table[Config] { return engine.Table[Config](v, "oidc/") }

const configName = "config"

const issuerWarning = `If "issuer" is set explicitly, all tokens must be validated against that address, including those issued by secondary clusters. ` +
	`Setting issuer to "" will restore the default behavior of using the cluster's api_addr as the issuer.`

func (s *Store) configRoutes() engine.Routes[Store] {
	return engine.Routes[Store]{
		engine.Read("oidc/config", func(_ *Store, v engine.View, _ engine.None) (*Config, error) { return config(v) }).
			Doc("Read what identity tokens have in common."),
		engine.Write("oidc/config", writeConfig).Doc("Set what identity tokens have in common."),
		engine.Read("oidc/.well-known/openid-configuration", discovery).Public().Bare().Doc("What verifiers of identity tokens need to know."),
		engine.Read("oidc/.well-known/keys", publicKeys).Public().Bare().Doc("The public keys of identity tokens."),
	}
}

func config(v engine.View) (*Config, error) {
	c, err := configs(v).Get(configName)
	if err != nil || c != nil {
		return c, err
	}
	return &Config{}, nil
}

func writeConfig(_ *Store, tx engine.Tx, q Config) (engine.None, error) {
	if err := checkIssuer(q.Issuer); err != nil {
		return engine.None{}, err
	}
	configs(tx).Put(configName, &q)
	tx.Warn("%s", issuerWarning)
	return engine.None{}, nil
}

// checkIssuer refuses an issuer that is set and is not the root of a server.
func checkIssuer(issuer string) error {
	if issuer == "" {
		return nil
	}
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.String() != u.Scheme+"://"+u.Host {
		return engine.Bad("invalid issuer, which must include only a scheme, host, and optional port (e.g. https://example.com:8200)")
	}
	return nil
}

// at is the URL of identity/oidc in a namespace, on a server or, if that is
// empty, on the cluster.
func (s *Store) at(v engine.View, server string) string {
	if server == "" {
		server = strings.TrimSuffix(s.o.Address, "/")
	}
	return server + "/v1/" + v.Caller().Namespace + "identity/oidc"
}

// issuer is that of identity tokens.
func (s *Store) issuer(v engine.View) (string, error) {
	c, err := config(v)
	if err != nil {
		return "", err
	}
	return s.at(v, c.Issuer), nil
}

type identityDiscovery struct {
	Issuer        string   `json:"issuer"`
	Keys          string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
}

func discovery(s *Store, v engine.View, _ engine.None) (*engine.Answer, error) {
	issuer, err := s.issuer(v)
	if err != nil {
		return nil, err
	}
	return cacheable(identityDiscovery{Issuer: issuer, Keys: issuer + "/.well-known/keys", ResponseTypes: []string{"id_token"},
		SubjectTypes: []string{"public"}, Algorithms: algorithmNames}), nil
}

// cacheable is a document that changes seldom. Keys are not among these: a
// rotation may be of one that was stolen.
func cacheable(document any) *engine.Answer {
	return &engine.Answer{Data: document, Header: http.Header{"Cache-Control": {"max-age=3600"}}}
}

func publicKeys(_ *Store, v engine.View, _ engine.None) (*jose.JSONWebKeySet, error) {
	var names []string
	err := eachRole(v, func(_ string, r *Role) error {
		names = append(names, r.Key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return publish(v, names, v.Now())
}

// publish is the public halves of keys, by name.
func publish(v engine.View, names []string, now time.Time) (*jose.JSONWebKeySet, error) {
	slices.Sort(names)
	set := &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, name := range slices.Compact(names) {
		r, err := rings(v).Peek(name)
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue
		}
		for _, p := range r.published(now) {
			key, err := p.jwk()
			if err != nil {
				return nil, err
			}
			set.Keys = append(set.Keys, key)
		}
	}
	return set, nil
}
