package lease

import (
	"fmt"
	"strings"

	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// maxAttempts is how often undoing a loan is tried before it is given up.
const maxAttempts = 6

// A stuck row, of storage.Irrevocable, leads to a lease that was given up:
//
//	<mount>/<number> -> stuck
//
// Finding what was given up costs what was, however many leases there are.
type stuck struct {
	ID string `json:"id"`
}

func stuckRows(tx *storage.Tx) storage.Table[stuck] {
	return storage.In[stuck](tx.In(storage.Irrevocable), "")
}

// unlist takes a lease that is tried again, or is gone, from the list of what was
// given up.
func unlist(tx *storage.Tx, r *row) {
	if r.GivenUp {
		tx.In(storage.Irrevocable).Delete(ownerKey(r.Mount, r.Number))
	}
}

// giveUp notes why undoing failed, and after many attempts leaves it at that. In a
// namespace that is being deleted it is tried for ever, and listed all the same.
func (s *Store) giveUp(tx *storage.Tx, j schedule.Job, cause error) (again bool, err error) {
	r, err := rows(tx).Get(j.ID)
	if err != nil || r == nil {
		return false, err
	}
	r.Failure, r.Reserved = cause.Error(), false
	if r.GivenUp = j.Attempts >= maxAttempts; r.GivenUp {
		stuckRows(tx).Put(ownerKey(r.Mount, r.Number), &stuck{j.ID})
	}
	rows(tx).Put(j.ID, r)
	return !r.GivenUp || r.Ending, nil
}

// Irrevocable lists the leases that could not be undone, up to n of them (all
// when n is negative), and says how many there are by mount.
func (s *Store) Irrevocable(tx *storage.Tx, n int) (list []*Lease, byMount map[string]int, err error) {
	byMount = make(map[string]int)
	for found, err := range tx.In(storage.Irrevocable).Scan("", "") {
		if err != nil {
			return nil, nil, fmt.Errorf("list irrevocable leases: %w", err)
		}
		mount, _, _ := strings.Cut(string(found.Key), "/")
		byMount[mount]++
		if n >= 0 && len(list) >= n {
			continue
		}
		at, err := stuckRows(tx).Get(string(found.Key))
		if err != nil {
			return nil, nil, err
		}
		r, err := rows(tx).Get(at.ID)
		if err != nil {
			return nil, nil, err
		}
		if r == nil {
			return nil, nil, fmt.Errorf("an irrevocable lease has no row")
		}
		list = append(list, s.show(at.ID, r))
	}
	return list, byMount, nil
}
