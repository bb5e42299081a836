package identity

import (
	"fmt"
	"iter"

	"github.com/fastness-dev/fastness/storage"
)

// Named returns the identity of an entity by its id or its name, or nil.
func (s *Store) Named(tx *storage.Tx, idOrName string) (*Holder, error) {
	if h, err := s.Holder(tx, idOrName); err != nil || h != nil {
		return h, err
	}
	e, err := entityBy(tx, byName(idOrName))
	if err != nil || e == nil {
		return nil, err
	}
	return s.Holder(tx, e.ID)
}

// All lists the identities of the namespace that tx sees. They are made anew: a
// question about everybody shall not push out of memory those who are here.
func (s *Store) All(tx *storage.Tx) iter.Seq2[*Holder, error] {
	return func(yield func(*Holder, error) bool) {
		g, err := s.groups.Get(tx)
		if err != nil {
			yield(nil, err)
			return
		}
		for id, err := range tx.In(storage.Identities).Children("entity", "") {
			var e *Entity
			if err == nil {
				e, err = entities(tx).Peek(id)
			}
			if err != nil {
				yield(nil, fmt.Errorf("list entities: %w", err))
				return
			}
			if e != nil && !yield(newHolder(e, g), nil) {
				return
			}
		}
	}
}
