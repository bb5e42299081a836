package identity

import (
	"maps"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Login is what a login says of who it was.
type Login struct {
	Mount    Mount
	Alias    string            // name at the mount; empty is nobody in particular
	Metadata map[string]string // takes the place of the alias's
	Groups   []string          // names by which external groups of the mount are known
}

// LoginOf is what a grant says.
func LoginOf(m Mount, g *engine.Grant) Login {
	return Login{Mount: m, Alias: g.Alias, Metadata: g.AliasMeta, Groups: g.Groups}
}

// Entered is the identity that a login came to.
type Entered struct {
	EntityID string
	AliasID  string
	Created  bool // the entity was not there before
}

// Login finds or makes the entity of a login, in the login's transaction, and
// brings its alias and its external groups up to date. It returns nil when the
// login has no alias or the mount is local. The entity of two first logins at
// once is one: the later transaction finds what the earlier wrote. A disabled
// entity is engine.Denied.
func (s *Store) Login(tx *storage.Tx, l Login, now time.Time) (*Entered, error) {
	if l.Alias == "" || l.Mount.Local {
		return nil, nil
	}
	if err := checkName("alias name", l.Alias); err != nil {
		return nil, err
	}
	id, err := find(tx, byAlias(l.Mount.Accessor, l.Alias))
	if err != nil {
		return nil, err
	}
	if id == "" {
		return s.first(tx, l, now)
	}
	e, err := s.refresh(tx, id, l, now)
	if err != nil {
		return nil, err
	}
	a := e.at(l.Mount.Accessor)
	if e.Disabled || a == nil {
		return nil, engine.Denied()
	}
	return &Entered{EntityID: e.ID, AliasID: a.ID}, nil
}

// first makes the entity of an alias that is new.
func (s *Store) first(tx *storage.Tx, l Login, now time.Time) (*Entered, error) {
	e, err := s.newEntity(tx, now, "")
	if err != nil {
		return nil, err
	}
	id, err := s.newID(tx)
	if err != nil {
		return nil, err
	}
	a := Alias{ID: id, Name: l.Alias, Accessor: l.Mount.Accessor, Metadata: l.Metadata, Created: now, Updated: now}
	e.Aliases = []Alias{a}
	if err := s.external(tx, e, l); err != nil {
		return nil, err
	}
	put(tx, e, nil)
	link(tx, e, &a)
	return &Entered{EntityID: e.ID, AliasID: a.ID, Created: true}, nil
}

// Renewed brings the external groups and alias metadata of a token's entity up
// to date at its renewal. It refuses with engine.Denied when the entity is gone
// or disabled.
func (s *Store) Renewed(tx *storage.Tx, entityID string, l Login, now time.Time) error {
	h, err := s.Holder(tx, entityID)
	if err != nil {
		return err
	}
	if h == nil || h.Disabled {
		return engine.Denied()
	}
	if l.Alias == "" {
		return nil
	}
	_, err = s.refresh(tx, h.ID, l, now)
	return err
}

// refresh writes what is new in a login of a known alias, which usually is
// nothing. The entity it returns is as stored.
func (s *Store) refresh(tx *storage.Tx, id string, l Login, now time.Time) (*Entity, error) {
	shared, err := entities(tx).Peek(id)
	if err != nil {
		return nil, err
	}
	if shared == nil {
		return nil, engine.Denied()
	}
	if shared.Disabled {
		return shared, nil
	}
	e := *shared
	e.Aliases, e.Groups = slices.Clone(shared.Aliases), slices.Clone(shared.Groups)
	if err := s.external(tx, &e, l); err != nil {
		return nil, err
	}
	a := e.at(l.Mount.Accessor)
	known := a == nil || fold(a.Name) != fold(l.Alias) || maps.Equal(a.Metadata, l.Metadata)
	if known && slices.Equal(shared.Groups, e.Groups) {
		return shared, nil
	}
	if !known {
		a.Metadata, a.Updated = l.Metadata, now
	}
	save(tx, &e)
	return &e, nil
}

// external sets the memberships of an entity in the external groups of a mount
// to those that a login names.
func (s *Store) external(tx *storage.Tx, e *Entity, l Login) error {
	g, err := s.groups.Get(tx)
	if err != nil {
		return err
	}
	named := make(map[string]bool)
	for _, name := range l.Groups {
		if group := g.byAlias[byAlias(l.Mount.Accessor, name)]; group != nil {
			named[group.ID] = true
		}
	}
	for _, id := range g.direct(e) {
		if a := g.byID[id].Alias; named[id] {
			delete(named, id) // and stays
		} else if a != nil && a.Accessor == l.Mount.Accessor {
			e.leave(tx, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(named)) {
		e.join(tx, g.byID[id])
	}
	return nil
}
