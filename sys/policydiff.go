package sys

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

type askedDiff struct {
	Name   string `json:"name" required:"true" doc:"Name of the policy."`
	Policy string `json:"policy" doc:"The text that it would have; empty is its end."`
}

type policyDiff struct {
	// Changes are those of the policy alone.
	Changes []policy.Change `json:"changes"`
	// Holders are those who hold the policy, and what would change for them.
	Holders []changedHolders `json:"holders"`
	// Truncated says that there are more tokens or entities than were looked at.
	Truncated bool `json:"truncated"`
	// Incomplete says that there are too many rules to look at where two of them
	// meet: there, more may change than is told.
	Incomplete bool `json:"incomplete"`
}

// ChangedHolders are all who hold the same policies.
type changedHolders struct {
	Policies []string        `json:"policies"`
	Tokens   int             `json:"tokens"`
	Entities []string        `json:"entities"` // their names
	Changes  []policy.Change `json:"changes"`
}

// diffPolicy says what would change if a policy had another text, and for whom:
// what a rule takes away, another policy of the same holder may give.
func (s *System) diffPolicy(v engine.View, q askedDiff) (*policyDiff, error) {
	tx := engine.CallOf(v).Whole
	name := policy.NormalizeName(q.Name)
	if err := policy.CheckWritable(name); err != nil {
		return nil, engine.Bad("%s", err)
	}
	next, err := policy.Parse(name, q.Policy)
	if err != nil {
		return nil, engine.Bad("%s", err)
	}
	a := &policyDiff{Holders: []changedHolders{}}
	d := &differ{s: s, tx: tx, next: next, groups: map[string]*changedHolders{}, incomplete: &a.Incomplete}
	var old []*policy.Policy
	if p, err := s.Policies.Get(tx, name); err != nil {
		return nil, err
	} else if p != nil {
		old = append(old, p.Literally())
	}
	a.Changes = d.compare(policy.Compile(old), policy.Compile([]*policy.Policy{next.Literally()}))
	if err := d.tokens(&a.Truncated); err != nil {
		return nil, err
	}
	if err := s.eachHolder(tx, &a.Truncated, d.entity); err != nil {
		return nil, err
	}
	for _, g := range d.groups {
		slices.Sort(g.Entities)
		a.Holders = append(a.Holders, *g)
	}
	slices.SortFunc(a.Holders, func(a, b changedHolders) int {
		return cmp.Or(slices.Compare(a.Policies, b.Policies), slices.Compare(a.Entities, b.Entities))
	})
	return a, nil
}

// A differ compares what holders may do with what they could.
type differ struct {
	s      *System
	tx     *storage.Tx
	next   *policy.Policy
	groups map[string]*changedHolders // by their policies, and entity where that matters

	incomplete *bool // as the answer says it
}

func (d *differ) changes(names []string, of policy.Subject) ([]policy.Change, error) {
	old, err := d.s.Policies.For(d.tx, names, of, nil)
	if err != nil {
		return nil, err
	}
	next, err := d.s.Policies.For(d.tx, names, of, d.next)
	if err != nil {
		return nil, err
	}
	return d.compare(old, next), nil
}

// compare is policy.Compare, never nil, which notes that it left something out.
func (d *differ) compare(old, next *policy.ACL) []policy.Change {
	list, all := policy.Compare(old, next)
	*d.incomplete = *d.incomplete || !all
	return append([]policy.Change{}, list...)
}

// group is that of all who hold the same, which is the entity's own where a
// template makes a difference.
func (d *differ) group(names []string, of policy.Subject) (*changedHolders, error) {
	if !slices.Contains(names, d.next.Name) || slices.Contains(names, "root") {
		return &changedHolders{}, nil
	}
	key := strings.Join(names, "\x00")
	if of.Entity != nil {
		templated, err := d.templated(names)
		if err != nil {
			return nil, err
		}
		if templated {
			key += "\x00\x00" + of.Entity.ID
		}
	}
	if g := d.groups[key]; g != nil {
		return g, nil
	}
	changes, err := d.changes(names, of)
	if err != nil {
		return nil, err
	}
	g := &changedHolders{Policies: names, Entities: []string{}, Changes: changes}
	d.groups[key] = g
	return g, nil
}

func (d *differ) templated(names []string) (bool, error) {
	if d.next.Templated {
		return true, nil
	}
	for _, n := range names {
		p, err := d.s.Policies.Get(d.tx, n)
		if err != nil {
			return false, err
		}
		if p != nil && p.Templated {
			return true, nil
		}
	}
	return false, nil
}

func (d *differ) tokens(truncated *bool) error {
	n := 0
	for e, err := range d.s.Tokens.All(d.tx) {
		if err != nil {
			return err
		}
		if n++; n > mostHolders {
			*truncated = true
			return nil
		}
		names, of, err := d.s.bearer(d.tx, e)
		if err != nil {
			return err
		}
		g, err := d.group(names, of)
		if err != nil {
			return err
		}
		g.Tokens++
	}
	return nil
}

// bearer is what a token holds together with its entity; nothing, if that is
// disabled. An entity of another namespace holds nothing here.
func (s *System) bearer(tx *storage.Tx, e *token.Entry) (names []string, of policy.Subject, err error) {
	if e.EntityID == "" || e.EntityHome != "" || s.Holders == nil {
		return e.Policies, of, nil
	}
	h, err := s.Holders.Holder(tx, e.EntityID)
	if err != nil || h == nil || h.Disabled {
		return nil, of, err
	}
	return policy.NormalizeList(slices.Concat(e.Policies, h.Policies), false), h.Subject, nil
}

func (d *differ) entity(h *Holder) error {
	g, err := d.group(h.Policies, h.Subject)
	if err != nil {
		return err
	}
	g.Entities = append(g.Entities, h.Name)
	return nil
}
