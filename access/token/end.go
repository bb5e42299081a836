package token

import (
	"fmt"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// inOne is how many tokens one transaction revokes. The schedule does the rest.
const inOne = 512

// Renew moves the end of a token to increment from now, or to its period, or
// as far as it may live. increment 0 is what the last renewal gave, at first the
// TTL that it was created with. It returns the entry as it is then, and warnings.
func (s *Store) Renew(tx *storage.Tx, e *Entry, increment time.Duration) (*Entry, []string, error) {
	switch {
	case e.Type == Batch:
		return nil, nil, engine.Bad("batch tokens cannot be renewed")
	case !e.Renewable || e.Expires.IsZero():
		return nil, nil, engine.Bad("lease is not renewable")
	}
	tx, err := s.Home(tx, e)
	if err != nil {
		return nil, nil, err
	}
	now := s.o.Now()
	renewed := *e
	if e.Mount != "" && s.o.Renewing != nil {
		p, err := s.o.Renewing(tx, e)
		if err != nil {
			return nil, nil, err
		}
		if p != nil {
			renewed.MaxTTL, renewed.Period = p.MaxTTL, p.Period
			if renewed.TTL = p.TTL; p.TTL == 0 {
				renewed.TTL = p.DefaultTTL
			}
			if renewed.TTL == 0 {
				renewed.TTL = s.o.DefaultTTL
			}
		}
	}
	own := renewed
	if err := s.askRole(tx, &renewed); err != nil {
		return nil, nil, err
	}
	c := &Created{Entry: &renewed}
	if err := s.extend(c, increment, now); err != nil {
		return nil, nil, err
	}
	renewed.Period, renewed.ExplicitMaxTTL = own.Period, own.ExplicitMaxTTL
	renewed.LastRenewal = now
	entries(tx).Put(renewed.ID, &renewed)
	schedule.At(tx, renewed.Expires, schedule.Job{Kind: KindExpire, ID: renewed.ID})
	return &renewed, c.Warnings, nil
}

func (s *Store) extend(c *Created, increment time.Duration, now time.Time) error {
	e := c.Entry
	ttl := increment
	if ttl == 0 {
		ttl = e.RenewedTTL
	}
	if ttl == 0 {
		ttl = e.TTL
	}
	end := e.Created.Add(s.limit(e))
	if e.Period > 0 {
		ttl, end = e.Period, now.Add(e.Period)
	}
	if e.ExplicitMaxTTL > 0 {
		if last := e.Created.Add(e.ExplicitMaxTTL); last.Before(end) {
			end = last
		}
	}
	left := end.Sub(now)
	if left <= 0 { // terms were tightened since
		return engine.Bad("past the max TTL, cannot renew")
	}
	if ttl > left {
		if increment > 0 || e.Period > 0 {
			c.warn(capped, engine.SpellDuration(ttl), engine.SpellDuration(left.Round(time.Second)))
		}
		ttl = left
	}
	e.RenewedTTL, e.Expires = ttl, now.Add(ttl)
	return nil
}

// expire ends a token whose time is up. A renewal that came first has moved
// the job, and one that comes at the same time conflicts with it.
func (s *Store) expire(tx *storage.Tx, id string) error {
	e, err := entries(tx).Get(id)
	if err != nil || e == nil {
		return err
	}
	if now := s.o.Now(); e.Expires.IsZero() || now.Before(e.Expires.Truncate(time.Millisecond)) {
		if !e.Expires.IsZero() {
			schedule.At(tx, e.Expires, schedule.Job{Kind: KindExpire, ID: id})
		}
		return nil
	}
	return s.Revoke(tx, id)
}

// Revoke ends a token, and all tokens below it. An unknown id is no error.
// Of large trees the first part ends in this transaction, from the top, and
// the rest is due at once.
func (s *Store) Revoke(tx *storage.Tx, id string) error {
	todo := []string{id}
	for found := 1; len(todo) > 0; {
		id, todo = todo[len(todo)-1], todo[:len(todo)-1]
		tx, err := s.home(tx, id)
		if err != nil {
			return err
		}
		children, more, err := s.children(tx, id, inOne-found)
		if err != nil {
			return err
		}
		if err := s.end(tx, id); err != nil {
			return err
		}
		for _, child := range children {
			tx.In(storage.TokenTree).Delete(treeKey(id, child))
		}
		if more {
			schedule.At(tx, s.o.Now(), schedule.Job{Kind: KindTree, ID: id})
		}
		todo = append(todo, children...)
		found += len(children)
	}
	return nil
}

// children lists up to n children of a token, and whether there are more.
func (s *Store) children(tx *storage.Tx, id string, n int) (ids []string, more bool, err error) {
	prefix := treeKey(id, "")
	for row, err := range tx.In(storage.TokenTree).Scan(prefix, id+string('/'+1)) {
		if err != nil {
			return nil, false, fmt.Errorf("list children: %w", err)
		}
		if len(ids) >= n {
			return ids, true, nil
		}
		ids = append(ids, string(row.Key[len(prefix):]))
	}
	return ids, false, nil
}

// end removes one token and what hangs on it.
func (s *Store) end(tx *storage.Tx, id string) error {
	e, err := entries(tx).Get(id)
	if err != nil || e == nil {
		return err
	}
	entries(tx).Delete(id)
	accessors(tx).Delete(e.Accessor)
	if e.Parent != "" {
		of, err := s.home(tx, e.Parent)
		if err != nil {
			return err
		}
		of.In(storage.TokenTree).Delete(treeKey(e.Parent, id))
	}
	schedule.Cancel(tx, KindExpire, id)
	if err := lease.DetachToken(tx, e.Path, id); err != nil {
		return err
	}
	if s.o.OnRevoke == nil {
		return nil
	}
	if err := s.o.OnRevoke(tx, e); err != nil {
		return fmt.Errorf("end what a token holds: %w", err)
	}
	return nil
}

// RevokeOrphan ends a token and leaves its children as orphans.
func (s *Store) RevokeOrphan(tx *storage.Tx, id string) error {
	tx, err := s.home(tx, id)
	if err != nil {
		return err
	}
	if err := s.end(tx, id); err != nil {
		return err
	}
	return s.freeChildren(tx, id)
}

func (s *Store) freeChildren(tx *storage.Tx, id string) error {
	children, more, err := s.children(tx, id, inOne)
	if err != nil {
		return err
	}
	for _, child := range children {
		of, err := s.home(tx, child)
		if err != nil {
			return err
		}
		e, err := entries(of).Get(child)
		if err != nil {
			return err
		}
		if e != nil {
			e.Parent = ""
			entries(of).Put(child, e)
		}
		tx.In(storage.TokenTree).Delete(treeKey(id, child))
	}
	if more {
		schedule.At(tx, s.o.Now(), schedule.Job{Kind: KindOrphan, ID: id})
	}
	return nil
}
