package identity

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
)

type mergeRequest struct {
	From  []string `json:"from_entity_ids" doc:"Ids of the entities to merge, which end."`
	To    string   `json:"to_entity_id" doc:"Id of the entity to merge into."`
	Force bool     `json:"force" doc:"Merge though both have a secret of one MFA method: that of the entity to merge into stays."`
	Keep  []string `json:"conflicting_alias_ids_to_keep" doc:"Where both have an alias at a mount: ids of those to keep."`
}

// mergeEntities moves aliases and memberships of entities to another, which
// their tokens are then tokens of. Neither policies nor metadata move: who may
// merge must not thereby grant. For the same reason a disabled entity is merged
// with disabled ones only: its tokens would work again, or those of the others
// stop, without anybody having said so.
func (s *Store) mergeEntities(v engine.Tx, q mergeRequest) (engine.None, error) {
	none := engine.None{}
	switch {
	case len(q.From) == 0:
		return none, engine.Bad("missing entity ids to merge from")
	case q.To == "":
		return none, engine.Bad("missing entity id to merge to")
	case slices.Contains(q.From, q.To):
		return none, engine.Bad("to_entity_id should not be present in from_entity_ids")
	}
	tx := whole(v)
	old, err := entities(tx).Get(q.To)
	if err != nil {
		return none, err
	}
	if old == nil {
		return none, engine.Bad("entity id to merge to is invalid")
	}
	to := *old
	for _, id := range union(nil, q.From) {
		from, err := entities(tx).Get(id)
		if err != nil {
			return none, err
		}
		if from == nil {
			return none, engine.Bad("entity id to merge from is invalid")
		}
		if err := mergeable(&to, from); err != nil {
			return none, err
		}
		if s.o.Merged != nil {
			if err := s.o.Merged(tx, from.ID, to.ID, q.Force); err != nil {
				return none, err
			}
		}
		if err := s.merge(v, &to, from, q.Keep); err != nil {
			return none, err
		}
	}
	to.Updated = v.Now()
	put(tx, &to, old)
	return none, nil
}

// mergeable refuses to merge what is disabled with what is not.
func mergeable(to, from *Entity) error {
	off, on := from, to
	switch {
	case to.Disabled == from.Disabled:
		return nil
	case to.Disabled:
		off, on = to, from
	}
	return engine.Bad("entity %s is disabled and entity %s is not: disable both or neither before merging them", off.ID, on.ID)
}

// merge moves what from has to to, and ends from. The caller stores to.
func (s *Store) merge(v engine.Tx, to, from *Entity, keep []string) error {
	tx := whole(v)
	if err := conflicts(to, from, keep); err != nil {
		return err
	}
	g, err := s.groups.Get(tx)
	if err != nil {
		return err
	}
	groups := g.direct(from)
	if err := s.remove(tx, from.ID); err != nil {
		return err
	}
	for i := range from.Aliases {
		a := from.Aliases[i]
		if other := to.at(a.Accessor); other != nil {
			if slices.Contains(keep, other.ID) {
				continue
			}
			to.drop(tx, g, other.ID)
		}
		a.MergedFrom, a.Updated = append(slices.Clone(a.MergedFrom), from.ID), v.Now()
		to.Aliases = append(to.Aliases, a)
		link(tx, to, &a)
	}
	for _, id := range groups {
		// Of the groups that a login gave, those of a login that moved.
		a := g.byID[id].Alias
		if a == nil || to.at(a.Accessor) != nil && slices.Contains(to.at(a.Accessor).MergedFrom, from.ID) {
			to.join(tx, g.byID[id])
		}
	}
	for _, id := range append([]string{from.ID}, from.Merged...) {
		to.Merged = append(to.Merged, id)
		finders(tx).Put(byMerged(id), &finder{to.ID})
	}
	return nil
}

// conflicts tells every mount at which both entities have an alias and not one
// of the two is named to be kept.
func conflicts(to, from *Entity, keep []string) error {
	var wrong []string
	for i := range from.Aliases {
		a := &from.Aliases[i]
		other := to.at(a.Accessor)
		if other == nil || slices.Contains(keep, other.ID) != slices.Contains(keep, a.ID) {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("both entities have an alias at mount accessor %q: name one of %s and %s in 'conflicting_alias_ids_to_keep'",
			a.Accessor, other.ID, a.ID))
	}
	if len(wrong) == 0 {
		return nil
	}
	return &api.Error{Status: http.StatusBadRequest, Errors: wrong}
}
