package token

import (
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/storage"
)

var _ lease.Tokens = (*Store)(nil)

// LeaseOf fills in the times of a token's lease. It says whether the token may
// still be used.
func (s *Store) LeaseOf(tx *storage.Tx, l *lease.Lease) (bool, error) {
	e, err := s.ByID(tx, l.Token)
	if err != nil || e == nil {
		return false, err
	}
	l.Path, l.Issued, l.Expires, l.LastRenewal, l.Renewable = e.Path, e.Created, e.Expires, e.LastRenewal, e.Renewable
	return true, nil
}

// HomeOf is the transaction as the namespace of a token sees it.
func (s *Store) HomeOf(tx *storage.Tx, tokenID string) (*storage.Tx, error) {
	return s.home(tx, tokenID)
}
