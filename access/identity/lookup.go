package identity

import (
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

func lookupRoutes() engine.Routes[Store] {
	return engine.Routes[Store]{
		engine.Compute("lookup/entity", (*Store).lookupEntity).Doc("Find an entity by one of its names."),
		engine.Compute("lookup/group", (*Store).lookupGroup).Doc("Find a group by one of its names."),
	}
}

type lookup struct {
	ID            string `json:"id" doc:"Its id."`
	Name          string `json:"name" doc:"Its name."`
	AliasID       string `json:"alias_id" doc:"Id of one of its aliases."`
	AliasName     string `json:"alias_name" doc:"Name of one of its aliases, at alias_mount_accessor."`
	AliasAccessor string `json:"alias_mount_accessor" doc:"Accessor of the auth method of alias_name."`
}

// check refuses anything but one way to look.
func (q *lookup) check() error {
	ways := 0
	for _, way := range []bool{q.ID != "", q.Name != "", q.AliasID != "", q.AliasName != "" || q.AliasAccessor != ""} {
		if way {
			ways++
		}
	}
	switch {
	case ways == 0:
		return engine.Bad("query parameter not supplied")
	case ways > 1:
		return engine.Bad("query parameter conflict; please supply distinct set of query parameters")
	case (q.AliasName == "") != (q.AliasAccessor == ""):
		return engine.Bad("both 'alias_name' and 'alias_mount_accessor' needs to be set")
	}
	return nil
}

func (s *Store) lookupEntity(v engine.View, q lookup) (*shownEntity, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	e, err := q.entity(whole(v))
	if err != nil || e == nil {
		return nil, err
	}
	return s.showEntity(whole(v), e)
}

func (q *lookup) entity(tx *storage.Tx) (*Entity, error) {
	switch {
	case q.ID != "":
		return entities(tx).Peek(q.ID)
	case q.Name != "":
		return entityBy(tx, byName(q.Name))
	case q.AliasID != "":
		e, _, err := ofAlias(tx, q.AliasID)
		return e, err
	}
	return entityBy(tx, byAlias(q.AliasAccessor, q.AliasName))
}

func (s *Store) lookupGroup(v engine.View, q lookup) (*shownGroup, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return nil, err
	}
	var found *Group
	switch {
	case q.ID != "":
		found = g.byID[q.ID]
	case q.Name != "":
		found = g.byName[fold(q.Name)]
	case q.AliasID != "":
		found = g.byAliasID(q.AliasID)
	default:
		found = g.byAlias[byAlias(q.AliasAccessor, q.AliasName)]
	}
	if found == nil {
		return nil, nil
	}
	return s.showGroup(whole(v), g, found)
}
