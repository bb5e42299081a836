package identity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// An Entity is a person or machine. One that was read with Peek is shared and
// must not be changed.
type Entity struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
	Policies []string          `json:"policies"` // normalised; never root
	Disabled bool              `json:"disabled,omitempty"`
	Aliases  []Alias           `json:"aliases,omitempty"` // at most one per mount
	Merged   []string          `json:"merged,omitempty"`  // ids of entities that it took in
	// Groups are the memberships, of which those of a group that is gone, or
	// whose alias has changed since, no longer count. See [graph.direct].
	Groups []membership `json:"groups,omitempty"`
	// Rev counts the writes of the entity: of two with one id and one Rev,
	// nothing differs.
	Rev     uint64    `json:"rev"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// A membership is in a group as of an epoch of its alias: changing whom an
// external group is about ends all its memberships at once.
type membership struct {
	Group string
	Epoch int
}

// MarshalText is short, "group" or "group epoch": rows beyond some size are not
// kept in memory, and there are entities in a thousand groups.
func (m membership) MarshalText() ([]byte, error) {
	if m.Epoch == 0 {
		return []byte(m.Group), nil
	}
	return fmt.Appendf(nil, "%s %d", m.Group, m.Epoch), nil
}

// UnmarshalText takes that back.
func (m *membership) UnmarshalText(b []byte) (err error) {
	group, epoch, ok := strings.Cut(string(b), " ")
	m.Group = group
	if ok {
		m.Epoch, err = strconv.Atoi(epoch)
	}
	return err
}

// An Alias is the account at one auth method of an entity or external group.
type Alias struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"` // as it was given; compared without case
	Accessor   string            `json:"accessor"`
	Local      bool              `json:"local,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`        // of the last login
	Custom     map[string]string `json:"custom_metadata,omitempty"` // set by API
	MergedFrom []string          `json:"merged_from,omitempty"`     // ids of entities that had it
	Created    time.Time         `json:"created"`
	Updated    time.Time         `json:"updated"`
}

// at returns the alias at a mount, or nil.
func (e *Entity) at(accessor string) *Alias {
	for i := range e.Aliases {
		if e.Aliases[i].Accessor == accessor {
			return &e.Aliases[i]
		}
	}
	return nil
}

// alias returns the alias with an id, or nil.
func (e *Entity) alias(id string) *Alias {
	for i := range e.Aliases {
		if e.Aliases[i].ID == id {
			return &e.Aliases[i]
		}
	}
	return nil
}

// newEntity is an entity that is not stored yet. An empty name is drawn.
func (s *Store) newEntity(tx *storage.Tx, now time.Time, name string) (*Entity, error) {
	id, err := s.newID(tx)
	if err != nil {
		return nil, err
	}
	for taken := name == ""; taken; {
		name = s.drawName("entity")
		other, err := find(tx, byName(name))
		if err != nil {
			return nil, err
		}
		taken = other != ""
	}
	return &Entity{ID: id, Name: name, Created: now, Updated: now}, nil
}

// put stores an entity as it is. old is what was stored, nil when new.
func put(tx *storage.Tx, e, old *Entity) {
	switch {
	case old == nil:
		finders(tx).Put(byName(e.Name), &finder{e.ID})
	case fold(old.Name) != fold(e.Name):
		finders(tx).Delete(byName(old.Name))
		finders(tx).Put(byName(e.Name), &finder{e.ID})
	}
	save(tx, e)
}

// save stores an entity whose name is as it was.
func save(tx *storage.Tx, e *Entity) {
	e.Rev++
	entities(tx).Put(e.ID, e)
}

// link makes an alias lead to its entity, whoever it led to before.
func link(tx *storage.Tx, e *Entity, a *Alias) {
	finders(tx).Put(byAlias(a.Accessor, a.Name), &finder{e.ID})
	aliases(tx).Put(a.ID, &aliasRow{e.ID})
	ofMount(tx, a.Accessor).Put(a.ID, &aliasRow{e.ID})
}

// unlink takes link back.
func unlink(tx *storage.Tx, a *Alias) {
	finders(tx).Delete(byAlias(a.Accessor, a.Name))
	aliases(tx).Delete(a.ID)
	ofMount(tx, a.Accessor).Delete(a.ID)
}

// drop removes an alias from its entity, and with it the memberships in
// external groups that logins by it gave. The caller stores the entity.
func (e *Entity) drop(tx *storage.Tx, g *graph, id string) {
	a := e.alias(id)
	if a == nil {
		return
	}
	unlink(tx, a)
	for _, group := range g.direct(e) {
		if about := g.byID[group].Alias; about != nil && about.Accessor == a.Accessor {
			e.leave(tx, group)
		}
	}
	e.Aliases = slices.DeleteFunc(e.Aliases, func(a Alias) bool { return a.ID == id })
}

// remove deletes an entity and all that leads to it. Its tokens are refused
// from then on.
func (s *Store) remove(tx *storage.Tx, id string) error {
	e, err := entities(tx).Get(id)
	if err != nil || e == nil {
		return err
	}
	for i := range e.Aliases {
		unlink(tx, &e.Aliases[i])
	}
	for _, m := range e.Groups {
		tx.In(storage.Members).Delete(memberKey(m.Group, id))
	}
	for _, from := range e.Merged {
		finders(tx).Delete(byMerged(from))
	}
	finders(tx).Delete(byName(e.Name))
	entities(tx).Delete(id)
	if s.o.Removed != nil {
		return s.o.Removed(tx, id)
	}
	return nil
}

// nameFree refuses a name that another entity has.
func nameFree(tx *storage.Tx, name, id string) error {
	if err := checkName("name", name); err != nil {
		return err
	}
	other, err := find(tx, byName(name))
	if err != nil {
		return err
	}
	if other != "" && other != id {
		return engine.Bad("entity name is already in use")
	}
	return nil
}

// ofAlias returns the entity of an alias id, and the alias in it; nil when there
// is none. Only in a transaction that writes may they be changed.
func ofAlias(tx *storage.Tx, id string) (*Entity, *Alias, error) {
	row, err := aliases(tx).Get(id)
	if err != nil || row == nil {
		return nil, nil, err
	}
	load := entities(tx).Get
	if tx.Mode() == storage.ReadOnly {
		load = entities(tx).Peek
	}
	e, err := load(row.Entity)
	if err != nil || e == nil {
		return nil, nil, err
	}
	a := e.alias(id)
	if a == nil {
		return nil, nil, fmt.Errorf("entity %s lacks its alias %s", e.ID, id)
	}
	return e, a, nil
}
