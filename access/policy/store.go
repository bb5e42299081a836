package policy

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fastness-dev/fastness/storage"
)

// A Store keeps ACL policies, below "acl/" of the range storage.Policies, and
// what is compiled of the sets of them that callers hold.
type Store struct {
	derived storage.Derived[*parsed]
}

// parsed is all policies of a namespace at one index, and ACLs made of them.
type parsed struct {
	byName map[string]*Policy

	mu   sync.RWMutex
	held map[string]*Held // by names, joined
}

// maxACLs bounds how many compiled ACLs are kept between changes of policies.
const maxACLs = 4096

// NewStore returns a store.
func NewStore() *Store {
	s := &Store{}
	s.derived.Range = storage.Policies
	s.derived.Build = func(rows storage.Rows) (*parsed, error) {
		p := &parsed{byName: make(map[string]*Policy), held: make(map[string]*Held)}
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
