package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fastness-dev/fastness/access/password"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
)

// What acts on the world does so between two transactions:
//
//	reserve   a lease whose undoing is due soon, in the request's transaction
//	make      outside, with no transaction
//	confirm   the lease is due at its end, the answer names it
//
// Whatever breaks in between, the lease is there and undoes what was made.

// reserve notes what the request is about to have made.
func (s *Server) reserve(tx *storage.Tx, x *exchange, l *engine.Loan) error {
	q := lease.Request{Space: x.ns.Path, Path: x.q.Path, Mount: &x.live.Mount, Loan: l, Warn: x.call.Warn}
	if x.ns.Number != 0 {
		q.Mark = "." + x.ns.ID
	}
	if w := x.who; w != nil {
		if w.NumUses < 0 { // it ends with this request, and would take the loan along
			return engine.Bad("Secret cannot be returned; token had one use left, so leased credentials were immediately revoked.")
		}
		q.Owner = w.ID
		if w.Type == "batch" { // it has no row to end with
			q.Owner, q.Latest = w.Parent, w.Expires
		}
	}
	var err error
	x.lease, err = s.leases.Reserve(tx, q)
	return err
}

// create makes what was reserved and confirms it.
func (s *Server) create(ctx context.Context, x *exchange, l *engine.Loan) (*engine.Answer, error) {
	made, err := x.match.Create(ctx, l)
	if err == nil && made == nil {
		err = errors.New("nothing was made")
	}
	// What was made is confirmed or undone even if the client has gone.
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer done()
	if err != nil {
		return nil, errors.Join(err, s.abandon(ctx, x))
	}
	var a *engine.Answer
	_, err = s.store.Update(ctx, func(tx *storage.Tx) error {
		tx = tx.Of(x.ns.Number)
		held, err := s.leases.Confirm(tx, x.lease.ID, l)
		if err != nil {
			return err
		}
		answer := *made
		answer.Lease = &engine.Lease{ID: held.ID, Duration: held.Expires.Sub(s.now()), Renewable: held.Renewable}
		a, err = s.wrap(tx, x, &answer)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, s.abandon(ctx, x))
	}
	return a, nil
}

// abandon has what was reserved undone at once. If that cannot be noted, it is
// undone when the reservation ends.
func (s *Server) abandon(ctx context.Context, x *exchange) error {
	_, err := s.store.Update(ctx, func(tx *storage.Tx) error {
		return s.leases.Abandon(tx.Of(x.ns.Number), x.lease.ID)
	})
	return err
}

// loans are the mounts that lend, as leases see them.
type loans struct{ s *Server }

func (l loans) at(tx *storage.Tx, id string) (*mount.Live, *engine.Call, error) {
	table, err := l.s.mounts.Table(tx)
	if err != nil {
		return nil, nil, err
	}
	m := table.ByUUID(id)
	if m == nil {
		return nil, nil, nil
	}
	return m, &engine.Call{Whole: tx, Rows: tx.In(m.Range()), Ctx: tx.Context(), By: &engine.Caller{}, At_: &m.Mount,
		Time: l.s.now(), Scheduler: l.s.due, Passwords: password.Store{}}, nil
}

func (l loans) Undo(tx *storage.Tx, id string, loan *engine.Loan) error {
	m, call, err := l.at(tx, id)
	if err != nil {
		return err
	}
	if m == nil {
		return fmt.Errorf("the mount that lent this is gone: revoke the lease by force when what it lent has been removed by hand")
	}
	return m.Instance.Undo(call, loan)
}

func (l loans) Extend(tx *storage.Tx, id string, loan *engine.Loan, until time.Time) error {
	m, call, err := l.at(tx, id)
	if err != nil || m == nil {
		return err
	}
	return m.Instance.Extend(call, loan, until)
}

func (l loans) MaxTTL(tx *storage.Tx, id string) (time.Duration, error) {
	m, _, err := l.at(tx, id)
	if err != nil || m == nil {
		return 0, err
	}
	return m.Mount.MaxTTL, nil
}
