package identity

import (
	"slices"

	"github.com/fastness-dev/fastness/engine"
)

func groupRoutes() engine.Routes[Store] {
	return engine.Routes[Store]{
		engine.Write("group", (*Store).writeGroup).Doc("Make a group, or change the one with a name or id."),
		engine.List("group/id", (*Store).listGroups).Doc("List the groups by id."),
		engine.Read("group/id/{id*}", (*Store).readGroup).Doc("Show a group."),
		engine.Write("group/id/{id*}", (*Store).writeGroupByID).Doc("Change a group."),
		engine.Delete("group/id/{id*}", (*Store).deleteGroup).Doc("Delete a group."),
		engine.List("group/name", (*Store).listGroupNames).Doc("List the groups by name."),
		engine.Read("group/name/{name...}", (*Store).readGroupByName).Doc("Show the group with a name."),
		engine.Write("group/name/{name...}", (*Store).writeGroupByName).Doc("Make or change the group with a name."),
		engine.Delete("group/name/{name...}", (*Store).deleteGroupByName).Doc("Delete the group with a name."),
	}
}

// groupFields are what can be set of a group. What is absent stays.
type groupFields struct {
	Type           string             `json:"type" doc:"internal (by default) or external. It cannot be changed."`
	Metadata       *map[string]string `json:"metadata" doc:"Up to 64 pairs of text."`
	Policies       *[]string          `json:"policies" doc:"Policies of every member; never root."`
	MemberEntities *[]string          `json:"member_entity_ids" doc:"Ids of all entities that are members."`
	MemberGroups   *[]string          `json:"member_group_ids" doc:"Ids of all groups that are members."`
}

type (
	groupRequest struct {
		ID   string `json:"id" doc:"Id of the group to change."`
		Name string `json:"name" doc:"Name of the group."`
		groupFields
	}
	groupByID struct {
		ID   string `path:"id"`
		Name string `json:"name" doc:"New name of the group."`
		groupFields
	}
	groupByName struct {
		Name string `path:"name"`
		ID   string `json:"id" doc:"Id of the group; it must be the one with the name."`
		groupFields
	}
	madeGroup struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
)

func (s *Store) writeGroup(v engine.Tx, q groupRequest) (*madeGroup, error) {
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return nil, err
	}
	old := g.byName[fold(q.Name)]
	if q.ID != "" {
		if old = g.byID[q.ID]; old == nil {
			return nil, engine.Bad("invalid group ID")
		}
	}
	return s.setGroup(v, g, old, q.Name, q.groupFields)
}

func (s *Store) writeGroupByID(v engine.Tx, q groupByID) (*madeGroup, error) {
	if err := agrees(v, "id", q.ID); err != nil {
		return nil, err
	}
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return nil, err
	}
	old := g.byID[q.ID]
	if old == nil {
		return nil, engine.Bad("invalid group ID")
	}
	return s.setGroup(v, g, old, q.Name, q.groupFields)
}

func (s *Store) writeGroupByName(v engine.Tx, q groupByName) (*madeGroup, error) {
	if err := agrees(v, "name", q.Name); err != nil {
		return nil, err
	}
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return nil, err
	}
	old := g.byName[fold(q.Name)]
	if q.ID != "" && (old == nil || old.ID != q.ID) {
		return nil, engine.Bad("'id' is not that of the group with this name")
	}
	return s.setGroup(v, g, old, q.Name, q.groupFields)
}

// setGroup stores a group with what was sent of it. Of a changed one there is
// nothing to say.
func (s *Store) setGroup(v engine.Tx, all *graph, old *Group, name string, f groupFields) (*madeGroup, error) {
	g := &Group{Type: internal, Created: v.Now()}
	if old != nil {
		*g = *old
	}
	if err := g.setType(old, f.Type); err != nil {
		return nil, err
	}
	if err := s.setGroupName(all, g, name); err != nil {
		return nil, err
	}
	if err := g.set(f); err != nil {
		return nil, err
	}
	if f.MemberGroups != nil {
		if err := all.checkMembers(g.ID, *f.MemberGroups); err != nil {
			return nil, err
		}
	}
	if old == nil {
		var err error
		if g.ID, err = s.newID(whole(v)); err != nil {
			return nil, err
		}
	}
	if f.MemberGroups != nil {
		g.setMemberGroups(v, all, *f.MemberGroups)
	}
	if f.MemberEntities != nil {
		if err := setMembers(whole(v), g, *f.MemberEntities); err != nil {
			return nil, err
		}
	}
	putGroup(whole(v), g, v.Now())
	if old != nil {
		return nil, nil
	}
	return &madeGroup{g.ID, g.Name}, nil
}

func (g *Group) setType(old *Group, to string) error {
	switch {
	case to == "":
		return nil
	case to != internal && to != external:
		return engine.Bad("invalid group type %q", to)
	case old != nil && old.Type != to:
		return engine.Bad("group type cannot be changed")
	}
	g.Type = to
	return nil
}

func (s *Store) setGroupName(all *graph, g *Group, name string) error {
	if name == "" {
		for g.Name == "" || g.ID == "" && all.byName[fold(g.Name)] != nil {
			g.Name = s.drawName("group")
		}
		return nil
	}
	if err := checkName("name", name); err != nil {
		return err
	}
	if other := all.byName[fold(name)]; other != nil && other.ID != g.ID {
		return engine.Bad("group name is already in use")
	}
	g.Name = name
	return nil
}

// set sets what concerns no other group.
func (g *Group) set(f groupFields) (err error) {
	if f.Policies != nil {
		if g.Policies, err = checkPolicies(*f.Policies); err != nil {
			return err
		}
	}
	if f.Metadata != nil {
		if wrong := checkMetadata(*f.Metadata); wrong != "" {
			return listed("invalid group metadata: " + wrong)
		}
		g.Metadata = *f.Metadata
	}
	if g.Type != external {
		return nil
	}
	if f.MemberEntities != nil && len(*f.MemberEntities) > 0 {
		return engine.Bad("member entities can't be set manually for external groups")
	}
	if f.MemberGroups != nil && len(*f.MemberGroups) > 0 {
		return engine.Bad("member groups can't be set for external groups")
	}
	return nil
}

// setMemberGroups sets the member groups of a group. To those that come or go
// it is a change too.
func (g *Group) setMemberGroups(v engine.Tx, all *graph, ids []string) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for _, id := range union(ids, g.MemberGroups) {
		if slices.Contains(ids, id) != slices.Contains(g.MemberGroups, id) {
			member := *all.byID[id]
			putGroup(whole(v), &member, v.Now())
		}
	}
	g.MemberGroups = ids
}

func (s *Store) readGroup(v engine.View, q oneID) (*shownGroup, error) {
	g, err := s.groups.Get(whole(v))
	if err != nil || g.byID[q.ID] == nil {
		return nil, err
	}
	return s.showGroup(whole(v), g, g.byID[q.ID])
}

func (s *Store) readGroupByName(v engine.View, q oneName) (*shownGroup, error) {
	g, err := s.groups.Get(whole(v))
	if err != nil || g.byName[fold(q.Name)] == nil {
		return nil, err
	}
	return s.showGroup(whole(v), g, g.byName[fold(q.Name)])
}

func (s *Store) listGroups(v engine.View, _ engine.None) (engine.Keys, error) {
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return engine.Keys{}, err
	}
	keys := engine.Keys{Keys: g.ids(), Info: map[string]any{}}
	for id, group := range g.byID {
		in, err := members(whole(v), group)
		if err != nil {
			return keys, err
		}
		keys.Info[id] = infoOfGroup{Name: group.Name, MemberEntities: len(in), ParentGroups: len(g.parents[id])}
	}
	return keys, nil
}

func (s *Store) listGroupNames(v engine.View, _ engine.None) (engine.Keys, error) {
	g, err := s.groups.Get(whole(v))
	if err != nil {
		return engine.Keys{}, err
	}
	names := make([]string, 0, len(g.byID))
	for _, group := range g.byID {
		names = append(names, group.Name)
	}
	slices.Sort(names)
	return engine.KeysOf(names), nil
}

func (s *Store) deleteGroup(v engine.Tx, q oneID) (engine.None, error) {
	return s.endGroup(v, func(g *graph) *Group { return g.byID[q.ID] })
}

func (s *Store) deleteGroupByName(v engine.Tx, q oneName) (engine.None, error) {
	return s.endGroup(v, func(g *graph) *Group { return g.byName[fold(q.Name)] })
}

func (s *Store) endGroup(v engine.Tx, which func(*graph) *Group) (engine.None, error) {
	g, err := s.groups.Get(whole(v))
	if err != nil || which(g) == nil {
		return engine.None{}, err
	}
	return engine.None{}, removeGroup(whole(v), g, which(g), v.Now())
}
