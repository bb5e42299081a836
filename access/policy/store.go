package policy

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fastness-dev/fastness/storage"
)

// A Store keeps ACL policies, below "acl/" of the range storage.Policies, and
// the compiled ACLs of the sets of them that tokens carry.
type Store struct {
	derived storage.Derived[*parsed]
}

// parsed is all policies of a namespace at one index, and ACLs made of them.
type parsed struct {
	byName map[string]*Policy

	mu   sync.RWMutex
	acls map[string]*ACL // by names, joined
}

// maxACLs bounds how many compiled ACLs are kept between changes of policies.
const maxACLs = 4096

// NewStore returns a store.
func NewStore() *Store {
	s := &Store{}
	s.derived.Range = storage.Policies
	s.derived.Build = func(rows storage.Rows) (*parsed, error) {
		p := &parsed{byName: make(map[string]*Policy), acls: make(map[string]*ACL)}
		for name, err := range rows.Children("acl", "") {
			if err != nil {
				return nil, fmt.Errorf("list policies: %w", err)
			}
			text, err := rows.Get("acl/" + name)
			if err != nil {
				return nil, err
			}
			name = nameOf.Replace(name)
			pol, err := Parse(name, string(text))
			if err != nil {
				return nil, fmt.Errorf("policy %q: %w", name, err)
			}
			p.byName[name] = pol
		}
		return p, nil
	}
	return s
}

// Drop forgets what was compiled: the barrier was sealed.
func (s *Store) Drop() { s.derived.Drop() }

// Init writes the policies that exist from the start.
func (s *Store) Init(tx *storage.Tx) {
	rows := tx.In(storage.Policies)
	rows.Put("acl/default", []byte(Default))
	rows.Put("acl/response-wrapping", []byte(ResponseWrapping))
	rows.Put("acl/control-group", []byte(ControlGroupText))
}

// Get returns a policy, or nil.
func (s *Store) Get(tx *storage.Tx, name string) (*Policy, error) {
	p, err := s.derived.Get(tx)
	if err != nil {
		return nil, err
	}
	return p.byName[NormalizeName(name)], nil
}

// Names lists the policies, those that only the server uses left out.
func (s *Store) Names(tx *storage.Tx) ([]string, error) {
	p, err := s.derived.Get(tx)
	if err != nil {
		return nil, err
	}
	var names []string
	if tx.Namespace() == 0 {
		names = append(names, rootName)
	}
	for n := range p.byName {
		if !Hidden(n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Put stores a policy that was parsed.
func (s *Store) Put(tx *storage.Tx, p *Policy) {
	tx.In(storage.Policies).Put(row(p.Name), []byte(p.Text))
}

// Delete removes a policy.
func (s *Store) Delete(tx *storage.Tx, name string) {
	tx.In(storage.Policies).Delete(row(NormalizeName(name)))
}

// A policy's row lies directly below acl/, although its name may have slashes.
var (
	escaped = strings.NewReplacer("%", "%25", "/", "%2F")
	nameOf  = strings.NewReplacer("%2F", "/", "%25", "%")
)

func row(name string) string { return "acl/" + escaped.Replace(name) }

// ACL compiles the named policies; unknown ones grant nothing. Names must be
// sorted for the compiled form to be found again.
func (s *Store) ACL(tx *storage.Tx, names []string) (*ACL, error) {
	p, err := s.derived.Get(tx)
	if err != nil {
		return nil, err
	}
	key := strings.Join(names, "\x00")
	p.mu.RLock()
	acl := p.acls[key]
	p.mu.RUnlock()
	if acl != nil {
		return acl, nil
	}
	var list []*Policy
	for _, n := range names {
		if n == rootName {
			list = append(list, Root())
		} else if pol := p.byName[n]; pol != nil {
			if pol.Templated {
				pol = pol.withoutTemplates()
			}
			list = append(list, pol)
		}
	}
	acl = Compile(list)
	p.mu.Lock()
	if len(p.acls) < maxACLs {
		p.acls[key] = acl
	}
	p.mu.Unlock()
	return acl, nil
}

// withoutTemplates leaves out the rules that name an identity: there is none
// until package identity gives one.
func (p *Policy) withoutTemplates() *Policy {
	q := *p
	q.Templated = false
	q.Rules = slices.DeleteFunc(slices.Clone(p.Rules), func(r Rule) bool { return strings.Contains(r.Path, "{{") })
	return &q
}
