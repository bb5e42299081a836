package policy

import (
	"slices"
	"strings"
	"time"
)

// An ACL is what one caller's policies amount to together. It is immutable.
type ACL struct {
	root   bool
	names  []string // of all policies, in the order given
	exact  map[string]*rule
	ranked []*rule // the others, in ascending priority; rank 1 is ranked[0]
	trie   trie
}

// A rule is what all policies together say about one pattern.
type rule struct {
	pattern
	caps         Caps
	allowed      map[string][]Value
	denied       map[string][]Value
	required     []string
	minWrap      time.Duration
	maxWrap      time.Duration
	mfa          []string
	controls     []*ControlGroup
	events       []string
	sources      []source
	granting     [capCount][]Granting // by capability
	paramsMatter bool
}

// A source is one policy's part in a rule.
type source struct {
	policy string
	line   int
	caps   Caps
}

// Granting names a policy that gave the capability a request needed. The audit
// log records them.
type Granting struct{ Policy string }

var rootGranting = []Granting{{rootName}}

// Compile merges policies into an ACL. Nil policies are ignored, and templates
// that nobody rendered match nothing.
//
// Rules of the same pattern become one: their capabilities add up unless one is
// deny, which stands alone; parameter lists add up, an empty list of values
// swallowing others; the smaller of two wrapping limits counts. A rule without
// parameter lists does not lift those of another.
func Compile(policies []*Policy) *ACL {
	a := &ACL{exact: map[string]*rule{}}
	merged := map[string]*rule{}
	for _, p := range policies {
		if p == nil {
			continue
		}
		a.names = append(a.names, p.Name)
		a.root = a.root || p.Name == rootName
		for i := range p.Rules {
			if p.Templated && strings.Contains(p.Rules[i].Path, "{{") {
				continue
			}
			merge(merged, p.Name, &p.Rules[i])
		}
	}
	for text, r := range merged {
		r.finish()
		if r.exact() {
			a.exact[text] = r
		} else {
			a.ranked = append(a.ranked, r)
		}
	}
	slices.SortFunc(a.ranked, func(x, y *rule) int { return x.compare(y.pattern) })
	for i, r := range a.ranked {
		a.trie.add(r.pattern, i+1)
	}
	return a
}

func merge(into map[string]*rule, policy string, r *Rule) {
	m := into[r.Path]
	if m == nil {
		m = &rule{pattern: newPattern(r.Path)}
		into[r.Path] = m
	}
	m.sources = append(m.sources, source{policy, r.Line, r.Capabilities.effective()})
	m.caps |= r.Capabilities
	m.allowed = mergeParams(m.allowed, r.Allowed)
	m.denied = mergeParams(m.denied, r.Denied)
	m.required = append(m.required, r.Required...)
	m.minWrap = smaller(m.minWrap, r.MinWrappingTTL)
	m.maxWrap = smaller(m.maxWrap, r.MaxWrappingTTL)
	m.mfa = append(m.mfa, r.MFAMethods...)
	m.events = append(m.events, r.EventTypes...)
	if r.ControlGroup != nil {
		m.controls = append(m.controls, r.ControlGroup)
	}
}

func mergeParams(into, from map[string][]Value) map[string][]Value {
	if len(from) > 0 && into == nil {
		into = map[string][]Value{}
	}
	for k, v := range from {
		mergeValues(into, k, v)
	}
	return into
}

// smaller of two durations of which zero is unset.
func smaller(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// finish settles what decisions read.
func (r *rule) finish() {
	r.caps = r.caps.effective()
	r.required = dedupe(r.required)
	r.mfa = dedupe(r.mfa)
	r.events = dedupe(r.events)
	r.paramsMatter = len(r.allowed)+len(r.denied)+len(r.required) > 0
	if r.caps == Deny {
		return
	}
	for i := range r.granting {
		for _, s := range r.sources {
			g := Granting{s.policy}
			if s.caps.Has(1<<i) && !slices.Contains(r.granting[i], g) {
				r.granting[i] = append(r.granting[i], g)
			}
		}
	}
}

func dedupe(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// match returns the rule that decides about path, nil if there is none. For a
// listing (both set) a trailing slash is not the caller's business: rules for
// "a/" and for "a" both apply to LIST a and LIST a/, the former first. All
// patterns compete under both spellings at once, so that a deny on a/* holds
// for LIST a whatever allows a.
func (a *ACL) match(path string, both bool) *rule {
	path = strings.TrimLeft(path, "/")
	if both {
		path = strings.TrimSuffix(path, "/")
		var room [256]byte
		if r := a.exact[string(append(append(room[:0], path...), '/'))]; r != nil {
			return r
		}
	}
	if r := a.exact[path]; r != nil {
		return r
	}
	rank := a.trie.find(path, both, 0)
	if rank == 0 {
		return nil
	}
	return a.ranked[rank-1]
}
