// Package lease keeps what was lent: every lease has an id, which is the path
// that made it and a name of its own, and ends by time, by id, by prefix or
// with the token it belongs to.
//
// It promises that a lease's row is written and removed in the transaction that
// makes and ends the thing lent. A token's lease says nothing that the token
// does not: its row only makes the token findable by path.
package lease

import (
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// A Lease is something lent, as a lookup shows it.
type Lease struct {
	ID          string
	Path        string // the request that made it
	Token       string // storage id of the token, when it is a token that was lent
	Issued      time.Time
	Expires     time.Time // zero is never
	LastRenewal time.Time // zero is never
	Renewable   bool
}

// A row of storage.Leases, by lease id.
type row struct {
	Token string `json:"token,omitempty"`
}

// OfToken is the id of a token's lease: the path that created the token, and
// the token's storage id, which cannot be used as a token.
func OfToken(path, tokenID string) string { return path + "/h" + tokenID }

// AttachToken makes the lease of a token.
func AttachToken(tx *storage.Tx, path, tokenID string) {
	rows(tx).Put(OfToken(path, tokenID), &row{Token: tokenID})
}

// DetachToken removes the lease of a token that ended.
func DetachToken(tx *storage.Tx, path, tokenID string) {
	rows(tx).Delete(OfToken(path, tokenID))
}

func rows(tx *storage.Tx) storage.Table[row] {
	return storage.In[row](tx.In(storage.Leases), "")
}
