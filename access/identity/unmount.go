package identity

import (
	"fmt"

	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// KindUnmount is the kind of the job that goes on with [Store.Unmount].
const KindUnmount = "identity-unmount"

// inOne is how many aliases one transaction removes. The schedule does the rest.
const inOne = 128

// Handlers are what the schedule's runner needs to do this store's jobs.
func (s *Store) Handlers() map[string]schedule.Handler {
	return map[string]schedule.Handler{
		KindUnmount: func(tx *storage.Tx, j schedule.Job) error { return s.Unmount(tx, j.ID) },
	}
}

// Unmount removes the aliases of an auth method that is gone, of entities and
// of groups, whose memberships end with them. Entities stay. Of very many the
// first part goes in this transaction and the rest is due at once; nobody can
// log in by them, for accessors are not given twice.
func (s *Store) Unmount(tx *storage.Tx, accessor string) error {
	g, err := s.groups.Get(tx)
	if err != nil {
		return err
	}
	ids, err := ofMount(tx, accessor).Names("", "")
	if err != nil {
		return fmt.Errorf("list aliases of a mount: %w", err)
	}
	if len(ids) > inOne {
		schedule.At(tx, s.o.Now(), schedule.Job{Kind: KindUnmount, ID: accessor})
		ids = ids[:inOne]
	}
	for _, id := range ids {
		e, a, err := ofAlias(tx, id)
		if err != nil {
			return err
		}
		if a == nil {
			ofMount(tx, accessor).Delete(id)
			continue
		}
		e.drop(tx, g, id)
		put(tx, e, e)
	}
	for _, id := range g.ids() {
		if a := g.byID[id].Alias; a != nil && a.Accessor == accessor {
			withoutAlias(tx, g.byID[id], s.o.Now())
		}
	}
	return nil
}
