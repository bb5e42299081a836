package identity

import (
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// Answers. Fields are in the order of their names, as in Vault's.
type (
	shownAlias struct {
		CanonicalID    string             `json:"canonical_id"`
		CreationTime   string             `json:"creation_time"`
		CustomMetadata *map[string]string `json:"custom_metadata,omitempty"`
		ID             string             `json:"id"`
		LastUpdateTime string             `json:"last_update_time"`
		Local          *bool              `json:"local,omitempty"`
		MergedFrom     []string           `json:"merged_from_canonical_ids"`
		Metadata       map[string]string  `json:"metadata"`
		MountAccessor  string             `json:"mount_accessor"`
		MountPath      string             `json:"mount_path"`
		MountType      string             `json:"mount_type"`
		Name           string             `json:"name"`
		NamespaceID    string             `json:"namespace_id,omitempty"`
	}
	shownEntity struct {
		Aliases        []shownAlias      `json:"aliases"`
		CreationTime   string            `json:"creation_time"`
		DirectGroups   []string          `json:"direct_group_ids"`
		Disabled       bool              `json:"disabled"`
		Groups         []string          `json:"group_ids"`
		ID             string            `json:"id"`
		Inherited      []string          `json:"inherited_group_ids"`
		LastUpdateTime string            `json:"last_update_time"`
		Merged         []string          `json:"merged_entity_ids"`
		Metadata       map[string]string `json:"metadata"`
		Name           string            `json:"name"`
		NamespaceID    string            `json:"namespace_id"`
		Policies       []string          `json:"policies"`
	}
	shownGroup struct {
		Alias          any               `json:"alias"` // shownAlias, or {} for none
		CreationTime   string            `json:"creation_time"`
		ID             string            `json:"id"`
		LastUpdateTime string            `json:"last_update_time"`
		MemberEntities []string          `json:"member_entity_ids"`
		MemberGroups   []string          `json:"member_group_ids"`
		Metadata       map[string]string `json:"metadata"`
		ModifyIndex    uint64            `json:"modify_index"`
		Name           string            `json:"name"`
		NamespaceID    string            `json:"namespace_id"`
		ParentGroups   []string          `json:"parent_group_ids"`
		Policies       []string          `json:"policies"`
		Type           string            `json:"type"`
	}
	// infoOfAlias is a line of a list of aliases.
	infoOfAlias struct {
		CanonicalID    string            `json:"canonical_id"`
		CustomMetadata map[string]string `json:"custom_metadata"`
		Local          bool              `json:"local"`
		Metadata       map[string]string `json:"metadata"`
		MountAccessor  string            `json:"mount_accessor"`
		MountPath      string            `json:"mount_path,omitempty"`
		MountType      string            `json:"mount_type,omitempty"`
		Name           string            `json:"name"`
	}
	// infoOfEntity is a line of a list of entities.
	infoOfEntity struct {
		Aliases []aliasOfEntity `json:"aliases,omitempty"`
		Name    string          `json:"name"`
	}
	aliasOfEntity struct {
		ID            string            `json:"id"`
		Metadata      map[string]string `json:"metadata"`
		MountAccessor string            `json:"mount_accessor"`
		MountPath     string            `json:"mount_path,omitempty"`
		MountType     string            `json:"mount_type,omitempty"`
		Name          string            `json:"name"`
	}
	// infoOfGroup is a line of a list of groups.
	infoOfGroup struct {
		Name           string `json:"name"`
		MemberEntities int    `json:"num_member_entities"`
		ParentGroups   int    `json:"num_parent_groups"`
	}
)

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// mountOf is the mount of an alias, empty when it is gone.
func (s *Store) mountOf(tx *storage.Tx, accessor string) (Mount, error) {
	m, err := s.o.Mount(tx, accessor)
	if err != nil || m == nil {
		return Mount{}, err
	}
	return *m, nil
}

// showAlias is an alias within its entity.
func (s *Store) showAlias(tx *storage.Tx, owner string, a *Alias) (*shownAlias, error) {
	shown, err := s.showGroupAlias(tx, owner, a)
	if err != nil {
		return nil, err
	}
	shown.CustomMetadata, shown.Local = &a.Custom, &a.Local
	return shown, nil
}

// showGroupAlias is an alias within its group, which shows less.
func (s *Store) showGroupAlias(tx *storage.Tx, owner string, a *Alias) (*shownAlias, error) {
	m, err := s.mountOf(tx, a.Accessor)
	if err != nil {
		return nil, err
	}
	return &shownAlias{CanonicalID: owner, CreationTime: moment(a.Created), ID: a.ID, LastUpdateTime: moment(a.Updated),
		MergedFrom: a.MergedFrom, Metadata: a.Metadata, MountAccessor: a.Accessor, MountPath: m.Path, MountType: m.Type, Name: a.Name}, nil
}

// showOneAlias is an alias by itself.
func (s *Store) showOneAlias(tx *storage.Tx, owner string, a *Alias) (*shownAlias, error) {
	shown, err := s.showAlias(tx, owner, a)
	if err != nil {
		return nil, err
	}
	shown.NamespaceID, err = s.o.NamespaceID(tx)
	return shown, err
}

func (s *Store) aliasInfo(tx *storage.Tx, owner string, a *Alias) (infoOfAlias, error) {
	m, err := s.mountOf(tx, a.Accessor)
	return infoOfAlias{CanonicalID: owner, CustomMetadata: a.Custom, Local: a.Local, Metadata: a.Metadata,
		MountAccessor: a.Accessor, MountPath: m.Path, MountType: m.Type, Name: a.Name}, err
}

func (s *Store) entityInfo(tx *storage.Tx, e *Entity) (infoOfEntity, error) {
	info := infoOfEntity{Name: e.Name}
	for i := range e.Aliases {
		a := &e.Aliases[i]
		m, err := s.mountOf(tx, a.Accessor)
		if err != nil {
			return info, err
		}
		info.Aliases = append(info.Aliases, aliasOfEntity{ID: a.ID, Metadata: a.Metadata, MountAccessor: a.Accessor,
			MountPath: m.Path, MountType: m.Type, Name: a.Name})
	}
	return info, nil
}

func (s *Store) showEntity(tx *storage.Tx, e *Entity) (*shownEntity, error) {
	g, err := s.groups.Get(tx)
	if err != nil {
		return nil, err
	}
	ns, err := s.o.NamespaceID(tx)
	if err != nil {
		return nil, err
	}
	shown := &shownEntity{Aliases: []shownAlias{}, CreationTime: moment(e.Created), Disabled: e.Disabled, ID: e.ID,
		LastUpdateTime: moment(e.Updated), Merged: e.Merged, Metadata: e.Metadata, Name: e.Name, NamespaceID: ns, Policies: e.Policies}
	shown.DirectGroups = g.direct(e)
	shown.Inherited = g.above(shown.DirectGroups)
	shown.Groups = union(shown.DirectGroups, shown.Inherited)
	for i := range e.Aliases {
		a, err := s.showAlias(tx, e.ID, &e.Aliases[i])
		if err != nil {
			return nil, err
		}
		shown.Aliases = append(shown.Aliases, *a)
	}
	return shown, nil
}

// union is a, then what of b is not in it.
func union(a, b []string) []string {
	all := append([]string{}, a...)
	has := make(map[string]bool, len(a))
	for _, id := range a {
		has[id] = true
	}
	for _, id := range b {
		if !has[id] {
			all = append(all, id)
		}
	}
	return all
}

func (s *Store) showGroup(tx *storage.Tx, all *graph, g *Group) (*shownGroup, error) {
	ns, err := s.o.NamespaceID(tx)
	if err != nil {
		return nil, err
	}
	shown := &shownGroup{Alias: struct{}{}, CreationTime: moment(g.Created), ID: g.ID, LastUpdateTime: moment(g.Updated),
		MemberGroups: g.MemberGroups, Metadata: g.Metadata, ModifyIndex: g.ModifyIndex, Name: g.Name, NamespaceID: ns,
		ParentGroups: all.parents[g.ID], Policies: g.Policies, Type: g.Type}
	if g.Alias != nil {
		if shown.Alias, err = s.showGroupAlias(tx, g.ID, g.Alias); err != nil {
			return nil, err
		}
	}
	shown.MemberEntities, err = members(tx, g)
	return shown, err
}
