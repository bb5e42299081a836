package token

import (
	"regexp"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A createRequest asks for a token. Times are text because what Vault says
// about bad ones differs from what it says about other fields.
type createRequest struct {
	ID              string            `json:"id" secret:"true" doc:"The token itself, chosen by the caller."`
	Policies        []string          `json:"policies" doc:"Policies of the token; by default the caller's."`
	Meta            map[string]string `json:"meta" doc:"Arbitrary data that shows up in the audit log."`
	NoParent        bool              `json:"no_parent" doc:"Outlive the caller's token."`
	NoDefaultPolicy bool              `json:"no_default_policy" doc:"Do without the policy default."`
	Renewable       *bool             `json:"renewable" doc:"Whether it can be renewed; by default it can."`
	TTL             string            `json:"ttl" doc:"How long it lives unless renewed."`
	Lease           string            `json:"lease" doc:"Old name of ttl."`
	ExplicitMaxTTL  string            `json:"explicit_max_ttl" doc:"How long it lives at most."`
	Period          string            `json:"period" doc:"What every renewal sets the TTL to."`
	DisplayName     string            `json:"display_name" default:"token" doc:"Name to show."`
	NumUses         int               `json:"num_uses" doc:"How often it can be used; 0 is no limit."`
	Type            string            `json:"type" doc:"service or batch."`
	EntityAlias     string            `json:"entity_alias" doc:"Alias of the entity, with a role."`
}

func (s *Store) routeCreate(v engine.Tx, q createRequest) (*engine.Answer, error) {
	return s.grant(v, &grant{q: q, path: "create"})
}

func (s *Store) routeCreateOrphan(v engine.Tx, q createRequest) (*engine.Answer, error) {
	return s.grant(v, &grant{q: q, path: "create-orphan", orphan: true})
}

// grant makes a token for a caller who may ask for all that it asks for. The
// checks are in Vault's order, which decides which of several faults is told.
func (s *Store) grant(v engine.Tx, g *grant) (*engine.Answer, error) {
	r, err := s.request(v)
	if err != nil {
		return nil, err
	}
	switch {
	case r.self == nil:
		return nil, engine.Bad("parent token lookup failed")
	case r.self.Type == Batch:
		return nil, engine.Bad("batch tokens cannot create more tokens")
	case r.self.NumUses != 0:
		return nil, engine.Bad("restricted use token cannot generate child tokens")
	}
	_, at, _, err := s.mark(r.tx)
	if err != nil {
		return nil, err
	}
	g.parent, g.sudo, g.foreign = r.self, r.sudo || r.self.Root(), at != r.self.NamespaceID
	alias := func() error { return s.alias(r.tx, g) }
	for _, check := range []func() error{g.shape, alias, g.privileges, g.policies, g.times} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	for _, w := range g.warnings {
		v.Warn("%s", w)
	}
	g.p.Path = v.Mount().Path + g.path
	g.p.DefaultTTL, g.p.MaxTTL = v.Mount().DefaultTTL, v.Mount().MaxTTL
	c, err := s.Create(r.tx, g.under(), g.p)
	if err != nil {
		return nil, err
	}
	if err := s.warn(v, r.tx, c); err != nil {
		return nil, err
	}
	return &engine.Answer{Auth: c.Entry.Auth(c.Raw, s.o.Now())}, nil
}

func (s *Store) warn(v engine.Tx, tx *storage.Tx, c *Created) error {
	for _, w := range c.Warnings {
		v.Warn("%s", w)
	}
	if s.o.PolicyExists == nil {
		return nil
	}
	for _, p := range c.Entry.Policies {
		if p == "default" || p == "root" {
			continue
		}
		ok, err := s.o.PolicyExists(tx, p)
		if err != nil {
			return err
		}
		if !ok {
			v.Warn("Policy %q does not exist", p)
		}
	}
	return nil
}

// A grant is a request to create a token on its way to becoming Params.
type grant struct {
	q        createRequest
	p        Params
	path     string // of the request, below the mount
	role     *Role  // nil: by none
	parent   *Entry
	sudo     bool // root, or sudo on the path
	foreign  bool // the caller is of another namespace, above
	orphan   bool // because of the route or the role
	warnings []string
}

// under is the parent of the new token. What an orphan inherits from nobody
// it must not escape either: the networks its maker is bound to.
func (g *grant) under() *Entry {
	if len(g.p.BoundCIDRs) == 0 {
		g.p.BoundCIDRs = g.parent.BoundCIDRs
	}
	if g.orphan || g.role == nil && g.q.NoParent {
		return nil
	}
	if g.p.EntityID == "" {
		g.p.EntityID = g.parent.EntityID
	}
	return g.parent
}

// shape checks what is wrong whoever asks.
func (g *grant) shape() error {
	q := &g.q
	switch q.Type {
	case "", Service, Batch:
		q.Type = g.role.typeOf(q.Type)
	default:
		return engine.Bad("invalid 'token_type' value")
	}
	if q.NumUses < 0 {
		return engine.Bad("number of uses cannot be negative")
	}
	if q.EntityAlias != "" && g.role == nil {
		return engine.Bad("'entity_alias' is only allowed in combination with token role")
	}
	if q.Type == Batch {
		for _, f := range []struct {
			name string
			set  bool
		}{{"explicit_max_ttl", q.ExplicitMaxTTL != ""}, {"num_uses", q.NumUses != 0}, {"period", q.Period != ""}} {
			if f.set {
				return engine.Bad("batch tokens cannot have %q set", f.name)
			}
		}
	}
	g.p.Type, g.p.NumUses, g.p.Meta = q.Type, q.NumUses, q.Meta
	g.p.NotRenewable = q.Renewable != nil && !*q.Renewable
	g.p.DisplayName = displayName(q.DisplayName)
	return g.shapeByRole()
}

var notName = regexp.MustCompile(`[^A-Za-z0-9-]+`)

func displayName(asked string) string {
	if asked == "" || asked == "token" {
		return "token"
	}
	return trimDash("token-" + notName.ReplaceAllString(asked, "-"))
}

func trimDash(s string) string {
	for len(s) > 0 && s[len(s)-1] == '-' {
		s = s[:len(s)-1]
	}
	return s
}

// privileges checks what only root and sudo may ask for. (Vault warns that a
// chosen id is hashed with SHA-1; here it is not, so there is no warning.)
func (g *grant) privileges() error {
	if g.role == nil && g.q.NoParent && !g.sudo {
		return engine.Bad("root or sudo privileges required to create orphan token")
	}
	if g.q.ID == "" || g.q.Type == Batch {
		return nil
	}
	if !g.sudo {
		return engine.Bad("root or sudo privileges required to specify token id")
	}
	for _, prefix := range []string{PrefixService, PrefixBatch, "hvr.", "s.", "b.", "r."} {
		if len(g.q.ID) >= len(prefix) && g.q.ID[:len(prefix)] == prefix {
			return engine.Bad("custom token ID cannot have the '%s' prefix", prefix)
		}
	}
	if slices.Contains([]byte(g.q.ID), '.') {
		return engine.Bad("custom token ID cannot have a '.' in the value")
	}
	g.p.ID = g.q.ID
	return nil
}

// policies decides the policies: the caller's when none are asked for, a
// subset of them for callers without sudo, and root from root only.
func (g *grant) policies() error {
	switch {
	case g.role.restricts():
		return g.policiesOfRole()
	case g.foreign: // the names of the caller's policies mean something else here
		g.p.Policies = policy.NormalizeList(g.q.Policies, !g.q.NoDefaultPolicy)
		return g.assignable()
	}
	asked := g.q.Policies
	if len(asked) == 0 {
		asked = g.parent.Policies
	}
	has := g.parent.Policies
	addDefault := !g.q.NoDefaultPolicy
	if !g.sudo {
		for _, p := range policy.NormalizeList(asked, false) {
			if !slices.Contains(has, p) {
				return engine.Bad("child policies must be subset of parent")
			}
		}
		addDefault = addDefault && slices.Contains(has, "default")
	}
	g.p.Policies = policy.NormalizeList(asked, addDefault)
	if len(g.q.Policies) == 0 && g.q.NoDefaultPolicy {
		g.p.Policies = slices.DeleteFunc(g.p.Policies, func(p string) bool { return p == "default" })
	}
	return g.assignable()
}

// assignable refuses policies that are not to be had this way.
func (g *grant) assignable() error {
	g.p.NoDefaultPolicy = true // it is among them already, if it is to be
	for _, p := range g.p.Policies {
		if p == "response-wrapping" || p == "control-group" {
			return engine.Bad("cannot assign policy %q", p)
		}
	}
	if slices.Contains(g.p.Policies, "root") {
		switch {
		case g.role != nil:
			return engine.Bad("no role gives a root token")
		case g.q.Type == Batch:
			return engine.Bad("batch tokens cannot be root tokens")
		case !g.parent.Root():
			return engine.Bad("root tokens may not be created without parent token being root")
		}
	}
	return nil
}

// times reads the lengths of time.
func (g *grant) times() (err error) {
	if g.p.ExplicitMaxTTL, err = length("explicit_max_ttl", g.q.ExplicitMaxTTL); err != nil {
		return err
	}
	if g.p.Period, err = length("period", g.q.Period); err != nil {
		return err
	}
	if g.p.Period > 0 && !g.sudo {
		return engine.Bad("root or sudo privileges required to create periodic token")
	}
	ttl := g.q.TTL
	if ttl == "" {
		ttl = g.q.Lease
	}
	if g.p.TTL, err = length("ttl", ttl); err != nil {
		return err
	}
	g.timesOfRole()
	// A root token that ends must not make one that does not.
	root := slices.Contains(g.p.Policies, "root")
	if root && !g.parent.Expires.IsZero() && g.p.TTL == 0 && g.p.Period == 0 && g.p.ExplicitMaxTTL == 0 {
		return engine.Bad("expiring root tokens cannot create non-expiring root tokens")
	}
	return nil
}

func length(name, text string) (time.Duration, error) {
	d, err := engine.ParseDuration(text)
	if err != nil {
		return 0, engine.Bad("%s", err)
	}
	if d < 0 {
		return 0, engine.Bad("%s must be positive", name)
	}
	return d, nil
}
