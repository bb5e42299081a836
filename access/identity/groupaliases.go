package identity

import (
	"slices"

	"github.com/fastness-dev/fastness/engine"
)

func groupAliasRoutes() engine.Routes[Store] {
	return engine.Routes[Store]{
		engine.Write("group-alias", (*Store).writeGroupAlias).Doc("Make the alias of an external group, or change it."),
		engine.List("group-alias/id", (*Store).listGroupAliases).Doc("List the aliases of groups by id."),
		engine.Read("group-alias/id/{id*}", (*Store).readGroupAlias).Doc("Show the alias of a group."),
		engine.Write("group-alias/id/{id*}", (*Store).writeGroupAliasByID).Doc("Change the alias of a group."),
		engine.Delete("group-alias/id/{id*}", (*Store).deleteGroupAlias).Doc("Delete the alias of a group, and its memberships."),
	}
}

type groupAliasFields struct {
	Name        string `json:"name" doc:"Name by which the auth method knows the group."`
	Accessor    string `json:"mount_accessor" doc:"Accessor of the auth method."`
	CanonicalID string `json:"canonical_id" doc:"Id of the group."`
}

type (
	groupAliasRequest struct {
		ID string `json:"id" doc:"Id of the alias to change."`
		groupAliasFields
	}
	groupAliasByID struct {
		ID string `path:"id"`
		groupAliasFields
	}
)

func (s *Store) writeGroupAlias(v engine.Tx, q groupAliasRequest) (*madeAlias, error) {
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return nil, err
	}
	var from *Group
	switch {
	case q.ID != "":
		if from = g.byAliasID(q.ID); from == nil {
			return nil, engine.Bad("invalid group alias ID")
		}
	case q.Name == "":
		return nil, engine.Bad("missing alias name")
	case q.Accessor == "":
		return nil, engine.Bad("missing mount_accessor")
	default:
		from = g.byAlias[byAlias(q.Accessor, q.Name)]
	}
	return s.setGroupAlias(v, g, from, q.groupAliasFields)
}

func (s *Store) writeGroupAliasByID(v engine.Tx, q groupAliasByID) (*madeAlias, error) {
	if err := agrees(v, "id", q.ID); err != nil {
		return nil, err
	}
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return nil, err
	}
	from := g.byAliasID(q.ID)
	if from == nil {
		return nil, engine.Bad("invalid group alias ID")
	}
	return s.setGroupAlias(v, g, from, q.groupAliasFields)
}

// setGroupAlias gives an external group the alias that from has, or a new one
// when that is nil. Whoever was a member by another alias is one no longer.
func (s *Store) setGroupAlias(v engine.Tx, g *graph, from *Group, f groupAliasFields) (*madeAlias, error) {
	to := g.byID[f.CanonicalID]
	if f.CanonicalID == "" {
		to = from
	}
	a, err := s.groupAlias(v, g, from, f)
	switch {
	case err != nil:
		return nil, err
	case to == nil && f.CanonicalID == "":
		return nil, engine.Bad("missing canonical_id")
	case to == nil:
		return nil, engine.Bad("invalid group ID given in 'canonical_id'")
	case to.Type != external:
		return nil, engine.Bad("alias can't be set on an internal group")
	case to.Alias != nil && to.Alias.ID != a.ID:
		return nil, engine.Bad("the group has an alias already: delete that first")
	}
	if from != nil && from.ID != to.ID {
		withoutAlias(whole(v), from, v.Now())
	}
	given := *to
	if is := to.Alias; is == nil || is.Accessor != a.Accessor || fold(is.Name) != fold(a.Name) {
		given.Epoch++
	}
	given.Alias = a
	putGroup(whole(v), &given, v.Now())
	return &madeAlias{to.ID, a.ID}, nil
}

// groupAlias is the alias that the fields make of that of a group, or anew.
func (s *Store) groupAlias(v engine.Tx, g *graph, from *Group, f groupAliasFields) (*Alias, error) {
	a := &Alias{Created: v.Now()}
	var err error
	if from != nil {
		*a = *from.Alias
	} else {
		a.ID, err = s.newID(whole(v))
	}
	if err != nil {
		return nil, err
	}
	if f.Accessor != "" {
		m, err := s.o.Mount(whole(v), f.Accessor)
		if err != nil {
			return nil, err
		}
		if m == nil {
			return nil, engine.Bad("invalid mount accessor %q", f.Accessor)
		}
		a.Accessor, a.Local = f.Accessor, m.Local
	}
	if f.Name != "" {
		if err := checkName("name", f.Name); err != nil {
			return nil, err
		}
		a.Name = f.Name
	}
	if other := g.byAlias[byAlias(a.Accessor, a.Name)]; other != nil && other != from {
		return nil, engine.Bad("alias with combination of mount accessor and name already exists")
	}
	a.Updated = v.Now()
	return a, nil
}

func (s *Store) readGroupAlias(v engine.View, q oneID) (*shownAlias, error) {
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return nil, err
	}
	group := g.byAliasID(q.ID)
	if group == nil {
		return nil, nil
	}
	return s.showOneAlias(whole(v), group.ID, group.Alias)
}

func (s *Store) listGroupAliases(v engine.View, _ engine.None) (engine.Keys, error) {
	keys := engine.Keys{Info: map[string]any{}}
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return keys, err
	}
	for _, group := range g.byAlias {
		keys.Keys = append(keys.Keys, group.Alias.ID)
		if keys.Info[group.Alias.ID], err = s.aliasInfo(whole(v), group.ID, group.Alias); err != nil {
			return keys, err
		}
	}
	slices.Sort(keys.Keys)
	return keys, nil
}

func (s *Store) deleteGroupAlias(v engine.Tx, q oneID) (engine.None, error) {
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return engine.None{}, err
	}
	group := g.byAliasID(q.ID)
	if group == nil {
		return engine.None{}, nil
	}
	withoutAlias(whole(v), group, v.Now())
	return engine.None{}, nil
}
