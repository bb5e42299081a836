package identity

import (
	"reflect"
	"slices"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/storage"
)

// A Holder is an identity as a request meets it: its policies, inherited ones
// included, and what templates are filled with. It is shared and never changes.
type Holder struct {
	*policy.Bearer
	ID       string // of the entity as it is now, after merges
	Disabled bool   // nothing may be done in its name

	// What it was made of: a write of the entity, and the groups that the store
	// gives out until one changes. While they are the same, so is the Holder.
	rev   uint64
	graph *graph
}

type holderKey struct {
	namespace uint32
	entity    string
}

// maxHolders bounds how many are kept.
const maxHolders = 16384

// Holder returns the identity of an entity, or of the one that it was merged
// into, as the transaction sees it; nil when there is none.
func (s *Store) Holder(tx *storage.Tx, entityID string) (*Holder, error) {
	e, err := entities(tx).Peek(entityID)
	if err != nil {
		return nil, err
	}
	if e == nil {
		if e, err = entityBy(tx, byMerged(entityID)); err != nil || e == nil {
			return nil, err
		}
	}
	g, err := s.groups.Get(tx)
	if err != nil {
		return nil, err
	}
	key := holderKey{tx.Namespace(), e.ID}
	s.mu.RLock()
	h := s.holders[key]
	s.mu.RUnlock()
	if h != nil && h.rev == e.Rev && h.graph == g {
		return h, nil
	}
	now := newHolder(e, g)
	if h != nil && reflect.DeepEqual(h.Policies, now.Policies) && reflect.DeepEqual(h.Subject, now.Subject) {
		now.Bearer = h.Bearer // a group of others changed: what was compiled is as good
	}
	h = now
	if !tx.WroteIn(storage.Identities) { // else it may be of what never gets committed
		s.keep(key, h)
	}
	return h, nil
}

func (s *Store) keep(key holderKey, h *Holder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old := range s.holders { // map order is random: that is the eviction
		if len(s.holders) < maxHolders {
			break
		}
		delete(s.holders, old)
	}
	s.holders[key] = h
}

func newHolder(e *Entity, g *graph) *Holder {
	h := &Holder{Bearer: new(policy.Bearer), ID: e.ID, Disabled: e.Disabled, rev: e.Rev, graph: g}
	direct := g.direct(e)
	names := slices.Clone(e.Policies)
	all := append(direct, g.above(direct)...)
	slices.Sort(all)
	for _, id := range slices.Compact(all) {
		group := g.byID[id]
		names = append(names, group.Policies...)
		h.Subject.Groups = append(h.Subject.Groups, policy.Group{ID: id, Name: group.Name, Metadata: group.Metadata})
	}
	// checkPolicies lets no root in; should it ever, it gives nothing here.
	if names = policy.NormalizeList(names, false); !slices.Contains(names, "root") {
		h.Policies = names
	}
	h.Subject.Entity = &policy.Entity{ID: e.ID, Name: e.Name, Metadata: e.Metadata}
	for i := range e.Aliases {
		a := &e.Aliases[i]
		h.Subject.Entity.Aliases = append(h.Subject.Entity.Aliases, policy.Alias{
			MountAccessor: a.Accessor, ID: a.ID, Name: a.Name, Metadata: a.Metadata, CustomMetadata: a.Custom})
	}
	return h
}

// HasGroup says whether there is a group with an id.
func (s *Store) HasGroup(tx *storage.Tx, id string) (bool, error) {
	g, err := s.groups.Get(tx)
	return err == nil && g.byID[id] != nil, err
}
