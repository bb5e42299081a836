package identity

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// The types of group.
const (
	internal = "internal" // members are set by API
	external = "external" // members are who a login says is one
)

// A Group gives its policies to its member entities, to its member groups and
// to theirs. Groups in a graph are shared and must not be changed.
type Group struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Type         string            `json:"type"`
	Policies     []string          `json:"policies"` // normalised; never root
	Metadata     map[string]string `json:"metadata"`
	MemberGroups []string          `json:"member_groups,omitempty"` // ids; never a cycle
	Alias        *Alias            `json:"alias,omitempty"`         // of an external group
	Epoch        int               `json:"epoch,omitempty"`         // memberships of another one do not count
	ModifyIndex  uint64            `json:"modify_index"`
	Created      time.Time         `json:"created"`
	Updated      time.Time         `json:"updated"`
}

// A graph is all groups of a namespace, and what is found by what. There are
// few groups next to entities, and every request of an entity asks them.
type graph struct {
	byID    map[string]*Group
	byName  map[string]*Group // folded
	byAlias map[string]*Group // as [byAlias]
	parents map[string][]string
}

func buildGraph(rows storage.Rows) (*graph, error) {
	table := storage.In[Group](rows, "group/")
	ids, err := table.Names("", "")
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	g := &graph{byID: make(map[string]*Group, len(ids)), byName: make(map[string]*Group, len(ids)),
		byAlias: make(map[string]*Group), parents: make(map[string][]string)}
	for _, id := range ids {
		group, err := table.Peek(id)
		if err != nil {
			return nil, fmt.Errorf("read group %s: %w", id, err)
		}
		g.byID[id], g.byName[fold(group.Name)] = group, group
		if a := group.Alias; a != nil {
			g.byAlias[byAlias(a.Accessor, a.Name)] = group
		}
		for _, m := range group.MemberGroups {
			g.parents[m] = append(g.parents[m], id)
		}
	}
	return g, nil
}

// byAliasID returns the group that has the alias with an id, or nil.
func (g *graph) byAliasID(id string) *Group {
	for _, group := range g.byAlias {
		if group.Alias.ID == id {
			return group
		}
	}
	return nil
}

// ids are those of all groups, sorted.
func (g *graph) ids() []string { return slices.Sorted(maps.Keys(g.byID)) }

// direct are the groups that an entity is a member of by itself, by id.
func (g *graph) direct(e *Entity) []string {
	ids := []string{}
	for _, m := range e.Groups {
		if group := g.byID[m.Group]; group != nil && group.Epoch == m.Epoch {
			ids = append(ids, m.Group)
		}
	}
	slices.Sort(ids)
	return ids
}

// above are the groups that those with the given ids are members of, through
// any number of others, themselves left out unless they are so too.
func (g *graph) above(ids []string) []string {
	seen := make(map[string]bool)
	for todo := slices.Clone(ids); len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, p := range g.parents[id] {
			if !seen[p] {
				seen[p] = true
				todo = append(todo, p)
			}
		}
	}
	return append([]string{}, slices.Sorted(maps.Keys(seen))...)
}

// checkMembers refuses member groups that are unknown, or that the group is
// itself below. An empty id is that of a new group.
func (g *graph) checkMembers(id string, members []string) error {
	above := g.above([]string{id})
	for _, m := range members {
		switch {
		case g.byID[m] == nil:
			return listed(fmt.Sprintf("invalid member group ID %q", m))
		case m == id || slices.Contains(above, m):
			return engine.Bad("cyclic relationship detected for member group ID %q", m)
		}
	}
	return nil
}

// putGroup stores a group.
func putGroup(tx *storage.Tx, g *Group, now time.Time) {
	g.ModifyIndex++
	g.Updated = now
	groups(tx).Put(g.ID, g)
}

// withoutAlias takes the alias of a group away, and with it its members.
func withoutAlias(tx *storage.Tx, g *Group, now time.Time) {
	left := *g
	left.Alias, left.Epoch = nil, left.Epoch+1
	putGroup(tx, &left, now)
}

// memberKey is the row that says that an entity is a member of a group, or was
// in another epoch. Ids hold nothing that must be hidden.
func memberKey(group, entity string) string { return group + "/" + entity }

// members lists the entities of a group.
func members(tx *storage.Tx, g *Group) ([]string, error) {
	var ids []string
	prefix := memberKey(g.ID, "")
	for row, err := range tx.In(storage.Members).Scan(prefix, g.ID+string('/'+1)) {
		if err != nil {
			return nil, fmt.Errorf("list members: %w", err)
		}
		if string(row.Value) == epochText(g.Epoch) {
			ids = append(ids, string(row.Key[len(prefix):]))
		}
	}
	return ids, nil
}

func epochText(epoch int) string { return fmt.Sprint(epoch) }

// join makes an entity a member of a group. The caller stores the entity.
func (e *Entity) join(tx *storage.Tx, g *Group) {
	e.leave(tx, g.ID)
	e.Groups = append(e.Groups, membership{g.ID, g.Epoch})
	tx.In(storage.Members).Put(memberKey(g.ID, e.ID), []byte(epochText(g.Epoch)))
}

// leave takes join back.
func (e *Entity) leave(tx *storage.Tx, group string) {
	n := len(e.Groups)
	e.Groups = slices.DeleteFunc(e.Groups, func(m membership) bool { return m.Group == group })
	if len(e.Groups) < n {
		tx.In(storage.Members).Delete(memberKey(group, e.ID))
	}
}

// setMembers makes exactly these entities the members of a group.
func setMembers(tx *storage.Tx, g *Group, ids []string) error {
	old, err := members(tx, g)
	if err != nil {
		return err
	}
	change := func(id string, f func(*Entity)) error {
		e, err := entities(tx).Get(id)
		if err == nil && e == nil {
			err = listed(fmt.Sprintf("invalid entity ID %q", id))
		}
		if err != nil {
			return err
		}
		f(e)
		save(tx, e)
		return nil
	}
	left := make(map[string]bool, len(old))
	for _, id := range old {
		left[id] = true
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if left[id] {
			delete(left, id)
			continue
		}
		if err := change(id, func(e *Entity) { e.join(tx, g) }); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		if err := change(id, func(e *Entity) { e.leave(tx, g.ID) }); err != nil {
			return err
		}
	}
	return nil
}

// removeGroup deletes a group and takes it out of those that it is a member
// of. What its members' rows say of it counts no longer, so they stay.
func removeGroup(tx *storage.Tx, all *graph, g *Group, now time.Time) error {
	for _, id := range all.parents[g.ID] {
		parent := *all.byID[id]
		parent.MemberGroups = slices.DeleteFunc(slices.Clone(parent.MemberGroups), func(m string) bool { return m == g.ID })
		putGroup(tx, &parent, now)
	}
	for row, err := range tx.In(storage.Members).Scan(memberKey(g.ID, ""), g.ID+string('/'+1)) {
		if err != nil {
			return fmt.Errorf("list members: %w", err)
		}
		tx.In(storage.Members).Delete(string(row.Key))
	}
	groups(tx).Delete(g.ID)
	return nil
}
