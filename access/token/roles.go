package token

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Role says what tokens are like that are made by it. Whoever may create by a
// role may have what the role allows, whatever their own token holds, but never
// the root policy.
type Role struct {
	AllowedPolicies      []string        `json:"allowed_policies" doc:"Policies that may be asked for; with none asked for, all of them are given."`
	DisallowedPolicies   []string        `json:"disallowed_policies" doc:"Policies that are never given."`
	AllowedPoliciesGlob  []string        `json:"allowed_policies_glob" doc:"Policies that may be asked for; * stands for any text."`
	DisallowedGlob       []string        `json:"disallowed_policies_glob" doc:"Policies that are never given; * stands for any text."`
	AllowedEntityAliases []string        `json:"allowed_entity_aliases" doc:"Aliases that may be asked for; * stands for any text."`
	Orphan               bool            `json:"orphan" doc:"Tokens outlive the one they were made with."`
	Renewable            bool            `json:"renewable" default:"true" doc:"Tokens can be renewed."`
	PathSuffix           string          `json:"path_suffix" doc:"End of the path of tokens, by which they can be revoked together."`
	TokenType            string          `json:"token_type" default:"default-service" doc:"service, batch, default-service or default-batch."`
	TokenNumUses         int             `json:"token_num_uses" doc:"How often a token can be used; 0 is no limit."`
	TokenNoDefaultPolicy bool            `json:"token_no_default_policy" doc:"Do without the policy default."`
	TokenPeriod          engine.Duration `json:"token_period" doc:"What every renewal sets the TTL to."`
	TokenExplicitMaxTTL  engine.Duration `json:"token_explicit_max_ttl" doc:"How long a token lives at most."`
	TokenBoundCIDRs      []string        `json:"token_bound_cidrs" doc:"Networks that a token can be used from."`
	OldPeriod            engine.Duration `json:"period" doc:"Old name of token_period."`
	OldExplicitMaxTTL    engine.Duration `json:"explicit_max_ttl" doc:"Old name of token_explicit_max_ttl."`
	OldBoundCIDRs        []string        `json:"bound_cidrs" doc:"Old name of token_bound_cidrs."`
}

var roles = &engine.Collection[Store, Role]{
	Path: "roles", Name: "{role_name}", Noun: "token role", Range: &storage.TokenRoles,
	Check: (*Store).checkRole, Show: (*Store).showRole,
}

// role returns a role of the namespace that tx sees, or nil.
func (s *Store) role(tx *storage.Tx, name string) (*Role, error) {
	r, err := storage.In[Role](tx.In(storage.TokenRoles), roles.Path+"/").Peek(name)
	if err != nil {
		return nil, fmt.Errorf("read token role: %w", err)
	}
	return r, nil
}

// Vault asks of a suffix to contain such a part; here it is all of it, so that
// it cannot reach into another path.
var suffixes = regexp.MustCompile(`^\w[\w-.]+\w$`)

// checkRole completes a role that is to be stored.
func (s *Store) checkRole(tx engine.Tx, it *engine.Item[Role]) error {
	r := &it.Value
	switch {
	case r.PathSuffix != "" && !suffixes.MatchString(r.PathSuffix):
		return engine.Bad(`given role path suffix contains invalid characters; must match \w[\w-.]+\w`)
	case strings.Contains(r.PathSuffix, ".."):
		return engine.Bad("error registering path suffix: path cannot contain parent references")
	case r.TokenNumUses < 0:
		return engine.Bad("'token_num_uses' cannot be negative")
	}
	switch r.TokenType {
	case Service, Batch, "default-service", "default-batch":
	default:
		return engine.Bad("invalid 'token_type' value %q", r.TokenType)
	}
	for _, list := range []*[]string{&r.AllowedPolicies, &r.AllowedPoliciesGlob, &r.DisallowedPolicies, &r.DisallowedGlob} {
		*list = names(*list)
	}
	if slices.Contains(r.AllowedPolicies, "root") {
		return engine.Bad("'allowed_policies' cannot contain 'root': no role gives a root token")
	}
	if r.AllowedEntityAliases != nil {
		r.AllowedEntityAliases = names(r.AllowedEntityAliases)
	}
	r.oldNames(tx, it.Sent)
	return r.checkTerms()
}

func (r *Role) checkTerms() (err error) {
	if r.OldBoundCIDRs, err = engine.NormalizeCIDRs(r.OldBoundCIDRs); err != nil {
		return engine.Bad("'bound_cidrs': %s", err)
	}
	if r.TokenBoundCIDRs, err = engine.NormalizeCIDRs(r.TokenBoundCIDRs); err != nil {
		return engine.Bad("'token_bound_cidrs': %s", err)
	}
	switch {
	case r.TokenPeriod < 0:
		return engine.Bad("'token_period' cannot be negative")
	case r.TokenExplicitMaxTTL < 0:
		return engine.Bad("'token_explicit_max_ttl' cannot be negative")
	}
	if r.TokenType != Batch {
		return nil
	}
	const no = "'token_type' cannot be 'batch' when role is set to generate "
	switch {
	case !r.Orphan:
		return engine.Bad(no + "non-orphan tokens")
	case r.TokenPeriod > 0:
		return engine.Bad(no + "periodic tokens")
	case r.Renewable:
		return engine.Bad(no + "renewable tokens")
	case r.TokenExplicitMaxTTL > 0:
		return engine.Bad(no + "tokens with an explicit max TTL")
	case r.TokenNumUses > 0:
		return engine.Bad(no + "tokens with limited use count")
	}
	return nil
}

// oldNames copies what was sent under an old name to the new one. It is shown
// under both, as in Vault, until the new name is used.
func (r *Role) oldNames(v engine.View, sent func(string) bool) {
	one := func(name string, reset, take func()) {
		old, now := sent(name), sent("token_"+name)
		switch {
		case old && now:
			v.Warn("Both 'token_%s' and deprecated '%s' value supplied, ignoring the deprecated value", name, name)
			reset()
		case now:
			reset()
		case old:
			take()
		}
	}
	one("period", func() { r.OldPeriod = 0 }, func() { r.TokenPeriod = r.OldPeriod })
	one("explicit_max_ttl", func() { r.OldExplicitMaxTTL = 0 }, func() { r.TokenExplicitMaxTTL = r.OldExplicitMaxTTL })
	one("bound_cidrs", func() { r.OldBoundCIDRs = nil }, func() { r.TokenBoundCIDRs = r.OldBoundCIDRs })
}

// A shownRole is a role as it is answered.
type shownRole struct {
	Role
	Name            string   `json:"name"`
	OldBoundCIDRs   []string `json:"bound_cidrs,omitempty"`
	TokenBoundCIDRs []string `json:"token_bound_cidrs,omitempty"`
	TokenNumUses    int      `json:"token_num_uses,omitempty"`
}

func (s *Store) showRole(_ engine.View, it *engine.Item[Role]) (any, error) {
	r := it.Value
	return shownRole{r, it.Name, r.OldBoundCIDRs, r.TokenBoundCIDRs, r.TokenNumUses}, nil
}

// names are in lower case, sorted, each once; never nil.
func names(list []string) []string {
	out := make([]string, 0, len(list))
	for _, n := range list {
		if n = strings.ToLower(strings.TrimSpace(n)); n != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// A createByRoleRequest asks for a token of a role.
type createByRoleRequest struct {
	createRequest
	Role string `path:"role_name"`
}

func (s *Store) routeCreateByRole(v engine.Tx, q createByRoleRequest) (*engine.Answer, error) {
	role, err := s.role(engine.CallOf(v).Whole, q.Role)
	if err != nil {
		return nil, err
	}
	if role == nil {
		return nil, engine.Bad("unknown role %s", q.Role)
	}
	g := &grant{q: q.createRequest, path: "create/" + q.Role, role: role, orphan: role.Orphan}
	if role.PathSuffix != "" {
		g.path += "/" + role.PathSuffix
	}
	g.p.Role = q.Role
	return s.grant(v, g)
}

// typeOf is the type of the tokens, when one is asked for; no role leaves it to
// the caller.
func (r *Role) typeOf(asked string) string {
	if r != nil && (r.TokenType == Service || r.TokenType == Batch) {
		return r.TokenType
	}
	if asked == "" && r != nil && r.TokenType == "default-batch" {
		return Batch
	}
	if asked == "" {
		return Service
	}
	return asked
}

// shapeByRole lets the role tighten what was asked for.
func (g *grant) shapeByRole() error {
	r := g.role
	if r == nil {
		return nil
	}
	if r.TokenNumUses > 0 && (g.p.NumUses == 0 || r.TokenNumUses < g.p.NumUses) {
		g.p.NumUses = r.TokenNumUses
	}
	if g.p.Type == Batch && g.p.NumUses > 0 { // nobody would count them
		return engine.Bad("batch tokens cannot have %q set", "num_uses")
	}
	g.p.NotRenewable = g.p.NotRenewable || !r.Renewable
	g.p.BoundCIDRs = r.TokenBoundCIDRs
	return nil
}

// timesOfRole lets the role's lengths of time hold besides those asked for.
func (g *grant) timesOfRole() {
	r := g.role
	if r == nil {
		return
	}
	one := func(name string, asked time.Duration, of engine.Duration) time.Duration {
		d := time.Duration(of)
		if d > 0 && asked > 0 {
			g.warnings = append(g.warnings, fmt.Sprintf("%s specified both during creation call and in role; using the lesser value of %d seconds",
				name, seconds(engine.ShorterOf(asked, d))))
		}
		return d
	}
	g.p.RoleExplicitMaxTTL = one("Explicit max TTL", g.p.ExplicitMaxTTL, r.TokenExplicitMaxTTL)
	if g.p.Type != Batch {
		g.p.RolePeriod = one("Period", g.p.Period, r.TokenPeriod)
	}
}

// restricts says whether the role decides about policies. One that does not
// leaves its callers to what they hold themselves.
func (r *Role) restricts() bool {
	return r != nil && len(r.AllowedPolicies)+len(r.AllowedPoliciesGlob)+len(r.DisallowedPolicies)+len(r.DisallowedGlob) > 0
}

// policiesOfRole decides the policies by the role's lists.
func (g *grant) policiesOfRole() error {
	r := g.role
	addDefault := !g.q.NoDefaultPolicy && !r.TokenNoDefaultPolicy && !r.disallows("default")
	allowed := policy.NormalizeList(r.AllowedPolicies, addDefault)
	asked := policy.NormalizeList(g.q.Policies, addDefault)
	switch allows := len(r.AllowedPolicies)+len(r.AllowedPoliciesGlob) > 0; {
	case len(g.q.Policies) == 0 && allows:
		asked = allowed
	case len(g.q.Policies) == 0 && !g.foreign:
		asked = policy.NormalizeList(g.parent.Policies, addDefault)
	case allows:
		for _, p := range asked {
			if !slices.Contains(allowed, p) && !anyGlob(r.AllowedPoliciesGlob, p) {
				return engine.Bad("token policies (%q) must be subset of the role's allowed policies (%q) or glob policies (%q)",
					asked, allowed, r.AllowedPoliciesGlob)
			}
		}
	}
	for _, p := range asked {
		if r.disallows(p) {
			return engine.Bad("token policy %q is disallowed by this role", p)
		}
	}
	if g.q.NoDefaultPolicy {
		asked = slices.DeleteFunc(asked, func(p string) bool { return p == "default" })
	}
	g.p.Policies = asked
	return g.assignable()
}

func (r *Role) disallows(policy string) bool {
	return slices.Contains(r.DisallowedPolicies, policy) || anyGlob(r.DisallowedGlob, policy)
}

// alias makes the token that of the entity with an alias that the role allows.
func (s *Store) alias(tx *storage.Tx, g *grant) (err error) {
	alias := g.q.EntityAlias
	if alias == "" {
		return nil
	}
	folded := strings.ToLower(alias)
	if !slices.Contains(g.role.AllowedEntityAliases, folded) && !anyGlob(g.role.AllowedEntityAliases, folded) {
		return engine.Bad("invalid 'entity_alias' value")
	}
	if s.o.AliasEntity == nil {
		return engine.Bad("'entity_alias' cannot be used: there are no entities")
	}
	g.p.EntityID, err = s.o.AliasEntity(tx, alias)
	return err
}

// askRole sets the period and explicit maximum that a renewal of a token goes
// by: the lesser of its own and what its role says now.
func (s *Store) askRole(tx *storage.Tx, e *Entry) error {
	if e.Role == "" || e.Mount != "" {
		return nil
	}
	r, err := s.role(tx, e.Role)
	if err != nil {
		return err
	}
	if r == nil {
		return engine.Bad("original token role %q could not be found, not renewing", e.Role)
	}
	e.Period = engine.ShorterOf(e.Period, time.Duration(r.TokenPeriod))
	e.ExplicitMaxTTL = engine.ShorterOf(e.ExplicitMaxTTL, time.Duration(r.TokenExplicitMaxTTL))
	return nil
}

func anyGlob(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return glob(p, text) })
}

// glob matches a pattern in which * stands for any text, also none.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return pattern == text
	}
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return true
}
