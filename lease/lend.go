package lease

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/draw"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// reserved is how long something may take to be made. Then it is undone.
const reserved = 10 * time.Minute

// A Request is what is to be lent, and to whom.
type Request struct {
	Space  string // path of the namespace
	Path   string // of the request
	Mount  *engine.Mount
	Owner  string    // storage id of the token it ends with; "" is none
	Latest time.Time // it ends by then; zero is no such time
	Mark   string    // what ends the id in a namespace: "." and the namespace's id
	Loan   *engine.Loan
	Warn   func(format string, args ...any)
}

// Reserve notes what is about to be made, and has it undone in a while unless
// Confirm is called before.
func (s *Store) Reserve(tx *storage.Tx, q Request) (*Lease, error) {
	defer s.observe(Registered, time.Now())
	now := s.Now()
	t := q.Loan.Terms
	counts, err := quota.Took(tx, quota.Lent{Namespace: q.Space, Path: q.Path})
	if err != nil {
		return nil, err
	}
	r := &row{Quota: counts, Mount: q.Mount.UUID, Owner: q.Owner, Loan: q.Loan, Issued: now, Reserved: true, MaxTTL: t.MaxTTL,
		TTL: t.TTL, Renewable: !t.NotRenewable}
	if r.TTL <= 0 {
		r.TTL = q.Mount.DefaultTTL
	}
	limit := engine.ShorterOf(t.MaxTTL, q.Mount.MaxTTL)
	if limit > 0 && r.TTL > limit {
		if t.TTL > 0 {
			q.Warn(capped, engine.SpellDuration(t.TTL), engine.SpellDuration(limit))
		}
		r.TTL = limit
	}
	if left := q.Latest.Sub(now); !q.Latest.IsZero() && r.TTL > left {
		r.TTL, r.Renewable = left, false
	}
	r.Expires = now.Add(r.TTL)
	name, err := draw.Base62(rand.Reader, 24)
	if err != nil {
		return nil, err
	}
	id := strings.TrimSuffix(q.Path, "/") + "/" + name + q.Mark
	var n [16]byte
	_, _ = rand.Read(n[:]) // does not fail
	r.Number = hex.EncodeToString(n[:])
	owners(tx).Put(ownerKey(r.Mount, r.Number), &owned{tx.Namespace(), id})
	if q.Owner != "" {
		home, err := s.Tokens.HomeOf(tx, q.Owner)
		if err != nil {
			return nil, err
		}
		owners(home).Put(ownerKey(q.Owner, r.Number), &owned{tx.Namespace(), id})
	}
	rows(tx).Put(id, r)
	schedule.At(tx, now.Add(reserved), job(id, r))
	return s.show(id, r), nil
}

// Confirm notes that what was reserved has been made. data is what has become of
// its data. An error says that it is being undone, or was.
func (s *Store) Confirm(tx *storage.Tx, id string, l *engine.Loan) (*Lease, error) {
	r, err := rows(tx).Get(id)
	if err != nil {
		return nil, err
	}
	if r == nil || !r.Reserved {
		return nil, fmt.Errorf("the lease took longer than %s to be made and was undone", reserved)
	}
	r.Reserved, r.Loan = false, l
	rows(tx).Put(id, r)
	schedule.At(tx, r.Expires, job(id, r))
	return s.show(id, r), nil
}

// Abandon has what was reserved undone at once.
func (s *Store) Abandon(tx *storage.Tx, id string) error {
	r, err := rows(tx).Get(id)
	if err != nil || r == nil {
		return err
	}
	r.Reserved = false
	s.end(tx, id, r)
	return nil
}

func job(id string, r *row) schedule.Job {
	return schedule.Job{Kind: KindExpire, Mount: r.Mount, ID: id}
}

func ownerKey(owner, number string) string { return owner + "/" + number }

const capped = "TTL of %q exceeded the effective max_ttl of %q; TTL value is capped accordingly"

// expire undoes what a lease lent, when its time has come.
func (s *Store) expire(tx *storage.Tx, id string) error {
	r, err := rows(tx).Get(id)
	if err != nil || r == nil || r.Loan == nil {
		return err
	}
	if now := s.Now(); !r.Reserved && now.Before(r.Expires.Truncate(time.Millisecond)) {
		schedule.At(tx, r.Expires, job(id, r))
		return nil
	}
	began := time.Now()
	if err := s.Loans.Undo(tx, r.Mount, r.Loan); err != nil && !r.Forced {
		s.observe(ExpiredFailed, began)
		return err
	}
	s.observe(Expired, began)
	return s.remove(tx, id, r)
}

func (s *Store) remove(tx *storage.Tx, id string, r *row) error {
	rows(tx).Delete(id)
	unlist(tx, r)
	if err := quota.Gave(tx, r.Quota); err != nil {
		return err
	}
	job(id, r).Cancel(tx)
	owners(tx).Delete(ownerKey(r.Mount, r.Number))
	if r.Owner == "" {
		return nil
	}
	home, err := s.Tokens.HomeOf(tx, r.Owner)
	if err == nil {
		owners(home).Delete(ownerKey(r.Owner, r.Number))
	}
	return err
}
