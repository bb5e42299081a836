package mfa

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// An Enforcement demands one of its methods of every login that it is about:
// that is at one of its mounts or types, or of one of its groups or entities.
type Enforcement struct {
	Accessors []string `json:"auth_method_accessors"`
	Types     []string `json:"auth_method_types"`
	ID        string   `json:"id"`
	Entities  []string `json:"identity_entity_ids"`
	Groups    []string `json:"identity_group_ids"`
	Methods   []string `json:"mfa_method_ids"`
	Name      string   `json:"name"`
}

type shownEnforcement struct {
	Enforcement
	NamespaceID   string `json:"namespace_id"`
	NamespacePath string `json:"namespace_path"`
}

func enforcementRoutes() engine.Routes[Store] {
	const at = "mfa/login-enforcement/{name*}"
	return engine.Routes[Store]{
		engine.List("mfa/login-enforcement", (*Store).listEnforcements).Doc("List the login enforcements."),
		engine.Read(at, (*Store).readEnforcement).Doc("Show a login enforcement."),
		engine.Write(at, (*Store).writeEnforcement).Doc("Make or change a login enforcement."),
		engine.Delete(at, (*Store).deleteEnforcement).Doc("Delete a login enforcement."),
	}
}

type (
	enforcementName struct {
		Name string `path:"name"`
	}
	// What is absent of a known enforcement stays.
	enforcementRequest struct {
		Name      string    `path:"name" doc:"Name of the enforcement."`
		Methods   *[]string `json:"mfa_method_ids" doc:"Ids of methods, one of which has to be proved."`
		Accessors *[]string `json:"auth_method_accessors" doc:"Accessors of the auth methods whose logins it is about."`
		Types     *[]string `json:"auth_method_types" doc:"Types of auth methods whose logins it is about."`
		Groups    *[]string `json:"identity_group_ids" doc:"Ids of groups whose members it is about."`
		Entities  *[]string `json:"identity_entity_ids" doc:"Ids of entities that it is about."`
	}
)

func (s *Store) writeEnforcement(v engine.Tx, q enforcementRequest) (engine.None, error) {
	none := engine.None{}
	if err := checkName("name", q.Name); err != nil {
		return none, err
	}
	e, err := enforcements(whole(v)).Get(q.Name)
	if err != nil {
		return none, err
	}
	if e == nil {
		e = &Enforcement{ID: s.o.NewID(), Name: q.Name}
	}
	for _, f := range []struct{ to, from *[]string }{{&e.Methods, q.Methods}, {&e.Accessors, q.Accessors}, {&e.Types, q.Types},
		{&e.Groups, q.Groups}, {&e.Entities, q.Entities}} {
		if f.from != nil {
			*f.to = each(*f.from)
		}
		if *f.to == nil {
			*f.to = []string{}
		}
	}
	if err := s.checkEnforcement(whole(v), e); err != nil {
		return none, err
	}
	enforcements(whole(v)).Put(e.Name, e)
	return none, nil
}

// each is a list as it was sent, with everything in it once.
func each(list []string) []string {
	var out []string
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// checkEnforcement refuses what would never hold: a slip in an id must not leave
// logins without what was meant for them.
func (s *Store) checkEnforcement(tx *storage.Tx, e *Enforcement) error {
	switch {
	case len(e.Methods) == 0:
		return engine.Bad("missing mfa_method_ids")
	case len(e.Accessors)+len(e.Types)+len(e.Groups)+len(e.Entities) == 0:
		return engine.Bad("one of auth_method_accessors, auth_method_types, identity_group_ids, identity_entity_ids must be specified")
	}
	all, err := s.visible(tx)
	if err != nil {
		return err
	}
	for _, id := range e.Methods {
		if !slices.ContainsFunc(all, func(v seen) bool { return v.methods[id] != nil }) {
			return engine.Bad("'mfa_method_ids': there is no method with id %q", id)
		}
	}
	below, err := s.o.Spaces.Below(tx)
	if err != nil {
		return err
	}
	here := append([]*storage.Tx{tx}, below...)
	for _, c := range []struct {
		field string
		ids   []string
		there func(*storage.Tx, string) (bool, error)
	}{
		{"auth_method_accessors", e.Accessors, s.o.Mount},
		{"identity_group_ids", e.Groups, s.o.Identities.HasGroup},
		{"identity_entity_ids", e.Entities, s.hasEntity},
	} {
		for _, id := range c.ids {
			known, err := anywhere(here, id, c.there)
			if err != nil {
				return err
			}
			if !known {
				return engine.Bad("'%s': nothing has the id %q", c.field, id)
			}
		}
	}
	return nil
}

func (s *Store) hasEntity(tx *storage.Tx, id string) (bool, error) {
	h, err := s.o.Identities.Holder(tx, id)
	return h != nil, err
}

func anywhere(in []*storage.Tx, id string, there func(*storage.Tx, string) (bool, error)) (bool, error) {
	for _, tx := range in {
		if known, err := there(tx, id); known || err != nil {
			return known, err
		}
	}
	return false, nil
}

func (s *Store) readEnforcement(v engine.View, q enforcementName) (*shownEnforcement, error) {
	e, err := enforcements(whole(v)).Peek(q.Name)
	if err != nil || e == nil {
		return nil, err
	}
	return s.showEnforcement(whole(v), e)
}

func (s *Store) showEnforcement(tx *storage.Tx, e *Enforcement) (*shownEnforcement, error) {
	id, path, err := s.o.Spaces.ID(tx)
	return &shownEnforcement{*e, id, path}, err
}

func (s *Store) listEnforcements(v engine.View, _ engine.None) (engine.Keys, error) {
	keys := engine.Keys{Info: map[string]any{}}
	c, err := s.configs.Get(whole(v))
	if err != nil {
		return keys, err
	}
	for _, e := range c.enforcements {
		keys.Keys = append(keys.Keys, e.Name)
		if keys.Info[e.Name], err = s.showEnforcement(whole(v), e); err != nil {
			return keys, err
		}
	}
	return keys, nil
}

func (s *Store) deleteEnforcement(v engine.Tx, q enforcementName) (engine.None, error) {
	enforcements(whole(v)).Delete(q.Name)
	return engine.None{}, nil
}

// checkName refuses names that no one could read or type again.
func checkName(field, name string) error {
	if name == "" || len(name) > 512 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return engine.Bad("'%s' must be printable text of 1 to 512 bytes", field)
	}
	return nil
}
