package lease

import (
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Tokens is what leases need of the tokens they stand for.
type Tokens interface {
	// LeaseOf fills in the times of a token's lease. It says whether there is
	// such a token.
	LeaseOf(tx *storage.Tx, l *Lease) (bool, error)
	// Revoke ends a token and all below it.
	Revoke(tx *storage.Tx, tokenID string) error
}

// A Store keeps leases. Its methods work in the transaction they are given.
type Store struct {
	Tokens Tokens
	Now    func() time.Time
}

// inOne is how many leases one transaction revokes. The schedule does the rest.
const inOne = 256

// KindPrefix is the job that goes on revoking a prefix.
const KindPrefix = "lease-prefix"

// Handlers are what the schedule's runner needs to do this store's jobs.
func (s *Store) Handlers() map[string]schedule.Handler {
	return map[string]schedule.Handler{
		KindPrefix: func(tx *storage.Tx, j schedule.Job) error { return s.RevokePrefix(tx, j.ID) },
	}
}

// find returns a lease, or nil.
func (s *Store) find(tx *storage.Tx, id string) (*Lease, error) {
	r, err := rows(tx).Get(id)
	if err != nil || r == nil {
		return nil, err
	}
	path := id[:max(strings.LastIndexByte(id, '/'), 0)]
	l := &Lease{ID: id, Path: path, Token: r.Token}
	ok, err := s.Tokens.LeaseOf(tx, l)
	if err != nil || !ok {
		return nil, err
	}
	return l, nil
}

func missingID() error { return engine.Bad("lease_id must be specified") }

// Lookup shows a lease.
func (s *Store) Lookup(tx *storage.Tx, id string) (*Lease, error) {
	if id == "" {
		return nil, missingID()
	}
	l, err := s.find(tx, id)
	if err == nil && l == nil {
		err = engine.Bad("invalid lease")
	}
	return l, err
}

// Renew prolongs a lease by increment from now. Tokens have routes of their own
// for that.
func (s *Store) Renew(tx *storage.Tx, id string, _ time.Duration) error {
	if id == "" {
		return missingID()
	}
	l, err := s.find(tx, id)
	switch {
	case err != nil:
		return err
	case l == nil:
		return engine.Bad("lease not found")
	}
	return engine.Bad("tokens cannot be renewed through this endpoint")
}

// Revoke ends a lease and what was lent. An unknown id is no error.
func (s *Store) Revoke(tx *storage.Tx, id string) error {
	if id == "" {
		return missingID()
	}
	r, err := rows(tx).Get(id)
	if err != nil || r == nil {
		return err
	}
	if err := s.Tokens.Revoke(tx, r.Token); err != nil {
		return err
	}
	rows(tx).Delete(id)
	return nil
}

// RevokePrefix ends all leases below a path: the first of them in this
// transaction, the rest at once after it.
func (s *Store) RevokePrefix(tx *storage.Tx, prefix string) error {
	prefix = strings.Trim(prefix, "/")
	ids, more, err := below(tx, prefix, inOne)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.Revoke(tx, id); err != nil {
			return err
		}
	}
	if more {
		schedule.At(tx, s.Now(), schedule.Job{Kind: KindPrefix, ID: prefix})
	}
	return nil
}

// List names what lies one level below a path: folders end in a slash.
func (s *Store) List(tx *storage.Tx, prefix string) ([]string, error) {
	return rows(tx).Names(strings.Trim(prefix, "/"), "")
}

// Count counts the leases below a path ("" is all). It looks at every one.
func (s *Store) Count(tx *storage.Tx, prefix string) (int, error) {
	ids, _, err := below(tx, strings.Trim(prefix, "/"), -1)
	return len(ids), err
}

// below lists up to n ids below a path (all when n is negative), and whether
// there are more.
func below(tx *storage.Tx, path string, n int) (ids []string, more bool, err error) {
	for name, err := range tx.In(storage.Leases).Children(path, "") {
		if err != nil {
			return nil, false, err
		}
		full := name
		if path != "" {
			full = path + "/" + name
		}
		folder, isFolder := strings.CutSuffix(full, "/")
		switch {
		case n >= 0 && len(ids) >= n:
			return ids, true, nil
		case !isFolder:
			ids = append(ids, full)
			continue
		}
		rest := n
		if n >= 0 {
			rest = n - len(ids)
		}
		sub, subMore, err := below(tx, folder, rest)
		if err != nil {
			return nil, false, err
		}
		if ids = append(ids, sub...); subMore {
			return ids, true, nil
		}
	}
	return ids, false, nil
}
