package mfa

import (
	"slices"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/storage"
)

// A Subject is who is to prove who they are.
type Subject struct {
	Accessor string // of the auth method that is logged in at
	Type     string // of it
	EntityID string // may be empty: then nobody can prove anything
	Address  string // of the client
}

// A rule demands one of its methods.
type rule struct {
	name    string
	methods []*Method
}

// Rules are all to be satisfied.
type Rules []rule

func (r Rules) takes(m *Method) bool {
	return slices.ContainsFunc(r, func(one rule) bool {
		return slices.ContainsFunc(one.methods, func(other *Method) bool { return other.ID == m.ID })
	})
}

// Required is what a login has to prove besides: one rule for each enforcement,
// of its namespace and of those that hold it, that is about it.
func (s *Store) Required(tx *storage.Tx, who Subject) (Rules, error) {
	all, err := s.visible(tx)
	if err != nil {
		return nil, err
	}
	var rules Rules
	var h *identity.Holder
	for _, v := range all {
		for _, e := range v.enforcements {
			if h == nil && who.EntityID != "" {
				if h, err = s.o.Identities.Holder(tx, who.EntityID); err != nil {
					return nil, err
				}
			}
			about, err := s.about(tx, e, who, h)
			if err != nil {
				return nil, err
			}
			if about {
				rules = append(rules, rule{rules.free(v, e), methodsOf(all, e.Methods)})
			}
		}
	}
	return rules, nil
}

// free is the name of an enforcement among the rules, where no name hides
// another.
func (r Rules) free(v seen, e *Enforcement) string {
	if slices.ContainsFunc(r, func(one rule) bool { return one.name == e.Name }) {
		return v.id + "/" + e.Name
	}
	return e.Name
}

// methodsOf may be none, if one was lost: nothing then satisfies the rule.
func methodsOf(all []seen, ids []string) []*Method {
	var list []*Method
	for _, id := range ids {
		for _, v := range all {
			if m := v.methods[id]; m != nil {
				list = append(list, m)
				break
			}
		}
	}
	return list
}

// about says whether an enforcement is about a login. An entity is known by the
// ids, too, of those that were merged into it.
func (s *Store) about(tx *storage.Tx, e *Enforcement, who Subject, h *identity.Holder) (bool, error) {
	if slices.Contains(e.Accessors, who.Accessor) || slices.Contains(e.Types, who.Type) {
		return true, nil
	}
	if h == nil {
		return false, nil
	}
	if slices.ContainsFunc(h.Subject.Groups, func(g policy.Group) bool { return slices.Contains(e.Groups, g.ID) }) {
		return true, nil
	}
	for _, id := range e.Entities {
		if id == h.ID {
			return true, nil
		}
		named, err := s.o.Identities.Holder(tx, id)
		if err != nil {
			return false, err
		}
		if named != nil && named.ID == h.ID {
			return true, nil
		}
	}
	return false, nil
}

// Demanded are the rules of a policy that names methods: all of them. A name
// that no method has is a rule that nothing satisfies.
func (s *Store) Demanded(tx *storage.Tx, names []string) (Rules, error) {
	all, err := s.visible(tx)
	if err != nil {
		return nil, err
	}
	rules := make(Rules, 0, len(names))
	for _, n := range names {
		r := rule{name: n}
		if m := method(all, n); m != nil {
			r.methods = []*Method{m}
		}
		rules = append(rules, r)
	}
	return rules, nil
}
