package sys

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/storage"
)

type leaseID struct {
	ID string `json:"lease_id" doc:"Id of the lease."`
}

type leaseView struct {
	ID          string     `json:"id"`
	Path        string     `json:"path"`
	Issued      time.Time  `json:"issue_time"`
	Expires     *time.Time `json:"expire_time"`
	LastRenewal *time.Time `json:"last_renewal"`
	Renewable   bool       `json:"renewable"`
	TTL         int64      `json:"ttl"` // seconds left
}

func (s *System) lookupLease(v engine.View, req leaseID) (*leaseView, error) {
	l, err := s.Leases.Lookup(engine.CallOf(v).Whole, req.ID)
	if err != nil {
		return nil, err
	}
	a := &leaseView{ID: l.ID, Path: l.Path, Issued: l.Issued.UTC(), Expires: moment(l.Expires), LastRenewal: moment(l.LastRenewal), Renewable: l.Renewable}
	if a.Expires != nil {
		a.TTL = int64(l.Expires.Sub(v.Now()).Round(time.Second).Seconds())
	}
	return a, nil
}

// moment is a time, or nil for never.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

type leasePrefix struct {
	Prefix string `path:"prefix" doc:"Path that leases were made at, or the beginning of one."`
}

func (s *System) listLeases(v engine.View, req leasePrefix) (engine.Keys, error) {
	names, err := s.Leases.List(engine.CallOf(v).Whole, req.Prefix)
	return engine.KeysOf(names), err
}

// A lease is named in the path or in the body.
type leaseNamed struct {
	URLID string `path:"url_lease_id" doc:"Id of the lease."`
	leaseID
}

func (l leaseNamed) id() string {
	if l.URLID != "" {
		return l.URLID
	}
	return l.ID
}

type renewRequest struct {
	leaseNamed
	Increment engine.Duration `json:"increment" doc:"How long the lease is to live from now."`
}

func (s *System) renewLease(tx engine.Tx, req renewRequest) (*engine.Answer, error) {
	l, err := s.Leases.Renew(engine.CallOf(tx).Whole, req.id(), time.Duration(req.Increment), tx.Warn)
	if err != nil {
		return nil, err
	}
	return &engine.Answer{Lease: &engine.Lease{ID: l.ID, Duration: l.Expires.Sub(tx.Now()), Renewable: l.Renewable}}, nil
}

type revokeRequest struct {
	leaseNamed
	Sync bool `json:"sync" doc:"Answer when it has ended, or could not be."`
}

func (s *System) revokeLease(tx engine.Tx, req revokeRequest) (*engine.Answer, error) {
	whole := engine.CallOf(tx).Whole
	if err := s.Leases.Revoke(whole, req.id()); err != nil || !req.Sync {
		return nil, err
	}
	ns := whole.Namespace()
	return &engine.Answer{After: func(ctx context.Context) error { return lease.Ended(ctx, s.Store, ns, req.id()) }}, nil
}

type revokePrefixRequest struct {
	leasePrefix
	Sync bool `json:"sync" doc:"Answer when all have ended, or one could not be."`
}

func (s *System) revokePrefix(tx engine.Tx, req revokePrefixRequest) (*engine.Answer, error) {
	return s.revokeBelow(tx, req, false)
}

func (s *System) revokeForce(tx engine.Tx, req revokePrefixRequest) (*engine.Answer, error) {
	return s.revokeBelow(tx, req, true)
}

func (s *System) revokeBelow(tx engine.Tx, req revokePrefixRequest, force bool) (*engine.Answer, error) {
	whole := engine.CallOf(tx).Whole
	if err := s.Leases.RevokePrefix(whole, req.Prefix, force); err != nil || !req.Sync {
		return nil, err
	}
	ns := whole.Namespace()
	return &engine.Answer{After: func(ctx context.Context) error {
		return lease.EndedBelow(ctx, s.Store, ns, req.Prefix)
	}}, nil
}

// tidyLeases has nothing to do: a lease's row ends in the transaction that ends
// what was lent.
func (s *System) tidyLeases(tx engine.Tx, _ engine.None) (*engine.Answer, error) {
	tx.Warn("Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.")
	return &engine.Answer{Status: http.StatusAccepted}, nil
}

type leaseKind struct {
	Type       string `json:"type" doc:"Kind of leases; irrevocable is the one there is."`
	Limit      string `json:"limit" doc:"How many to list, or none for all."`
	Namespaces bool   `json:"include_child_namespaces" doc:"Look into child namespaces too."`
}

type leaseCount struct {
	Count  int            `json:"lease_count"`
	Counts map[string]int `json:"counts"` // by accessor of the mount
}

// irrevocable finds the leases of the request's namespace that could not be
// undone, or with it of those below, even if they are being deleted: up to n of
// them, and how many there are by accessor of the mount.
func (s *System) irrevocable(v engine.View, below bool, n int) (list []irrevocable, byMount map[string]int, err error) {
	tx := engine.CallOf(v).Whole
	spaces := []uint32{tx.Namespace()}
	if below {
		if spaces, err = s.numbersBelow(tx); err != nil {
			return nil, nil, err
		}
	}
	list, byMount = []irrevocable{}, map[string]int{}
	for _, number := range spaces {
		left := n
		if n >= 0 {
			left = n - len(list)
		}
		found, counts, err := s.Leases.Irrevocable(tx.Of(number), left)
		if err != nil {
			return nil, nil, err
		}
		for _, l := range found {
			list = append(list, irrevocable{l.ID, l.Mount, l.Failure})
		}
		if len(counts) == 0 {
			continue
		}
		table, err := s.Mounts.Table(tx.Of(number))
		if err != nil {
			return nil, nil, err
		}
		for mount, n := range counts {
			if l := table.ByUUID(mount); l != nil {
				mount = l.Accessor
			}
			byMount[mount] += n
		}
	}
	return list, byMount, nil
}

// numbersBelow are the namespace that tx sees and all below it.
func (s *System) numbersBelow(tx *storage.Tx) ([]uint32, error) {
	tree, err := s.Mounts.Spaces.Tree(tx)
	if err != nil {
		return nil, err
	}
	here := tree.ByNumber(tx.Namespace())
	var numbers []uint32
	for _, n := range append(withBelow(tree, here), tree.Deleting(here.Path)...) {
		numbers = append(numbers, n.Number)
	}
	return numbers, nil
}

func (s *System) countLeases(v engine.View, req leaseKind) (*leaseCount, error) {
	if req.Type != "irrevocable" {
		return nil, nil
	}
	_, byMount, err := s.irrevocable(v, req.Namespaces, 0)
	return &leaseCount{sum(byMount), byMount}, err
}

func sum(counts map[string]int) (all int) {
	for _, n := range counts {
		all += n
	}
	return all
}

type leasesOfKind struct {
	Count  int           `json:"lease_count"`
	Leases []irrevocable `json:"leases"`
}

type irrevocable struct {
	LeaseID string `json:"lease_id"`
	MountID string `json:"mount_id"`
	Error   string `json:"error"`
}

// listedLeases is how many irrevocable leases are listed unless told otherwise.
const listedLeases = 10000

func (s *System) irrevocableLeases(v engine.View, req leaseKind) (*leasesOfKind, error) {
	if req.Type != "irrevocable" {
		return nil, nil
	}
	limit := listedLeases
	if req.Limit == "none" {
		limit = -1
	} else if n, err := strconv.Atoi(req.Limit); err == nil && n > 0 {
		limit = n
	} else if req.Limit != "" {
		return nil, engine.Bad("invalid limit %q: it must be a positive number or none", req.Limit)
	}
	list, byMount, err := s.irrevocable(v, req.Namespaces, limit)
	return &leasesOfKind{sum(byMount), list}, err
}

// leaseRoutes has each of the routes that Vault moved below leases/ at its old
// place too.
func leaseRoutes() engine.Routes[System] {
	routes := engine.Routes[System]{
		engine.Compute("leases/lookup", (*System).lookupLease).Doc("Show a lease."),
		engine.List("leases/lookup", (*System).listLeases).Sudo().Doc("List the paths that leases were made at."),
		engine.List("leases/lookup/{prefix...}", (*System).listLeases).Sudo().Doc("List the leases below a path."),
		engine.Write("leases/tidy", (*System).tidyLeases).Doc("Look for leases that should have ended."),
		engine.Read("leases/count", (*System).countLeases).Doc("Count leases of a kind."),
		engine.Read("leases", (*System).irrevocableLeases).Sudo().Doc("List leases of a kind."),
	}
	for _, at := range []string{"leases/", ""} {
		routes = append(routes,
			engine.Write(at+"renew[/{url_lease_id...}]", (*System).renewLease).Doc("Renew a lease."),
			engine.Write(at+"revoke[/{url_lease_id...}]", (*System).revokeLease).Doc("Revoke a lease."),
			engine.Write(at+"revoke-prefix/{prefix...}", (*System).revokePrefix).Sudo().Doc("Revoke all leases below a path."),
			engine.Write(at+"revoke-force/{prefix...}", (*System).revokeForce).Sudo().Doc("Revoke all leases below a path, whatever it takes."),
		)
	}
	return routes
}
