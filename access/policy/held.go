package policy

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fastness-dev/fastness/storage"
)

// Held is what a caller holds: the names of policies, sorted, and what they
// amount to. It is shared and never changes.
type Held struct {
	*ACL
	Policies []string

	name atomic.Pointer[string]
}

// Name gives what make makes, which is to depend on the policies and their
// namespace alone: it is made once.
func (h *Held) Name(make func() string) string {
	if n := h.name.Load(); n != nil {
		return *n
	}
	n := make()
	h.name.Store(&n)
	return n
}

// A Bearer is an identity as policies see it: what it holds besides the policies
// of a token, and what fills the templates of both. It keeps what is compiled
// for it, so whoever makes one makes another when the identity changes, and
// keeps it until then. The fields must not change.
type Bearer struct {
	Policies []string // normalised
	Subject  Subject

	mu   sync.RWMutex
	of   *parsed
	held map[string]*Held // by the token's own policies, joined
}

// ACL compiles the named policies; unknown ones grant nothing, nor do rules
// whose path is a template. Names must be sorted for the compiled form to be
// found again.
func (s *Store) ACL(tx *storage.Tx, names []string) (*ACL, error) {
	h, err := s.Held(tx, names, nil)
	if err != nil {
		return nil, err
	}
	return h.ACL, nil
}

// Held compiles the policies of a token, own, together with those of its
// bearer; nil is a token of nobody in particular.
func (s *Store) Held(tx *storage.Tx, own []string, b *Bearer) (*Held, error) {
	p, err := s.derived.Get(tx)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return p.shared(own), nil
	}
	var room [256]byte
	key := join(room[:0], own)
	b.mu.RLock()
	var h *Held
	if b.of == p {
		h = b.held[string(key)]
	}
	b.mu.RUnlock()
	if h != nil {
		return h, nil
	}
	h = p.heldBy(own, b)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of != p {
		b.of, b.held = p, make(map[string]*Held)
	}
	if len(b.held) >= maxPerBearer {
		clear(b.held)
	}
	b.held[string(key)] = h
	return h, nil
}

// maxPerBearer bounds the sets of policies that the tokens of one bearer have.
const maxPerBearer = 64

func join(dst []byte, names []string) []byte {
	for _, n := range names {
		dst = append(append(dst, n...), 0)
	}
	return dst
}

// shared is what a set of names amounts to, for everyone who holds it.
func (p *parsed) shared(names []string) *Held {
	var room [256]byte
	key := join(room[:0], names)
	p.mu.RLock()
	h := p.held[string(key)]
	p.mu.RUnlock()
	if h != nil {
		return h
	}
	h = &Held{ACL: p.compile(names, Subject{}), Policies: names}
	p.mu.Lock()
	if len(p.held) >= maxACLs {
		maps.DeleteFunc(p.held, func(string, *Held) bool { return len(p.held) >= maxACLs })
	}
	p.held[string(key)] = h
	p.mu.Unlock()
	return h
}

// heldBy is what own and a bearer's policies amount to. Without templates it is
// the same for all who hold the same.
func (p *parsed) heldBy(own []string, b *Bearer) *Held {
	if slices.Contains(own, rootName) {
		return p.shared(own)
	}
	names := NormalizeList(slices.Concat(own, b.Policies), false)
	for _, n := range names {
		if pol := p.byName[n]; pol != nil && pol.Templated {
			return &Held{ACL: p.compile(names, b.Subject), Policies: names}
		}
	}
	return p.shared(names)
}

func (p *parsed) compile(names []string, s Subject) *ACL {
	var list []*Policy
	for _, n := range names {
		if n == rootName {
			list = append(list, Root())
		} else if pol := p.byName[n]; pol != nil {
			filled, _ := pol.Render(s)
			list = append(list, filled)
		}
	}
	return Compile(list)
}
