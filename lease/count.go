package lease

import (
	"strings"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// CountAgain has the leases below a path counted by the quotas that they lie in
// now. space is the path of the namespace.
func (s *Store) CountAgain(tx *storage.Tx, space, prefix string) {
	s.countFrom(tx, space, strings.Trim(prefix, "/"), "")
}

// countFrom goes on after a lease.
func (s *Store) countFrom(tx *storage.Tx, space, prefix, after string) {
	id := strings.Join([]string{space, prefix, after}, "\x1f")
	schedule.At(tx, s.Now(), schedule.Job{Kind: KindCount, ID: id})
}

// countAgain counts the next leases. A lease that is made or ends meanwhile goes
// by the quotas as they are, so the counts are right before and after each page.
func (s *Store) countAgain(tx *storage.Tx, job string) error {
	space, rest, _ := strings.Cut(job, "\x1f")
	prefix, after, _ := strings.Cut(rest, "\x1f")
	ids, more, err := below(tx, prefix, after, inOne)
	if err != nil {
		return err
	}
	for _, id := range ids {
		r, err := rows(tx).Get(id)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		was := r.Quota
		if r.Quota, err = quota.Again(tx, quota.Lent{Namespace: space, Path: pathOf(id), Role: r.Role}, was); err != nil {
			return err
		}
		if r.Quota != was {
			rows(tx).Put(id, r)
		}
	}
	if more {
		s.countFrom(tx, space, prefix, within(prefix, ids[len(ids)-1]))
	}
	return nil
}
