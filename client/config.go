// Package client speaks to a Vault-compatible server: it finds the server from
// the environment, dials it with the right certificates, retries what may be
// retried, follows one redirect to the active node, and turns answers into
// [api.Answer] and refusals into [*Error].
//
// It is small on purpose: it imports the standard library and api, so a program
// that links it carries nothing of the server. It does not store tokens, renew
// leases or print.
package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultAddress is where a server is looked for when nothing else is said.
const DefaultAddress = "https://127.0.0.1:8200"

// Config says how to reach a server. The zero value reaches DefaultAddress with
// the system's certificate authorities, no token and no retries.
type Config struct {
	Address string // http://, https:// or unix:///path; empty is DefaultAddress

	CACert      string // file of PEM authorities; wins over CAPath
	CACertBytes string // PEM authorities themselves; wins over CACert
	CAPath      string // directory of PEM files
	ClientCert  string // file; needs ClientKey
	ClientKey   string // file
	ServerName  string // expected in the server's certificate instead of the address
	SkipVerify  bool   // accept any certificate

	Token          string
	Namespace      string
	Headers        http.Header // sent with every request
	WrapTTL        string      // asked for on every request that does not say otherwise
	MFA            []string
	PolicyOverride bool

	Timeout          time.Duration // of one try; 0 is no limit
	MaxRetries       int           // tries after the first; 0 or less is none
	Proxy            string        // http proxy; empty follows HTTPS_PROXY and its kin
	DisableRedirects bool

	// Preview makes every request return *Preview as its error instead of being sent.
	Preview bool

	// Wait pauses between tries; nil waits on the clock. Tests replace it.
	Wait func(ctx context.Context, d time.Duration) error
}

// Getenv reads one setting by the part of its name after VAULT_. A variable
// that begins with FASTNESS_ wins over the one that begins with VAULT_.
func Getenv(getenv func(string) string, name string) string {
	if v := getenv("FASTNESS_" + name); v != "" {
		return v
	}
	return getenv("VAULT_" + name)
}

// FromEnv reads the environment that Vault's clients read. An unusable value is
// an error that names its variable.
func FromEnv(getenv func(string) string) (Config, error) {
	env := func(name string) string { return Getenv(getenv, name) }
	c := Config{
		Address:     env("ADDR"),
		CACert:      env("CACERT"),
		CACertBytes: env("CACERT_BYTES"),
		CAPath:      env("CAPATH"),
		ClientCert:  env("CLIENT_CERT"),
		ClientKey:   env("CLIENT_KEY"),
		ServerName:  env("TLS_SERVER_NAME"),
		Token:       env("TOKEN"),
		Namespace:   env("NAMESPACE"),
		WrapTTL:     env("WRAP_TTL"),
		Proxy:       env("HTTP_PROXY"),
		Timeout:     60 * time.Second,
		MaxRetries:  2,
	}
	if v := env("AGENT_ADDR"); v != "" {
		c.Address = v
	}
	if v := env("PROXY_ADDR"); v != "" {
		c.Proxy = v
	}
	if v := env("MFA"); v != "" {
		c.MFA = strings.Split(v, ",")
	}
	if err := c.readTyped(env); err != nil {
		return Config{}, err
	}
	return c, nil
}

// readTyped reads what is more than text.
func (c *Config) readTyped(env func(string) string) error {
	bad := func(name string, err error) error {
		return fmt.Errorf("environment variable VAULT_%s: %w", name, err)
	}
	var err error
	for name, to := range map[string]*bool{"SKIP_VERIFY": &c.SkipVerify, "DISABLE_REDIRECTS": &c.DisableRedirects} {
		if v := env(name); v != "" {
			if *to, err = strconv.ParseBool(v); err != nil {
				return bad(name, err)
			}
		}
	}
	if v := env("MAX_RETRIES"); v != "" {
		if c.MaxRetries, err = strconv.Atoi(v); err != nil {
			return bad("MAX_RETRIES", err)
		}
	}
	if v := env("CLIENT_TIMEOUT"); v != "" {
		if c.Timeout, err = ParseDuration(v); err != nil {
			return bad("CLIENT_TIMEOUT", err)
		}
	}
	if v := env("HEADERS"); v != "" {
		if c.Headers, err = parseHeaders(v); err != nil {
			return bad("HEADERS", err)
		}
	}
	return nil
}

// parseHeaders reads a JSON object whose values are strings or lists of them.
func parseHeaders(s string) (http.Header, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &raw); err != nil {
		return nil, fmt.Errorf("want a JSON object: %w", err)
	}
	h := http.Header{}
	for k, v := range raw {
		var one string
		if json.Unmarshal(v, &one) == nil {
			h.Add(k, one)
			continue
		}
		var many []string
		if err := json.Unmarshal(v, &many); err != nil {
			return nil, fmt.Errorf("header %s: want a string or a list of strings", k)
		}
		for _, m := range many {
			h.Add(k, m)
		}
	}
	return h, nil
}

// ParseDuration reads whole seconds ("90"), Go's form ("1h30m") and days ("7d").
func ParseDuration(s string) (time.Duration, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		d := time.Duration(n) * time.Second
		if d/time.Second != time.Duration(n) {
			return 0, fmt.Errorf("duration %q is too long", s)
		}
		return d, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err == nil && n < 100_000 && n > -100_000 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
		return 0, fmt.Errorf("duration %q: want seconds, 1h30m or 7d", s)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("duration %q: want seconds, 1h30m or 7d", s)
	}
	return d, nil
}
