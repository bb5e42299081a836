package enginetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// verify runs the part of a login that the server runs before the transaction.
func (m *Mount) verify(match *engine.Match, q *request) error {
	if !match.Info.Verifies {
		return nil
	}
	var outside func(context.Context) any
	err := m.in(storage.ReadOnly, q, func(c *engine.Call) (err error) {
		outside, err = match.Verify(c)
		return err
	})
	if err == nil {
		q.verified = outside(context.Background())
	}
	return err
}

// Renew asks the engine about the token of the last login that succeeded.
func (m *Mount) Renew() (*engine.Grant, error) {
	if m.last == nil {
		return nil, errors.New("nobody has logged in")
	}
	was := engine.Renewal{Held: m.last.Held, Meta: m.last.Meta, DisplayName: m.last.DisplayName, Policies: m.last.Terms.Policies}
	var g *engine.Grant
	err := m.in(storage.ReadWrite, &request{}, func(c *engine.Call) (err error) {
		g, err = m.inst.Renew(c, was)
		return err
	})
	return g, err
}

func (m *Mount) renewLine() string {
	switch g, err := m.Renew(); {
	case err != nil:
		return "not renewed: " + strings.TrimSpace(string(refusal(err, nil).Body)) + "\n"
	case g == nil:
		return "renewed as it was\n"
	default:
		return "renewed " + pretty(encode(shownGrant(g))) + "\n"
	}
}

// whoLine says whom a login is about.
func (m *Mount) whoLine(target, body string) string {
	match, err := m.inst.Find(engine.OpWrite, target)
	if err != nil {
		return err.Error() + "\n"
	}
	var who engine.Who
	err = m.in(storage.ReadOnly, &request{body: []byte(body)}, func(c *engine.Call) (err error) {
		who, err = match.Who(c)
		return err
	})
	if err != nil {
		return err.Error() + "\n"
	}
	return fmt.Sprintf("alias=%q role=%q\n", who.Alias, who.Role)
}

// A shown is a Grant as transcripts show it, what is not set left out.
type shown struct {
	Alias        string            `json:"alias,omitempty"`
	AliasMeta    map[string]string `json:"alias_meta,omitempty"`
	Groups       []string          `json:"groups,omitempty"`
	DisplayName  string            `json:"display_name,omitempty"`
	Meta         map[string]string `json:"meta,omitempty"`
	Held         map[string]string `json:"held,omitempty"`
	Role         string            `json:"role,omitempty"`
	Policies     []string          `json:"policies,omitempty"`
	TTL          engine.Duration   `json:"ttl,omitempty"`
	MaxTTL       engine.Duration   `json:"max_ttl,omitempty"`
	Explicit     engine.Duration   `json:"explicit_max_ttl,omitempty"`
	Period       engine.Duration   `json:"period,omitempty"`
	NumUses      int               `json:"num_uses,omitempty"`
	Type         string            `json:"type,omitempty"`
	NoDefault    bool              `json:"no_default_policy,omitempty"`
	BoundCIDRs   []string          `json:"bound_cidrs,omitempty"`
	NotRenewable bool              `json:"not_renewable,omitempty"`
}

func shownGrant(g *engine.Grant) shown {
	t := &g.Terms
	return shown{
		Alias: g.Alias, AliasMeta: g.AliasMeta, Groups: g.Groups, DisplayName: g.DisplayName, Meta: g.Meta, Held: g.Held,
		Role: g.Role, Policies: t.Policies, TTL: t.TTL, MaxTTL: t.MaxTTL, Explicit: t.ExplicitMaxTTL, Period: t.Period,
		NumUses: t.NumUses, Type: t.Type, NoDefault: t.NoDefaultPolicy, BoundCIDRs: t.BoundCIDRs, NotRenewable: g.NotRenewable,
	}
}
