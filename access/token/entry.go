package token

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/api"
)

// The types of token.
const (
	Service = "service" // a row in storage; can be renewed and revoked
	Batch   = "batch"   // carries its own entry, sealed; ends by time or with its parent
)

// pending is NumUses of a token whose last use was taken: nobody can use it
// again, and its revocation is due.
const pending = -1

// An Entry is what a token is. Entries that Authenticate returns are shared
// and must not be changed.
type Entry struct {
	ID              string            `json:"id,omitempty"` // storage id; cannot be used as a token
	Accessor        string            `json:"accessor,omitempty"`
	Parent          string            `json:"parent,omitempty"` // storage id; "" is an orphan
	Policies        []string          `json:"policies"`         // normalised
	Path            string            `json:"path"`             // request that created it
	DisplayName     string            `json:"display_name"`
	Meta            map[string]string `json:"meta,omitempty"`
	NumUses         int               `json:"num_uses,omitempty"` // left; 0 is no limit, -1 is none left
	Created         time.Time         `json:"created"`
	TTL             time.Duration     `json:"ttl,omitempty"` // at creation
	MaxTTL          time.Duration     `json:"max_ttl,omitempty"`
	ExplicitMaxTTL  time.Duration     `json:"explicit_max_ttl,omitempty"`
	Period          time.Duration     `json:"period,omitempty"`
	Expires         time.Time         `json:"expires,omitzero"` // zero is never
	LastRenewal     time.Time         `json:"last_renewal,omitzero"`
	RenewedTTL      time.Duration     `json:"renewed_ttl,omitempty"` // what LastRenewal gave; the next asks for the same
	Renewable       bool              `json:"renewable,omitempty"`
	Type            string            `json:"type"`
	BoundCIDRs      []string          `json:"bound_cidrs,omitempty"`
	EntityID        string            `json:"entity_id,omitempty"`
	CubbyholeID     string            `json:"cubbyhole_id,omitempty"`
	EntityHome      string            `json:"entity_home,omitempty"`    // namespace of the entity; "" is the token's own
	NamespaceID     string            `json:"namespace_id,omitempty"`   // "" is root
	NamespacePath   string            `json:"namespace_path,omitempty"` // when it was made
	NoDefaultPolicy bool              `json:"no_default_policy,omitempty"`
	Role            string            `json:"role,omitempty"`
	Mount           string            `json:"mount,omitempty"` // UUID of the auth method that gave it, if one did
	Held            map[string]string `json:"held,omitempty"`  // what that method needs to renew it
}

// Root says whether the token bypasses policies.
func (e *Entry) Root() bool { return slices.Contains(e.Policies, "root") }

// Orphan says whether the token ends on its own only.
func (e *Entry) Orphan() bool { return e.Parent == "" }

// Left is how long the token still lives, zero when forever.
func (e *Entry) Left(now time.Time) time.Duration {
	if e.Expires.IsZero() {
		return 0
	}
	return e.Expires.Sub(now)
}

// alive says whether the token may be used at a moment.
func (e *Entry) alive(now time.Time) bool {
	return e.NumUses != pending && (e.Expires.IsZero() || now.Before(e.Expires))
}

// admits says whether the token may be used from an address.
func (e *Entry) admits(from netip.Addr) bool {
	if len(e.BoundCIDRs) == 0 {
		return true
	}
	from = from.Unmap()
	for _, c := range e.BoundCIDRs {
		if p, err := parseCIDR(c); err == nil && p.Contains(from) {
			return true
		}
	}
	return false
}

// parseCIDR reads a network, or an address as the network of itself.
func parseCIDR(s string) (netip.Prefix, error) {
	if strings.IndexByte(s, '/') >= 0 {
		p, err := netip.ParsePrefix(s)
		if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p, err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Unmap().Prefix(a.Unmap().BitLen())
}

// Auth is the entry as the answer of a creation or renewal shows it. raw is
// the token itself, or "" where the answer must not have it.
func (e *Entry) Auth(raw string, now time.Time) *api.Auth {
	return &api.Auth{
		ClientToken: raw, Accessor: e.Accessor, DisplayName: e.DisplayName,
		Policies: e.Policies, TokenPolicies: e.Policies, Metadata: e.Meta,
		LeaseDuration: seconds(e.Left(now)), Renewable: e.Renewable,
		EntityID: e.EntityID, TokenType: e.Type, Orphan: e.Orphan(), NumUses: e.NumUses,
	}
}

// seconds rounds: a TTL read a moment later is still the TTL that was given.
func seconds(d time.Duration) int64 { return int64(d.Round(time.Second) / time.Second) }
