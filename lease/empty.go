package lease

import (
	"fmt"
	"strings"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/storage"
)

// Parts of emptying a namespace, and what follows their names: where to go on.
const (
	partEnd   = "end/"   // have everything undone: the row of an owner
	partWait  = "wait/"  // until it is
	partCount = "count/" // take what is left, of tokens, from quotas: a lease
)

// Empty has everything that a namespace has lent undone, a page in this
// transaction; after is what the last page gave, at first "". Nothing is given up:
// what cannot be undone is tried again for ever, or with force once more and then
// forgotten. wait says that there is nothing to do until something has been undone.
// It is done when after is "".
func (s *Store) Empty(tx *storage.Tx, from string, force bool) (after string, wait bool, err error) {
	part, at := partEnd, ""
	if i := strings.IndexByte(from, '/'); i >= 0 {
		part, at = from[:i+1], from[i+1:]
	}
	switch part {
	case partEnd:
		after, err = s.emptyEnd(tx, at, force)
		return after, false, err
	case partWait:
		return s.emptyWait(tx)
	case partCount:
		after, err = s.emptyCount(tx, at)
		return after, false, err
	}
	return "", false, fmt.Errorf("empty a namespace: no part %q", part)
}

// held gives the loan that the row of an owner leads to. A row that leads nowhere
// any longer, since the loan's namespace is gone, is removed.
func held(tx *storage.Tx, key string) (o *owned, r *row, err error) {
	if o, err = owners(tx).Get(key); err != nil || o == nil {
		return nil, nil, err
	}
	if r, err = rows(tx.Of(o.Namespace)).Get(o.ID); err != nil {
		return nil, nil, err
	}
	if r == nil || r.Loan == nil {
		tx.In(storage.Owners).Delete(key)
		return nil, nil, nil
	}
	return o, r, nil
}

// emptyEnd goes through the rows of owners from one on: those of mounts have all
// that is lent in the namespace, those of tokens what they hold elsewhere as well.
func (s *Store) emptyEnd(tx *storage.Tx, from string, force bool) (after string, err error) {
	n := 0
	for row, err := range tx.In(storage.Owners).Scan(from, "") {
		if err != nil {
			return "", fmt.Errorf("list loans: %w", err)
		}
		key := string(row.Key)
		if n++; n > inOne {
			return partEnd + key, nil
		}
		o, r, err := held(tx, key)
		if err != nil {
			return "", err
		}
		if r == nil || r.Ending && (r.Forced || !force) {
			continue
		}
		r.Ending, r.Forced = true, r.Forced || force
		s.end(tx.Of(o.Namespace), o.ID, r)
	}
	return partWait, nil
}

// emptyWait looks for one loan that is left.
func (s *Store) emptyWait(tx *storage.Tx) (after string, wait bool, err error) {
	n := 0
	for row, err := range tx.In(storage.Owners).Scan("", "") {
		if err != nil {
			return "", false, fmt.Errorf("list loans: %w", err)
		}
		if n++; n > inOne {
			return partWait, false, nil
		}
		_, r, err := held(tx, string(row.Key))
		switch {
		case err != nil:
			return "", false, err
		case r != nil && !r.Ending:
			return partEnd, false, nil
		case r != nil:
			return partWait, true, nil
		}
	}
	return partCount, false, nil
}

// emptyCount takes the leases of tokens from the quotas that count them. The
// tokens end with their rows.
func (s *Store) emptyCount(tx *storage.Tx, from string) (after string, err error) {
	for _, err := range tx.In(storage.Owners).Scan("", "") {
		return partWait, err // something was lent meanwhile
	}
	quotas, err := quota.AllLeases(tx)
	if err != nil || len(quotas) == 0 {
		return "", err // nobody counts
	}
	ids, more, err := below(tx, "", from, inOne)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		r, err := rows(tx).Get(id)
		if err != nil {
			return "", err
		}
		if r == nil {
			continue
		}
		rows(tx).Delete(id)
		if err := quota.Gave(tx, r.Quota); err != nil {
			return "", err
		}
	}
	if more {
		return partCount + ids[len(ids)-1], nil
	}
	return "", nil
}
