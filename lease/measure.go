package lease

import (
	"context"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// An Event is something that happens to leases, as operators count it.
type Event int

// The events. A transaction that runs again because of a conflict counts again.
const (
	Registered     Event = iota // something was lent outside
	Renewed                     // by id
	Revoked                     // by id
	RevokedPrefix               // a page of what lies below a path
	RevokedForce                // the same, whatever it takes
	RevokedByToken              // a page of what a token held
	Expired                     // a loan was undone
	ExpiredFailed               // or could not be
	events
)

// Events are all events.
func Events() []Event {
	all := make([]Event, events)
	for i := range all {
		all[i] = Event(i)
	}
	return all
}

// observe tells Observe of an event that has begun at a time.
func (s *Store) observe(e Event, began time.Time) {
	if s.Observe != nil {
		s.Observe(e, time.Since(began))
	}
}

// sizePage is how many leases are counted in one transaction.
const sizePage = 20000

// Size counts the leases of a namespace. It opens none, and rests after each page
// as long as that took.
func Size(ctx context.Context, store *storage.Store, ns uint32) (all int, err error) {
	var from storage.Place
	for {
		began := time.Now()
		err := store.View(ctx, func(tx *storage.Tx) error {
			n, next, err := tx.Of(ns).In(storage.Leases).Size(from, sizePage)
			if err == nil {
				all += n
				from = next
			}
			return err
		})
		if err != nil || from == nil {
			return all, err
		}
		rest := time.NewTimer(time.Since(began))
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return all, ctx.Err()
		}
	}
}
