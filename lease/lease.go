// Package lease keeps what was lent: every lease has an id, which is the path
// that made it and a name of its own, and ends by time, by id, by prefix or
// with the token it belongs to.
//
// It promises that nothing lent is forgotten. A lease's row is committed,
// marked reserved, before anything is made outside, and goes only when that was
// undone; what cannot be undone stays as an irrevocable lease, with the reason.
// A token's lease says nothing that the token does not: its row only makes the
// token findable by path, and goes with it.
//
// There is no timer and no memory per lease: each has one job in the due index.
package lease

import (
	"time"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Lease is something lent, as a lookup shows it.
type Lease struct {
	ID          string
	Path        string // the request that made it
	Token       string // storage id of the token, when it is a token that was lent
	Mount       string // UUID of the mount that lent it, when it is no token
	Issued      time.Time
	Expires     time.Time // zero is never
	LastRenewal time.Time // zero is never
	Renewable   bool
	Failure     string // why it cannot be revoked; "" is not tried or not failed
}

// A row of storage.Leases, by lease id. That of a token has nothing but Token
// and what quotas go by.
type row struct {
	Token string `json:"token,omitempty"`
	Role  string `json:"role,omitempty"`  // of the login that gave the token
	Quota uint64 `json:"quota,omitempty"` // that counts it; 0 is none

	Mount       string        `json:"mount,omitempty"`
	Owner       string        `json:"owner,omitempty"`  // storage id of the token that it ends with
	Number      string        `json:"number,omitempty"` // names its row among the owner's
	Loan        *engine.Loan  `json:"loan,omitempty"`
	Issued      time.Time     `json:"issued,omitzero"`
	Expires     time.Time     `json:"expires,omitzero"`
	LastRenewal time.Time     `json:"last_renewal,omitzero"`
	TTL         time.Duration `json:"ttl,omitempty"`
	MaxTTL      time.Duration `json:"max_ttl,omitempty"` // as the terms had it; 0 is the mount's
	Renewable   bool          `json:"renewable,omitempty"`
	Reserved    bool          `json:"reserved,omitempty"` // not known to have been made
	Failure     string        `json:"failure,omitempty"`  // of the last attempt to undo it
	GivenUp     bool          `json:"given_up,omitempty"` // many attempts have failed; it is in storage.Irrevocable
	Forced      bool          `json:"forced,omitempty"`   // it goes even if that fails
	Ending      bool          `json:"ending,omitempty"`   // its namespace is being deleted: it is never left alone
}

// lent says whether the lease is there for those who ask.
func (r *row) lent(now time.Time) bool { return !r.Reserved && now.Before(r.Expires) }

// An owned row, of storage.Owners, leads to a lease from the token that it ends
// with, in the token's namespace, and from the mount that lent it.
type owned struct {
	Namespace uint32 `json:"ns,omitempty"` // that the lease is in
	ID        string `json:"id"`
}

// OfToken is the id of a token's lease: the path that created the token, and
// the token's storage id, which cannot be used as a token.
func OfToken(path, tokenID string) string { return path + "/h" + tokenID }

// AttachToken makes the lease of a token, unless a quota refuses it.
func AttachToken(tx *storage.Tx, at quota.Lent, tokenID string) error {
	id, err := quota.Took(tx, at)
	if err != nil {
		return err
	}
	rows(tx).PutNew(OfToken(at.Path, tokenID), &row{Token: tokenID, Role: at.Role, Quota: id})
	return nil
}

// DetachToken removes the lease of a token that ended.
func DetachToken(tx *storage.Tx, path, tokenID string) error {
	id := OfToken(path, tokenID)
	r, err := rows(tx).Get(id)
	if err != nil || r == nil {
		return err
	}
	rows(tx).Delete(id)
	return quota.Gave(tx, r.Quota)
}

func rows(tx *storage.Tx) storage.Table[row] {
	return storage.In[row](tx.In(storage.Leases), "")
}

func owners(tx *storage.Tx) storage.Table[owned] {
	return storage.In[owned](tx.In(storage.Owners), "")
}
