package sys

import (
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
)

type quotaName struct {
	Name string `path:"name" doc:"Name of the quota."`
}

// quotaScope is what the kinds of quotas have in common.
type quotaScope struct {
	Name        string `path:"name" doc:"Name of the quota."`
	Path        string `json:"path" doc:"Namespace, mount, or path in a mount, perhaps with * at its end; all if empty."`
	Role        string `json:"role" doc:"Role of an auth mount whose logins count."`
	Inheritable *bool  `json:"inheritable" doc:"Count the namespaces below too."`
}

// scope finds what a quota is for.
func (s *System) scope(tx *storage.Tx, req *quotaScope) (quota.Scope, error) {
	out := quota.Scope{Role: req.Role, Inheritable: req.Inheritable != nil && *req.Inheritable}
	path := strings.TrimLeft(req.Path, "/")
	if path == "" {
		if req.Role != "" {
			return out, noRoles(path)
		}
		out.Inheritable = true
		return out, nil
	}
	tree, err := s.Mounts.Spaces.Tree(tx)
	if err != nil {
		return out, err
	}
	if tree.At(path+"/") != nil {
		path += "/"
	}
	n, rest := tree.Resolve("", path)
	out.Namespace, out.Path = n.Path, path
	if rest == "" {
		if req.Role != "" {
			return out, noRoles(path)
		}
		return out, nil
	}
	table, err := s.Mounts.Table(tx.Of(n.Number))
	if err != nil {
		return out, err
	}
	rest, out.Glob = strings.CutSuffix(rest, "*")
	l, below := table.Find(rest)
	if l == nil || strings.Contains(rest, "*") {
		return out, engine.Bad("invalid mount path %q", req.Path)
	}
	out.Mount, out.Rest = l.Path, strings.TrimSuffix(below, "/")
	if out.Glob {
		out.Rest = below
	}
	if out.Rest == "" { // the mount as a whole
		out.Glob, out.Path = false, n.Path+l.Path
	}
	switch {
	case out.Inheritable:
		return out, engine.Bad("'inheritable' can be set on quotas of namespaces only")
	case out.Role != "" && (out.Rest != "" || !slices.ContainsFunc(l.Engine.Info().Routes, func(r *engine.RouteInfo) bool { return r.Grants })):
		return out, noRoles(req.Path)
	}
	return out, nil
}

func noRoles(path string) error {
	return engine.Bad("Mount path %q does not support use with role-based quotas", path)
}

type rateRequest struct {
	quotaScope
	Type      string          `json:"type" doc:"Not used: the path says it."`
	Rate      float64         `json:"rate" doc:"Requests in each interval; more than 0."`
	Interval  engine.Duration `json:"interval" default:"1s" doc:"Time that the rate is for."`
	Block     engine.Duration `json:"block_interval" doc:"How long a client that went beyond is refused."`
	GroupBy   string          `json:"group_by" default:"ip" doc:"ip, none, entity_then_ip or entity_then_none."`
	Secondary float64         `json:"secondary_rate" doc:"Rate of clients without an entity, if it is another."`
}

// rateView is a rate limit as it is shown.
type rateView struct {
	Block       engine.Duration `json:"block_interval"`
	GroupBy     string          `json:"group_by,omitempty"`
	Inheritable bool            `json:"inheritable"`
	Interval    engine.Duration `json:"interval"`
	Name        string          `json:"name"`
	Path        string          `json:"path"`
	Rate        float64         `json:"rate"`
	Role        string          `json:"role"`
	Secondary   float64         `json:"secondary_rate,omitempty"`
	Type        string          `json:"type"`
}

func (s *System) listRates(v engine.View, _ engine.None) (engine.Keys, error) {
	names, err := quota.RateNames(engine.CallOf(v).Whole)
	return engine.KeysOf(names), err
}

func (s *System) readRate(v engine.View, req quotaName) (*rateView, error) {
	r, err := quota.RateOf(engine.CallOf(v).Whole, req.Name)
	if err != nil || r == nil {
		return nil, err
	}
	a := &rateView{Block: engine.Duration(r.Block), Inheritable: r.Inheritable, Interval: engine.Duration(r.Interval),
		Name: r.Name, Path: r.Path, Rate: r.Rate, Role: r.Role, Secondary: r.Secondary, Type: quota.KindRate}
	if r.GroupBy != quota.ByIP {
		a.GroupBy = r.GroupBy
	}
	return a, nil
}

func (s *System) writeRate(v engine.Tx, req rateRequest) (engine.None, error) {
	none := engine.None{}
	switch {
	case !(req.Rate > 0): // NaN is not either
		return none, engine.Bad("'rate' is invalid")
	case !(req.Secondary >= 0):
		return none, engine.Bad("'secondary_rate' is invalid")
	case !slices.Contains([]string{quota.ByIP, quota.ByNone, quota.ByEntityThenIP, quota.ByEntityThenNone}, req.GroupBy):
		return none, engine.Bad("'group_by' must be ip, none, entity_then_ip or entity_then_none")
	}
	r := &quota.Rate{Name: req.Name, Rate: req.Rate, Secondary: req.Secondary, Interval: time.Duration(req.Interval),
		Block: time.Duration(req.Block), GroupBy: req.GroupBy}
	if r.Secondary > 0 && !r.ByEntity() {
		return none, engine.Bad("'secondary_rate' needs a 'group_by' of entity_then_ip or entity_then_none")
	}
	if r.Interval == 0 {
		r.Interval = time.Second
	}
	tx := engine.CallOf(v).Whole
	var err error
	if r.Scope, err = s.scope(tx, &req.quotaScope); err != nil {
		return none, err
	}
	return none, quota.SetRate(tx, r)
}

func (s *System) deleteRate(v engine.Tx, req quotaName) (engine.None, error) {
	quota.DropRate(engine.CallOf(v).Whole, req.Name)
	return engine.None{}, nil
}

type leasesRequest struct {
	quotaScope
	Type string `json:"type" doc:"Not used: the path says it."`
	Max  int64  `json:"max_leases" doc:"Leases at a time, those of tokens included; more than 0."`
}

// leasesView is a lease-count quota as it is shown.
type leasesView struct {
	Counter     int64  `json:"counter"`
	Inheritable bool   `json:"inheritable"`
	Max         int64  `json:"max_leases"`
	Name        string `json:"name"`
	Path        string `json:"path"`
	Role        string `json:"role"`
	Type        string `json:"type"`
}

func (s *System) listLeaseCounts(v engine.View, _ engine.None) (engine.Keys, error) {
	quotas, err := quota.AllLeases(engine.CallOf(v).Whole)
	k := engine.Keys{}
	for _, q := range quotas {
		k.Keys = append(k.Keys, q.Name)
	}
	return k, err
}

func (s *System) readLeaseCount(v engine.View, req quotaName) (*leasesView, error) {
	tx := engine.CallOf(v).Whole
	quotas, err := quota.AllLeases(tx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(quotas, func(q *quota.Leases) bool { return q.Name == req.Name })
	if i < 0 {
		return nil, nil
	}
	q := quotas[i]
	n, err := quota.Held(tx, q)
	return &leasesView{Counter: n, Inheritable: q.Inheritable, Max: q.Max, Name: q.Name, Path: q.Path, Role: q.Role, Type: quota.KindLeases}, err
}

func (s *System) writeLeaseCount(v engine.Tx, req leasesRequest) (engine.None, error) {
	if req.Max <= 0 {
		return engine.None{}, engine.Bad("'max_leases' is invalid")
	}
	tx := engine.CallOf(v).Whole
	q := &quota.Leases{Name: req.Name, Max: req.Max}
	var err error
	if q.Scope, err = s.scope(tx, &req.quotaScope); err != nil {
		return engine.None{}, err
	}
	scopes, err := quota.SetLeases(tx, q)
	if err != nil {
		return engine.None{}, err
	}
	return engine.None{}, s.countAgain(tx, scopes)
}

func (s *System) deleteLeaseCount(v engine.Tx, req quotaName) (engine.None, error) {
	tx := engine.CallOf(v).Whole
	scopes, err := quota.DropLeases(tx, req.Name)
	if err != nil {
		return engine.None{}, err
	}
	return engine.None{}, s.countAgain(tx, scopes)
}

// countAgain has the leases of scopes counted by the quotas that they lie in now.
func (s *System) countAgain(tx *storage.Tx, scopes []quota.Scope) error {
	tree, err := s.Mounts.Spaces.Tree(tx)
	if err != nil {
		return err
	}
	for _, scope := range scopes {
		at := tree.At(scope.Namespace)
		if at == nil {
			continue // it is gone, with its leases
		}
		spaces := []*mount.Namespace{at}
		if scope.Inheritable {
			spaces = withBelow(tree, at)
		}
		for _, n := range spaces {
			s.Leases.CountAgain(tx.Of(n.Number), n.Path, scope.Mount)
		}
	}
	return nil
}

func (s *System) readQuotaConfig(v engine.View, _ engine.None) (*quota.Config, error) {
	c, err := quota.Settings(engine.CallOf(v).Whole)
	if err != nil {
		return nil, err
	}
	if c.Exempt == nil {
		c.Exempt = []string{}
	}
	if c.AbsoluteExempt == nil {
		c.AbsoluteExempt = []string{}
	}
	return c, nil
}

type quotaConfigRequest struct {
	Exempt         *[]string `json:"rate_limit_exempt_paths" doc:"Paths that no rate limit counts, in any namespace."`
	AbsoluteExempt *[]string `json:"absolute_rate_limit_exempt_paths" doc:"Paths with their namespace that no rate limit counts."`
	Headers        *bool     `json:"enable_rate_limit_response_headers" doc:"Tell clients how much is left to them."`
	Audit          *bool     `json:"enable_rate_limit_audit_logging" doc:"Record requests that are refused for their rate."`
}

func (s *System) writeQuotaConfig(v engine.Tx, req quotaConfigRequest) (engine.None, error) {
	tx := engine.CallOf(v).Whole
	c, err := quota.Settings(tx)
	if err != nil {
		return engine.None{}, err
	}
	if req.Exempt != nil {
		c.Exempt = cleanPaths(*req.Exempt)
	}
	if req.AbsoluteExempt != nil {
		c.AbsoluteExempt = cleanPaths(*req.AbsoluteExempt)
	}
	if req.Headers != nil {
		c.Headers = *req.Headers
	}
	if req.Audit != nil {
		c.Audit = *req.Audit
	}
	quota.SetSettings(tx, c)
	return engine.None{}, nil
}

// cleanPaths are paths as requests have them. An empty one is none.
func cleanPaths(paths []string) []string {
	out := make([]string, 0, len(paths))
	for _, p := range paths {
		if p = strings.TrimPrefix(strings.TrimSpace(p), "/"); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// quotasMoved has the quotas of a mount follow it; to nowhere, if to is empty.
func (s *System) quotasMoved(tx *storage.Tx, from, to string) error {
	n, err := s.Mounts.Spaces.Of(tx)
	if err != nil {
		return err
	}
	return quota.Moved(tx, n.Path, from, to)
}

func quotaRoutes() engine.Routes[System] {
	const rate, count = "quotas/rate-limit", "quotas/lease-count"
	return engine.Routes[System]{
		engine.Read("quotas/config", (*System).readQuotaConfig).RootNamespace().Doc("Show what holds for all rate limits."),
		engine.Write("quotas/config", (*System).writeQuotaConfig).RootNamespace().Doc("Change what holds for all rate limits."),
		engine.List(rate, (*System).listRates).RootNamespace().Doc("List the rate limits."),
		engine.Read(rate+"/{name}", (*System).readRate).RootNamespace().Doc("Show a rate limit."),
		engine.Write(rate+"/{name}", (*System).writeRate).RootNamespace().Doc("Limit the requests that a client can make in a time."),
		engine.Delete(rate+"/{name}", (*System).deleteRate).RootNamespace().Doc("Remove a rate limit."),
		engine.List(count, (*System).listLeaseCounts).RootNamespace().Doc("List the lease-count quotas."),
		engine.Read(count+"/{name}", (*System).readLeaseCount).RootNamespace().Doc("Show a lease-count quota, and how many leases it counts."),
		engine.Write(count+"/{name}", (*System).writeLeaseCount).RootNamespace().Doc("Limit how many leases there are at a time."),
		engine.Delete(count+"/{name}", (*System).deleteLeaseCount).RootNamespace().Doc("Remove a lease-count quota."),
	}
}
