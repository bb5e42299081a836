package identity

import (
	"slices"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// aliasRoutes are the routes of entities' aliases, under their name and two
// older ones.
func aliasRoutes() engine.Routes[Store] {
	var all engine.Routes[Store]
	for _, at := range []string{"entity-alias", "alias", "persona"} {
		all = append(all,
			engine.Write(at, (*Store).writeAlias).Doc("Make an alias of an entity, or change the one with a name or id."),
			engine.List(at+"/id", (*Store).listAliases).Doc("List the aliases of entities by id."),
			engine.Read(at+"/id/{id*}", (*Store).readAlias).Doc("Show an alias of an entity."),
			engine.Write(at+"/id/{id*}", (*Store).writeAliasByID).Doc("Change an alias of an entity."),
			engine.Delete(at+"/id/{id*}", (*Store).deleteAlias).Doc("Delete an alias of an entity."),
		)
	}
	return all
}

// aliasFields are what can be set of an alias. What is absent stays.
type aliasFields struct {
	Name        string             `json:"name" doc:"Name by which the auth method knows the entity."`
	Accessor    string             `json:"mount_accessor" doc:"Accessor of the auth method."`
	CanonicalID string             `json:"canonical_id" doc:"Id of the entity; without it, one is made."`
	EntityID    string             `json:"entity_id" doc:"Old name of canonical_id."`
	Custom      *map[string]string `json:"custom_metadata" doc:"Up to 64 pairs of text."`
	// Metadata belongs to logins, and is taken from nobody else.
	Metadata *map[string]string `json:"metadata" doc:"Ignored: logins set it."`
}

type (
	aliasRequest struct {
		ID string `json:"id" doc:"Id of the alias to change."`
		aliasFields
	}
	aliasByID struct {
		ID string `path:"id"`
		aliasFields
	}
	madeAlias struct {
		CanonicalID string `json:"canonical_id"`
		ID          string `json:"id"`
	}
)

func (s *Store) writeAlias(v engine.Tx, q aliasRequest) (*madeAlias, error) {
	if q.ID != "" {
		return s.changeAliasByID(v, q.ID, q.aliasFields)
	}
	if q.Name == "" || q.Accessor == "" {
		return nil, engine.Bad("'id' or 'mount_accessor' and 'name' must be provided")
	}
	if err := s.checkAlias(v, &q.aliasFields); err != nil {
		return nil, err
	}
	owner, err := find(whole(v), byAlias(q.Accessor, q.Name))
	if err != nil {
		return nil, err
	}
	if owner == "" {
		return s.makeAlias(v, q.aliasFields)
	}
	e, err := entities(whole(v)).Get(owner)
	if err != nil || e == nil || e.at(q.Accessor) == nil {
		return nil, err
	}
	return s.changeAlias(v, e, e.at(q.Accessor), q.aliasFields)
}

func (s *Store) writeAliasByID(v engine.Tx, q aliasByID) (*madeAlias, error) {
	if err := agrees(v, "id", q.ID); err != nil {
		return nil, err
	}
	return s.changeAliasByID(v, q.ID, q.aliasFields)
}

func (s *Store) changeAliasByID(v engine.Tx, id string, f aliasFields) (*madeAlias, error) {
	if err := s.checkAlias(v, &f); err != nil {
		return nil, err
	}
	e, a, err := ofAlias(whole(v), id)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, engine.Bad("invalid alias ID")
	}
	return s.changeAlias(v, e, a, f)
}

// checkAlias refuses what is wrong whichever alias it is for.
func (s *Store) checkAlias(v engine.Tx, f *aliasFields) error {
	if f.CanonicalID == "" {
		f.CanonicalID = f.EntityID
	}
	if f.Name != "" {
		if err := checkName("name", f.Name); err != nil {
			return err
		}
	}
	if f.Custom != nil {
		if wrong := checkMetadata(*f.Custom); wrong != "" {
			return engine.Bad("invalid custom metadata: %s", wrong)
		}
	}
	if f.Accessor == "" {
		return nil
	}
	m, err := s.o.Mount(whole(v), f.Accessor)
	if err == nil && m == nil {
		err = engine.Bad("invalid mount accessor %q", f.Accessor)
	}
	return err
}

// owner is the entity that an alias is to have, to be changed.
func owner(tx *storage.Tx, id string) (*Entity, error) {
	e, err := entities(tx).Get(id)
	if err == nil && e == nil {
		err = engine.Bad("invalid canonical ID")
	}
	return e, err
}

func errTwoAliases() error {
	return engine.Bad("Alias already exists for requested entity and mount accessor")
}

func (s *Store) makeAlias(v engine.Tx, f aliasFields) (*madeAlias, error) {
	tx := whole(v)
	var e, old *Entity
	var err error
	if f.CanonicalID == "" {
		e, err = s.newEntity(tx, v.Now(), "")
	} else {
		e, err = owner(tx, f.CanonicalID)
		old = e
	}
	if err != nil {
		return nil, err
	}
	if e.at(f.Accessor) != nil {
		return nil, errTwoAliases()
	}
	m, err := s.mountOf(tx, f.Accessor)
	if err != nil {
		return nil, err
	}
	id, err := s.newID(tx)
	if err != nil {
		return nil, err
	}
	a := Alias{ID: id, Name: f.Name, Accessor: f.Accessor, Local: m.Local, Created: v.Now(), Updated: v.Now()}
	if f.Custom != nil {
		a.Custom = *f.Custom
	}
	e.Aliases = append(e.Aliases, a)
	put(tx, e, old)
	link(tx, e, &a)
	return &madeAlias{e.ID, a.ID}, nil
}

// changeAlias changes an alias, and moves it to another entity if that is
// asked. Nothing else of either entity moves, and an entity that has an alias
// at the mount takes no second one: who can write aliases must not come by
// somebody else's policies (CVE-2021-41802).
func (s *Store) changeAlias(v engine.Tx, e *Entity, is *Alias, f aliasFields) (*madeAlias, error) {
	tx := whole(v)
	g, err := s.groups.Get(tx)
	if err != nil {
		return nil, err
	}
	a := *is
	if f.Name != "" {
		a.Name = f.Name
	}
	if f.Accessor != "" {
		a.Accessor = f.Accessor
	}
	if f.Custom != nil {
		a.Custom = *f.Custom
	}
	a.Updated = v.Now()
	taken, err := find(tx, byAlias(a.Accessor, a.Name))
	if err != nil {
		return nil, err
	}
	moved := a.Accessor != is.Accessor || fold(a.Name) != fold(is.Name)
	if moved && taken != "" {
		return nil, engine.Bad("alias with combination of mount accessor and name already exists")
	}
	if moved {
		a.Metadata = nil // a login of the other account said it
	}
	to := e
	if f.CanonicalID != "" && f.CanonicalID != e.ID {
		if to, err = owner(tx, f.CanonicalID); err != nil {
			return nil, err
		}
	}
	if moved || to != e {
		e.drop(tx, g, a.ID)
	} else {
		e.Aliases = slices.DeleteFunc(e.Aliases, func(other Alias) bool { return other.ID == a.ID })
	}
	if to.at(a.Accessor) != nil {
		return nil, errTwoAliases()
	}
	to.Aliases = append(to.Aliases, a)
	put(tx, to, to)
	if to != e {
		put(tx, e, e)
	}
	link(tx, to, &a)
	return &madeAlias{to.ID, a.ID}, nil
}

func (s *Store) readAlias(v engine.View, q oneID) (*shownAlias, error) {
	e, a, err := ofAlias(whole(v), q.ID)
	if err != nil || a == nil {
		return nil, err
	}
	return s.showOneAlias(whole(v), e.ID, a)
}

func (s *Store) listAliases(v engine.View, _ engine.None) (engine.Keys, error) {
	keys := engine.Keys{Info: map[string]any{}}
	ids, err := aliases(whole(v)).Names("", "")
	if err != nil {
		return keys, err
	}
	for _, id := range ids {
		e, a, err := ofAlias(whole(v), id)
		if err != nil {
			return keys, err
		}
		if a == nil {
			continue
		}
		if keys.Info[id], err = s.aliasInfo(whole(v), e.ID, a); err != nil {
			return keys, err
		}
		keys.Keys = append(keys.Keys, id)
	}
	return keys, nil
}

func (s *Store) deleteAlias(v engine.Tx, q oneID) (engine.None, error) {
	tx := whole(v)
	e, a, err := ofAlias(tx, q.ID)
	if err != nil || a == nil {
		return engine.None{}, err
	}
	g, err := s.groups.Get(tx)
	if err != nil {
		return engine.None{}, err
	}
	e.drop(tx, g, q.ID)
	e.Updated = v.Now()
	put(tx, e, e)
	return engine.None{}, nil
}
