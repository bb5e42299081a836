package engine

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// A Grant is what a login comes to: who it was, and what a token of theirs is
// like. The server makes entity, token and lease of it, in the transaction of
// the login.
type Grant struct {
	// Alias is the name that the mount knows the caller by. Empty makes no
	// entity.
	Alias string
	// AliasMeta is kept with the alias, and replaced by each login.
	AliasMeta map[string]string
	// Groups are the names by which external groups of the mount are known.
	Groups []string
	// DisplayName is shown after the name of the mount.
	DisplayName string
	// Meta is the token's metadata.
	Meta map[string]string
	// Held is kept with the token and handed to Spec.Renew: what a renewal
	// needs to find out whether the login would still succeed. It is not shown.
	Held map[string]string
	// Role is the role that the login was for, which quotas go by.
	Role  string
	Terms TokenTerms
	// NotRenewable says that the token cannot be renewed.
	NotRenewable bool
}

// TokenTerms are what roles of auth methods say of the tokens that they give.
// Zero values leave it to the mount and the system.
type TokenTerms struct {
	Policies        []string `json:"token_policies" doc:"Policies of the tokens."`
	TTL             Duration `json:"token_ttl" doc:"How long a token lives unless renewed."`
	MaxTTL          Duration `json:"token_max_ttl" doc:"How long a token lives at most."`
	ExplicitMaxTTL  Duration `json:"token_explicit_max_ttl" doc:"How long a token lives at most, whatever else changes."`
	Period          Duration `json:"token_period" doc:"What every renewal sets the TTL to."`
	NumUses         int      `json:"token_num_uses" doc:"How often a token can be used; 0 is no limit."`
	Type            string   `json:"token_type" doc:"service, batch, default, default-service or default-batch."`
	NoDefaultPolicy bool     `json:"token_no_default_policy" doc:"Do without the policy default."`
	BoundCIDRs      []string `json:"token_bound_cidrs" doc:"Networks that a token can be used from."`
}

// Normalize checks the terms as they were sent and brings them to the form they
// are stored in. Errors are the caller's (400).
func (t *TokenTerms) Normalize(m *Mount) error {
	t.Policies = normalPolicies(t.Policies)
	if slices.Contains(t.Policies, "root") {
		return Bad("'token_policies' cannot contain 'root': no login gives a root token")
	}
	switch t.Type {
	case "", "default":
		t.Type = "default"
	case "service", "batch", "default-service", "default-batch":
	default:
		return Bad("invalid 'token_type' value %q", t.Type)
	}
	batch := t.Type == "batch" || t.Type == "default-batch"
	switch {
	case t.NumUses < 0:
		return Bad("'token_num_uses' cannot be negative")
	case t.MaxTTL > 0 && t.TTL > t.MaxTTL:
		return Bad("'token_ttl' cannot be greater than 'token_max_ttl'")
	case m.MaxTTL > 0 && time.Duration(t.TTL) > m.MaxTTL:
		return Bad("'token_ttl' cannot be greater than the mount's maximum of %s", m.MaxTTL)
	case batch && t.Period > 0:
		return Bad("'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens")
	case batch && t.NumUses > 0:
		return Bad("'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count")
	}
	cidrs, err := NormalizeCIDRs(t.BoundCIDRs)
	if err != nil {
		return Bad("'token_bound_cidrs': %s", err)
	}
	t.BoundCIDRs = cidrs
	return nil
}

// normalPolicies are policy names in lower case, sorted, each once.
func normalPolicies(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		if n = strings.ToLower(strings.TrimSpace(n)); n != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// NormalizeCIDRs checks networks. A network of one address is written as the
// address.
func NormalizeCIDRs(list []string) ([]string, error) {
	var out []string
	for _, s := range list {
		p, err := parsePrefix(s)
		if err != nil {
			return nil, err
		}
		if p.IsSingleIP() {
			out = append(out, p.Addr().String())
			continue
		}
		out = append(out, p.String())
	}
	return out, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, badCIDR(s)
	}
	return p.Masked(), nil
}

type badCIDR string

func (s badCIDR) Error() string { return "invalid CIDR address: " + string(s) }

// Within says whether an address lies in one of the networks. No networks
// bind nobody; an address that cannot be read (a unix socket's) lies in none.
func Within(cidrs []string, address string) bool {
	if len(cidrs) == 0 {
		return true
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap()
	for _, c := range cidrs {
		if p, err := parsePrefix(c); err == nil && p.Contains(a) {
			return true
		}
	}
	return false
}

// Who is whom a login is about, as far as the request says: what locks out, and
// what quotas by role go by, before anything is verified.
type Who struct {
	Alias string
	Role  string
}

// Login answers POST and PUT without a token: f verifies who calls. Whatever is
// wrong with a credential should be one error, at one cost, whether or not the
// account exists.
func Login[E, Req any](pattern string, f func(*E, Tx, Req) (*Grant, error)) Route[E] {
	r := route(pattern, storage.ReadWrite, []Op{OpWrite}, func(e *E, c *Call, req Req) (*Answer, error) {
		g, err := f(e, c, req)
		if err != nil || g == nil {
			return nil, err
		}
		return &Answer{Grant: g}, nil
	})
	r.Info.Login, r.Info.Grants = true, true
	return r
}

// VerifiedLogin is a Login whose verification takes long or asks somebody else.
// look reads what a credential is verified against; verify runs once, outside of
// any transaction, however often a conflict repeats the rest; grant makes the
// token of what was verified, which may have changed meanwhile. An error of
// verify is told in the transaction too, where a lockout counts it.
func VerifiedLogin[E, Req, L, V any](pattern string, look func(*E, View, Req) (L, error),
	verify func(*E, context.Context, Req, L) (V, error), grant func(*E, Tx, Req, V) (*Grant, error)) Route[E] {
	r := Login(pattern, func(e *E, tx Tx, req Req) (*Grant, error) {
		done, ok := CallOf(tx).Verified.(*verified[V])
		if !ok {
			return nil, errors.New("login ran before it was verified")
		}
		if done.err != nil {
			return nil, done.err
		}
		return grant(e, tx, req, done.value)
	})
	info := r.Info
	info.Verifies = true
	r.verify = func(e *E, c *Call) (func(context.Context) any, error) {
		var req Req
		if err := c.decode(planOf(info.Request), reflect.ValueOf(&req).Elem(), decoding{}); err != nil {
			return nil, err
		}
		found, err := look(e, reader{c}, req)
		c.Warnings = nil // the login itself will say them
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) any {
			value, err := verify(e, ctx, req, found)
			return &verified[V]{value, err}
		}, nil
	}
	return r
}

// verified is what a verification came to.
type verified[V any] struct {
	value V
	err   error
}

// Named tells whom a login is about without verifying anything.
func Named[E, Req any](r Route[E], f func(*E, View, Req) (Who, error)) Route[E] {
	info := r.Info
	r.who = func(e *E, c *Call) (Who, error) {
		var req Req
		if err := c.decode(planOf(info.Request), reflect.ValueOf(&req).Elem(), decoding{}); err != nil {
			return Who{}, err
		}
		c.Warnings = nil // the login itself will say them
		return f(e, reader{c}, req)
	}
	return r
}

// A Renewal is a token that is to be renewed, as the mount that gave it sees it.
type Renewal struct {
	Held        map[string]string // of the Grant
	Meta        map[string]string
	Policies    []string
	DisplayName string
}

// errRefused marks a login refused for a wrong credential, which counts towards
// a lockout.
type errRefused struct{ error }

func (e errRefused) Unwrap() error { return e.error }

// Refused says that a credential was wrong, as opposed to a login that could not
// be tried: it counts towards the lockout of whom the login was about.
func Refused(err error) error { return errRefused{err} }

// WasRefused says whether an error is of a wrong credential.
func WasRefused(err error) bool {
	var r errRefused
	return errors.As(err, &r)
}
