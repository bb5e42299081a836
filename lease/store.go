package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Tokens is what leases need of the tokens they stand for or end with.
type Tokens interface {
	// LeaseOf fills in the times of a token's lease. It says whether there is
	// such a token.
	LeaseOf(tx *storage.Tx, l *Lease) (bool, error)
	// Revoke ends a token and all below it.
	Revoke(tx *storage.Tx, tokenID string) error
	// HomeOf is the transaction as the namespace of a token sees it.
	HomeOf(tx *storage.Tx, tokenID string) (*storage.Tx, error)
}

// Loans is what leases need of the mounts that lend. Undo and Extend may act
// outside, and may be called again for what they have done.
type Loans interface {
	Undo(tx *storage.Tx, mount string, l *engine.Loan) error
	Extend(tx *storage.Tx, mount string, l *engine.Loan, until time.Time) error
	// MaxTTL is the longest that a mount lends anything; 0 when it is gone.
	MaxTTL(tx *storage.Tx, mount string) (time.Duration, error)
}

// A Store keeps leases. Its methods work in the transaction they are given.
type Store struct {
	Tokens Tokens
	Loans  Loans
	Now    func() time.Time
	// Observe, unless nil, is told of events and how long each took.
	Observe func(Event, time.Duration)
}

// inOne is how many leases one transaction revokes. The schedule does the rest.
const inOne = 256

// Kinds of job.
const (
	KindExpire = "lease"        // a lease's time is up
	KindPrefix = "lease-prefix" // what is left of a prefix that is revoked
	KindForce  = "lease-force"  // the same, whatever it takes
	KindOwner  = "lease-owner"  // what is left of the leases of a token that ended
	KindCount  = "lease-count"  // leases that are to be counted by another quota
)

// Handlers are what the schedule's runner needs to do this store's jobs.
func (s *Store) Handlers() map[string]schedule.Handler {
	return map[string]schedule.Handler{
		KindExpire: func(tx *storage.Tx, j schedule.Job) error { return s.expire(tx, j.ID) },
		KindPrefix: func(tx *storage.Tx, j schedule.Job) error { return s.RevokePrefix(tx, j.ID, false) },
		KindForce:  func(tx *storage.Tx, j schedule.Job) error { return s.RevokePrefix(tx, j.ID, true) },
		KindOwner:  func(tx *storage.Tx, j schedule.Job) error { return s.EndOwner(tx, j.ID) },
		KindCount:  func(tx *storage.Tx, j schedule.Job) error { return s.countAgain(tx, j.ID) },
	}
}

// GiveUp is what the runner asks when undoing a lease has failed.
func (s *Store) GiveUp() map[string]func(*storage.Tx, schedule.Job, error) (bool, error) {
	return map[string]func(*storage.Tx, schedule.Job, error) (bool, error){KindExpire: s.giveUp}
}

// show is a lease that lends something else than a token.
func (s *Store) show(id string, r *row) *Lease {
	l := &Lease{ID: id, Path: pathOf(id), Mount: r.Mount, Issued: r.Issued, Expires: r.Expires,
		LastRenewal: r.LastRenewal, Renewable: r.Renewable}
	if r.GivenUp {
		l.Failure = r.Failure
	}
	return l
}

func pathOf(id string) string { return id[:max(strings.LastIndexByte(id, '/'), 0)] }

// find returns a lease, or nil.
func (s *Store) find(tx *storage.Tx, id string) (*Lease, *row, error) {
	r, err := rows(tx).Get(id)
	if err != nil || r == nil {
		return nil, nil, err
	}
	if r.Token == "" {
		if !r.lent(s.Now()) && !r.GivenUp {
			return nil, nil, nil
		}
		return s.show(id, r), r, nil
	}
	l := &Lease{ID: id, Path: pathOf(id), Token: r.Token}
	ok, err := s.Tokens.LeaseOf(tx, l)
	if err != nil || !ok {
		return nil, nil, err
	}
	return l, r, nil
}

func missingID() error { return engine.Bad("lease_id must be specified") }

// Lookup shows a lease.
func (s *Store) Lookup(tx *storage.Tx, id string) (*Lease, error) {
	if id == "" {
		return nil, missingID()
	}
	l, _, err := s.find(tx, id)
	if err == nil && l == nil {
		err = engine.Bad("invalid lease")
	}
	return l, err
}

// Renew prolongs a lease by increment from now, or by what it was lent for when
// that is 0, at most to what mount and terms allow from its issue. Tokens have
// routes of their own for that.
func (s *Store) Renew(tx *storage.Tx, id string, increment time.Duration, warn func(string, ...any)) (*Lease, error) {
	if id == "" {
		return nil, missingID()
	}
	defer s.observe(Renewed, time.Now())
	l, r, err := s.find(tx, id)
	switch {
	case err != nil:
		return nil, err
	case l == nil || r.GivenUp:
		return nil, engine.Bad("lease not found")
	case r.Token != "":
		return nil, engine.Bad("tokens cannot be renewed through this endpoint")
	case !r.Renewable:
		return nil, engine.Bad("lease is not renewable")
	}
	now := s.Now()
	most, err := s.Loans.MaxTTL(tx, r.Mount)
	if err != nil {
		return nil, err
	}
	limit := engine.ShorterOf(r.MaxTTL, most)
	ttl := increment
	if ttl <= 0 {
		ttl = r.TTL
	}
	if left := r.Issued.Add(limit).Sub(now); ttl > left {
		if increment > 0 {
			warn(capped, engine.SpellDuration(increment), engine.SpellDuration(limit))
		}
		ttl = max(left, 0)
	}
	r.Expires, r.LastRenewal = now.Add(ttl), now
	if err := s.Loans.Extend(tx, r.Mount, r.Loan, r.Expires); err != nil {
		return nil, fmt.Errorf("renew: %w", err)
	}
	rows(tx).Put(id, r)
	schedule.At(tx, r.Expires, job(id, r))
	return s.show(id, r), nil
}

// Revoke ends a lease: a token at once, anything else by the schedule. An
// unknown id is no error.
func (s *Store) Revoke(tx *storage.Tx, id string) error {
	if id == "" {
		return missingID()
	}
	defer s.observe(Revoked, time.Now())
	return s.revoke(tx, id, false)
}

func (s *Store) revoke(tx *storage.Tx, id string, forced bool) error {
	r, err := rows(tx).Get(id)
	if err != nil || r == nil {
		return err
	}
	if r.Token != "" {
		if err := s.Tokens.Revoke(tx, r.Token); err != nil {
			return err
		}
		return DetachToken(tx, pathOf(id), r.Token)
	}
	r.Forced = r.Forced || forced
	s.end(tx, id, r)
	return nil
}

// end has the schedule undo a loan. One that is still being made is undone when
// that is over, unless it is forced: what is not there yet cannot be undone, and
// would be left behind.
func (s *Store) end(tx *storage.Tx, id string, r *row) {
	now := s.Now()
	if now.Before(r.Expires) {
		r.Expires = now
	}
	unlist(tx, r)
	r.Failure, r.GivenUp = "", false
	rows(tx).Put(id, r)
	if !r.Reserved || r.Forced {
		schedule.At(tx, now, job(id, r))
	}
}

// Ended waits until a lease is gone. An error says why it is not.
func Ended(ctx context.Context, store *storage.Store, ns uint32, id string) error {
	for {
		changed := store.Changed()
		var r *row
		if err := store.View(ctx, func(tx *storage.Tx) (err error) {
			r, err = rows(tx.Of(ns)).Get(id)
			return err
		}); err != nil {
			return err
		}
		switch {
		case r == nil:
			return nil
		case r.Failure != "":
			return engine.Bad("failed to revoke entry: %s", r.Failure)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(errors.New("the lease is still being revoked"), ctx.Err())
		}
	}
}

// EndedBelow waits until no lease is left below a path. An error says why one is.
func EndedBelow(ctx context.Context, store *storage.Store, ns uint32, prefix string) error {
	for {
		var ids []string
		if err := store.View(ctx, func(tx *storage.Tx) (err error) {
			ids, _, err = below(tx.Of(ns), strings.Trim(prefix, "/"), "", 1)
			return err
		}); err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		if err := Ended(ctx, store, ns, ids[0]); err != nil {
			return err
		}
	}
}

// RevokePrefix ends all leases below a path: the first of them in this
// transaction, the rest at once after it. With force, what cannot be undone is
// forgotten.
func (s *Store) RevokePrefix(tx *storage.Tx, prefix string, force bool) error {
	event := RevokedPrefix
	if force {
		event = RevokedForce
	}
	defer s.observe(event, time.Now())
	// Leases that wait to be undone keep their rows: the next page begins after
	// the last of this one.
	prefix, after, _ := strings.Cut(prefix, "\x1f")
	prefix = strings.Trim(prefix, "/")
	ids, more, err := below(tx, prefix, after, inOne)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.revoke(tx, id, force); err != nil {
			return err
		}
	}
	if !more {
		return nil
	}
	kind := KindPrefix
	if force {
		kind = KindForce
	}
	schedule.At(tx, s.Now(), schedule.Job{Kind: kind, ID: prefix + "\x1f" + within(prefix, ids[len(ids)-1])})
	return nil
}

// EndOwner ends the leases of a token that has ended. tx is as its namespace
// sees it.
func (s *Store) EndOwner(tx *storage.Tx, owner string) error {
	began, n := time.Now(), 0
	for row, err := range tx.In(storage.Owners).Scan(owner+"/", owner+string('/'+1)) {
		if err != nil {
			return fmt.Errorf("list leases of a token: %w", err)
		}
		if n++; n > inOne {
			schedule.At(tx, s.Now(), schedule.Job{Kind: KindOwner, ID: owner})
			return nil
		}
		o, err := owners(tx).Get(string(row.Key))
		if err != nil {
			return err
		}
		tx.In(storage.Owners).Delete(string(row.Key))
		if err := s.revoke(tx.Of(o.Namespace), o.ID, false); err != nil {
			return err
		}
	}
	if n > 0 {
		s.observe(RevokedByToken, began)
	}
	return nil
}

// Lends says whether a mount has lent anything that is not undone yet.
func (s *Store) Lends(tx *storage.Tx, mount string) (bool, error) {
	for _, err := range tx.In(storage.Owners).Scan(mount+"/", mount+string('/'+1)) {
		return err == nil, err
	}
	return false, nil
}

// List names what lies one level below a path: folders end in a slash.
func (s *Store) List(tx *storage.Tx, prefix string) ([]string, error) {
	return rows(tx).Names(strings.Trim(prefix, "/"), "")
}

// Count counts the leases below a path ("" is all). It looks at every one.
func (s *Store) Count(tx *storage.Tx, prefix string) (int, error) {
	ids, _, err := below(tx, strings.Trim(prefix, "/"), "", -1)
	return len(ids), err
}

// below lists up to n ids below a path that come after one (all when n is
// negative), in the order of their rows, and whether there are more. It costs what
// it lists.
func below(tx *storage.Tx, path, after string, n int) (ids []string, more bool, err error) {
	at, inside, deeper := strings.Cut(after, "/") // the name that is gone on from
	for name, err := range tx.In(storage.Leases).From(path, at) {
		if err != nil {
			return nil, false, err
		}
		full := name
		if path != "" {
			full = path + "/" + name
		}
		folder, isFolder := strings.CutSuffix(full, "/")
		switch {
		case !isFolder && after != "" && name == at:
			continue // a name comes before the folder of the same name
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
		begin := ""
		if deeper && name == at+"/" {
			begin = inside
		}
		sub, subMore, err := below(tx, folder, begin, rest)
		if err != nil {
			return nil, false, err
		}
		if ids = append(ids, sub...); subMore {
			return ids, true, nil
		}
	}
	return ids, false, nil
}

// within is a lease's id as below takes it to go on from, below a path.
func within(path, id string) string { return strings.TrimPrefix(strings.TrimPrefix(id, path), "/") }
