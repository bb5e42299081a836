package identity

import (
	"fmt"
	"slices"

	"github.com/fastness-dev/fastness/engine"
)

func entityRoutes() engine.Routes[Store] {
	return engine.Routes[Store]{
		engine.Write("entity", (*Store).writeEntity).Doc("Make an entity, or change the one with a name or id."),
		engine.List("entity/id", (*Store).listEntities).Doc("List the entities by id."),
		engine.Read("entity/id/{id*}", (*Store).readEntity).Doc("Show an entity."),
		engine.Write("entity/id/{id*}", (*Store).writeEntityByID).Doc("Change an entity."),
		engine.Delete("entity/id/{id*}", (*Store).deleteEntity).Doc("Delete an entity. Its tokens are refused."),
		engine.List("entity/name", (*Store).listEntityNames).Doc("List the entities by name."),
		engine.Read("entity/name/{name...}", (*Store).readEntityByName).Doc("Show the entity with a name."),
		engine.Write("entity/name/{name...}", (*Store).writeEntityByName).Doc("Make or change the entity with a name."),
		engine.Delete("entity/name/{name...}", (*Store).deleteEntityByName).Doc("Delete the entity with a name."),
		engine.Write("entity/batch-delete", (*Store).deleteEntities).Doc("Delete entities."),
		engine.Write("entity/merge", (*Store).mergeEntities).Doc("Merge entities into one: all of them disabled, or none."),
	}
}

// entityFields are what can be set of an entity. What is absent stays.
type entityFields struct {
	Metadata *map[string]string `json:"metadata" doc:"Up to 64 pairs of text."`
	Policies *[]string          `json:"policies" doc:"Policies of every token of the entity; never root."`
	Disabled *bool              `json:"disabled" doc:"Refuse the entity's logins and tokens."`
}

type (
	entityRequest struct {
		ID   string `json:"id" doc:"Id of the entity to change."`
		Name string `json:"name" doc:"Name of the entity."`
		entityFields
	}
	entityByID struct {
		ID   string `path:"id"`
		Name string `json:"name" doc:"New name of the entity."`
		entityFields
	}
	entityByName struct {
		Name string `path:"name"`
		ID   string `json:"id" doc:"Id of the entity; it must be the one with the name."`
		entityFields
	}
	madeEntity struct {
		Aliases []shownAlias `json:"aliases"` // null: a new entity has none
		ID      string       `json:"id"`
		Name    string       `json:"name"`
	}
)

func (s *Store) writeEntity(v engine.Tx, q entityRequest) (*madeEntity, error) {
	var old *Entity
	var err error
	switch {
	case q.ID != "":
		if old, err = entities(whole(v)).Get(q.ID); err == nil && old == nil {
			err = engine.Bad("entity not found from id")
		}
	case q.Name != "":
		old, err = s.named(v, q.Name)
	}
	if err != nil {
		return nil, err
	}
	return s.setEntity(v, old, q.Name, q.entityFields)
}

// named returns the entity with a name, to be changed, or nil.
func (s *Store) named(v engine.View, name string) (*Entity, error) {
	id, err := find(whole(v), byName(name))
	if err != nil || id == "" {
		return nil, err
	}
	return entities(whole(v)).Get(id)
}

func (s *Store) writeEntityByID(v engine.Tx, q entityByID) (*madeEntity, error) {
	if err := agrees(v, "id", q.ID); err != nil {
		return nil, err
	}
	old, err := entities(whole(v)).Get(q.ID)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, engine.Bad("entity not found from id")
	}
	return s.setEntity(v, old, q.Name, q.entityFields)
}

// writeEntityByName never changes an entity of another name, whatever id it is
// sent.
func (s *Store) writeEntityByName(v engine.Tx, q entityByName) (*madeEntity, error) {
	if err := agrees(v, "name", q.Name); err != nil {
		return nil, err
	}
	old, err := s.named(v, q.Name)
	if err != nil {
		return nil, err
	}
	if q.ID != "" && (old == nil || old.ID != q.ID) {
		return nil, engine.Bad("'id' is not that of the entity with this name")
	}
	return s.setEntity(v, old, q.Name, q.entityFields)
}

// setEntity stores an entity with what was sent of it. Of a changed one there
// is nothing to say.
func (s *Store) setEntity(v engine.Tx, old *Entity, name string, f entityFields) (*madeEntity, error) {
	e := new(Entity)
	var err error
	if old == nil {
		e, err = s.newEntity(whole(v), v.Now(), name)
	} else {
		*e = *old
		e.Updated = v.Now()
	}
	if err != nil {
		return nil, err
	}
	if name != "" {
		e.Name = name
	}
	if err := nameFree(whole(v), e.Name, e.ID); err != nil {
		return nil, err
	}
	if f.Metadata != nil {
		if wrong := checkMetadata(*f.Metadata); wrong != "" {
			return nil, listed("invalid entity metadata: " + wrong)
		}
		e.Metadata = *f.Metadata
	}
	if f.Policies != nil {
		if e.Policies, err = checkPolicies(*f.Policies); err != nil {
			return nil, err
		}
	}
	if f.Disabled != nil {
		e.Disabled = *f.Disabled
	}
	put(whole(v), e, old)
	if old != nil {
		return nil, nil
	}
	return &madeEntity{ID: e.ID, Name: e.Name}, nil
}

func (s *Store) readEntity(v engine.View, q oneID) (*shownEntity, error) {
	e, err := entities(whole(v)).Peek(q.ID)
	if err != nil || e == nil {
		return nil, err
	}
	return s.showEntity(whole(v), e)
}

func (s *Store) readEntityByName(v engine.View, q oneName) (*shownEntity, error) {
	e, err := entityBy(whole(v), byName(q.Name))
	if err != nil || e == nil {
		return nil, err
	}
	return s.showEntity(whole(v), e)
}

func (s *Store) listEntities(v engine.View, _ engine.None) (engine.Keys, error) {
	keys := engine.Keys{Info: map[string]any{}}
	ids, err := entities(whole(v)).Names("", "")
	if err != nil {
		return keys, err
	}
	for _, id := range ids {
		e, err := entities(whole(v)).Peek(id)
		if err != nil {
			return keys, err
		}
		if e == nil {
			return keys, fmt.Errorf("entity %s is listed and absent", id)
		}
		if keys.Info[id], err = s.entityInfo(whole(v), e); err != nil {
			return keys, err
		}
	}
	keys.Keys = ids
	return keys, nil
}

func (s *Store) listEntityNames(v engine.View, _ engine.None) (engine.Keys, error) {
	ids, err := entities(whole(v)).Names("", "")
	if err != nil {
		return engine.Keys{}, err
	}
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		e, err := entities(whole(v)).Peek(id)
		if err != nil {
			return engine.Keys{}, err
		}
		if e != nil {
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	return engine.KeysOf(names), nil
}

func (s *Store) deleteEntity(v engine.Tx, q oneID) (engine.None, error) {
	return engine.None{}, s.remove(whole(v), q.ID)
}

func (s *Store) deleteEntityByName(v engine.Tx, q oneName) (engine.None, error) {
	id, err := find(whole(v), byName(q.Name))
	if err != nil || id == "" {
		return engine.None{}, err
	}
	return engine.None{}, s.remove(whole(v), id)
}

type entityIDs struct {
	IDs []string `json:"entity_ids" doc:"Ids of the entities to delete."`
}

// deleteEntities ignores ids that it does not know, and those of another
// namespace are such.
func (s *Store) deleteEntities(v engine.Tx, q entityIDs) (engine.None, error) {
	if len(q.IDs) == 0 {
		return engine.None{}, engine.Bad("missing entity ids to delete")
	}
	for _, id := range q.IDs {
		if err := s.remove(whole(v), id); err != nil {
			return engine.None{}, err
		}
	}
	return engine.None{}, nil
}
