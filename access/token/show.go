package token

import (
	"iter"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// Shown is a token as a lookup answers it. Fields are in the order of their
// names, as in Vault's answers.
type Shown struct {
	Accessor        string            `json:"accessor"`
	BoundCIDRs      []string          `json:"bound_cidrs,omitempty"`
	CreationTime    int64             `json:"creation_time"` // Unix
	CreationTTL     int64             `json:"creation_ttl"`
	DisplayName     string            `json:"display_name"`
	EntityID        string            `json:"entity_id"`
	ExpireTime      *time.Time        `json:"expire_time"` // null is never
	ExplicitMaxTTL  int64             `json:"explicit_max_ttl"`
	External        *struct{}         `json:"external_namespace_policies,omitempty"` // {} beside identity_policies
	ID              string            `json:"id"`
	Identity        []string          `json:"identity_policies,omitempty"` // that the entity gives
	IssueTime       time.Time         `json:"issue_time"`
	LastRenewal     *time.Time        `json:"last_renewal,omitempty"`
	LastRenewalTime int64             `json:"last_renewal_time,omitempty"` // Unix
	Meta            map[string]string `json:"meta"`
	NamespacePath   string            `json:"namespace_path,omitempty"`
	NumUses         int               `json:"num_uses"`
	Orphan          bool              `json:"orphan"`
	Path            string            `json:"path"`
	Period          int64             `json:"period,omitempty"`
	Policies        []string          `json:"policies"`
	Renewable       bool              `json:"renewable"`
	Role            string            `json:"role,omitempty"`
	TTL             int64             `json:"ttl"`
	Type            string            `json:"type"`
}

// show is the answer for an entry. raw is the token, or "" where the answer
// must not have it. All lengths of time are in seconds.
func (s *Store) show(tx *storage.Tx, e *Entry, raw string) (*Shown, error) {
	a := &Shown{
		Accessor: e.Accessor, BoundCIDRs: e.BoundCIDRs,
		CreationTime: e.Created.Unix(), CreationTTL: seconds(e.TTL), DisplayName: e.DisplayName,
		EntityID: e.EntityID, ExplicitMaxTTL: seconds(e.ExplicitMaxTTL), ID: raw, IssueTime: e.Created.UTC(),
		Meta: e.Meta, NamespacePath: e.NamespacePath, NumUses: e.NumUses, Orphan: e.Orphan(), Path: e.Path, Period: seconds(e.Period),
		Policies: e.Policies, Renewable: e.Renewable, Role: e.Role, TTL: seconds(e.Left(s.o.Now())), Type: e.Type,
	}
	if !e.Expires.IsZero() {
		t := e.Expires.UTC()
		a.ExpireTime = &t
	}
	if !e.LastRenewal.IsZero() {
		t := e.LastRenewal.UTC()
		a.LastRenewal, a.LastRenewalTime = &t, t.Unix()
	}
	if e.EntityID == "" || s.o.IdentityPolicies == nil {
		return a, nil
	}
	var err error
	if a.Identity, err = s.o.IdentityPolicies(tx, e); len(a.Identity) > 0 {
		a.External = &struct{}{}
	}
	return a, err
}

// Count is how many service tokens there are. It reads the whole list of
// accessors.
func (s *Store) Count(tx *storage.Tx) (n int, err error) {
	for _, err := range tx.In(storage.Accessors).Children("", "") {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// All lists the tokens of the namespace that tx sees which may be used, shared.
// Batch tokens are nowhere to be found.
func (s *Store) All(tx *storage.Tx) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for name, err := range tx.In(storage.Accessors).Children("", "") {
			var e *Entry
			if err == nil {
				e, err = s.ByAccessor(tx, name)
			}
			if (e != nil || err != nil) && !yield(e, err) || err != nil {
				return
			}
		}
	}
}
