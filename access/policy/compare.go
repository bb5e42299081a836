package policy

import (
	"cmp"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A Change is what one set of policies gives and another does not, at the paths
// of one pattern, as far as no more special pattern decides there.
type Change struct {
	Path   string   `json:"path"`
	Gained []string `json:"gained,omitempty"` // capabilities
	Lost   []string `json:"lost,omitempty"`
	// Conditions says that parameters, wrapping or consent are judged in another
	// way than before.
	Conditions bool `json:"conditions_changed,omitempty"`
}

// Compare lists what changes for somebody whose policies were compiled to old
// and are to new, in the order of paths. Every path at which a capability is
// gained or lost is matched by the path of a Change that says so, if all is set:
// it is not when there are too many patterns to look at where two of them meet.
func Compare(old, new *ACL) (changes []Change, all bool) {
	paths, all := probes(old, new)
	at := map[decided][]pattern{} // where the same rules decide, the broadest patterns
	for _, probe := range paths {
		d := decided{old.at(probe, false), old.at(probe, true), new.at(probe, false), new.at(probe, true)}
		p := newPattern(asPattern(probe))
		if slices.ContainsFunc(at[d], func(q pattern) bool { return q.covers(p) }) {
			continue
		}
		at[d] = append(slices.DeleteFunc(at[d], p.covers), p)
	}
	var out []Change
	for d, patterns := range at {
		c := d.change()
		if c.Gained == nil && c.Lost == nil && !c.Conditions {
			continue
		}
		for _, p := range patterns {
			c.Path = p.text
			out = append(out, c)
		}
	}
	said := slices.Clone(out)
	out = slices.DeleteFunc(out, func(c Change) bool { return slices.ContainsFunc(said, c.followsFrom) })
	slices.SortFunc(out, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), slices.Compare(a.Gained, b.Gained), slices.Compare(a.Lost, b.Lost), compareBool(a.Conditions, b.Conditions))
	})
	return slices.CompactFunc(out, func(a, b Change) bool { return reflect.DeepEqual(a, b) }), all
}

// followsFrom says whether a change is no news beside another: that a/* may be
// listed says so of a.
func (c Change) followsFrom(o Change) bool {
	for _, list := range []struct{ of, in []string }{{c.Gained, o.Gained}, {c.Lost, o.Lost}} {
		for _, word := range list.of {
			if word != "list" && word != "scan" || !slices.Contains(list.in, word) {
				return false
			}
		}
	}
	return !c.Conditions && (o.Path == c.Path+"/*" || o.Path == c.Path+"/")
}

// covers says whether every path that q matches is matched by p.
func (p pattern) covers(q pattern) bool {
	both, ok := meet(p, q)
	alone, _ := meet(q, q)
	return ok && both == alone
}

// decided are the rules that decide about a path, for listings and for the rest.
type decided struct{ old, oldList, new, newList *rule }

func (d decided) change() (c Change) {
	before, after := capsOf(d.old, d.oldList), capsOf(d.new, d.newList)
	if gained := after &^ before; gained != 0 {
		c.Gained = gained.Names()
	}
	if lost := before &^ after; lost != 0 {
		c.Lost = lost.Names()
	}
	c.Conditions = before&after != 0 && !d.old.sameLimits(d.new)
	return c
}

// rootRule stands for what the root policy says.
var rootRule = &rule{pattern: newPattern("*"), caps: (1<<capCount - 1) &^ Deny}

func (a *ACL) at(path string, both bool) *rule {
	if a.root {
		return rootRule
	}
	return a.match(path, both)
}

// capsOf is what the rules that decide give; listings are decided apart.
func capsOf(r, list *rule) (c Caps) {
	if r != nil && r.caps != Deny {
		c = r.caps &^ (CanList | CanScan)
	}
	if list != nil && list.caps != Deny {
		c |= list.caps & (CanList | CanScan)
	}
	return c
}

func (r *rule) sameLimits(o *rule) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r.minWrap == o.minWrap && r.maxWrap == o.maxWrap && slices.Equal(r.required, o.required) && slices.Equal(r.mfa, o.mfa) &&
		sameParams(r.allowed, o.allowed) && sameParams(r.denied, o.denied) && reflect.DeepEqual(r.controls, o.controls)
}

func sameParams(a, b map[string][]Value) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// Probes are paths that stand for all paths that some patterns match: a segment
// or an end that nobody named has a sign of its own, which no path can hold.
const (
	anySegment = "\x01"
	anyEnd     = "\x02"
)

// asPattern writes a probe as people write patterns. What a * stands for there
// has one segment, unless there is a slash in it.
func asPattern(probe string) string {
	if rest, whole := strings.CutSuffix(probe, "/"+anyEnd); whole && !strings.Contains(rest, anyEnd) {
		probe = rest + "/" + anySegment
	}
	probe = strings.ReplaceAll(probe, anySegment, "+")
	for strings.Contains(probe, anyEnd+"/") {
		probe = strings.ReplaceAll(probe, anyEnd+"/"+anyEnd, anyEnd)
	}
	return strings.ReplaceAll(probe, anyEnd, "*")
}

// maxPairs bounds how many pairs of patterns are looked at. Beyond that, patterns
// are compared one by one, and where two of them meet is not looked at.
const maxPairs = 200_000

// A pair of patterns needs to be looked at only if the rules of one of them
// changed: of two rules that stay, the one that decided decides on.

// probes are paths for each pattern whose rule changed, and for where it meets
// another; complete is false if there were too many to look at that.
func probes(old, new *ACL) (paths []string, complete bool) {
	var all, changed []pattern
	deepest := 0
	known := map[string]bool{}
	add := func(text string, isChanged bool) {
		if known[text] {
			return
		}
		known[text] = true
		all = append(all, newPattern(text))
		deepest = max(deepest, strings.Count(text, "/"))
		if isChanged {
			changed = append(changed, all[len(all)-1])
		}
	}
	before, after := old.byText(), new.byText()
	for _, differs := range []bool{true, false} {
		for text := range union(before, after) {
			if differs != before[text].saysAs(after[text]) {
				add(text, differs)
				// A listing of a is decided by what matches a/ too: also a/* and a/+.
				if i := strings.LastIndexByte(text, '/'); i > 0 && slices.Contains([]string{"", "+", "*"}, text[i+1:]) {
					add(text[:i], differs)
				}
			}
		}
	}
	complete = len(changed)*len(all) <= maxPairs
	for _, p := range changed {
		paths = appendMeeting(paths, p, p, deepest)
		for _, q := range all {
			if complete && !(p.exact() && q.exact()) {
				paths = appendMeeting(paths, p, q, deepest)
			}
		}
	}
	return paths, complete
}

// byText are the rules by their patterns.
func (a *ACL) byText() map[string]*rule {
	m := make(map[string]*rule, len(a.exact)+len(a.ranked))
	if a.root {
		m["*"] = rootRule
		return m
	}
	for _, r := range a.rules() {
		m[r.text] = r
	}
	return m
}

func union(a, b map[string]*rule) iter.Seq[string] {
	return func(yield func(string) bool) {
		texts := slices.Collect(maps.Keys(a))
		for text := range b {
			if a[text] == nil {
				texts = append(texts, text)
			}
		}
		slices.Sort(texts)
		for _, text := range texts {
			if !yield(text) {
				return
			}
		}
	}
}

// saysAs says whether two rules of one pattern come to the same.
func (r *rule) saysAs(o *rule) bool {
	return r != nil && o != nil && r.caps == o.caps && r.sameLimits(o)
}

// appendMeeting adds the probes for the paths that two patterns both match.
func appendMeeting(paths []string, p, q pattern, deepest int) []string {
	path, ok := meet(p, q)
	if !ok {
		return paths
	}
	paths = append(paths, path)
	// What a * stands for may hold slashes, so that patterns which are longer
	// match there and shorter ones do not.
	for at := strings.Count(path, "/"); p.glob && q.glob && at <= deepest; at++ {
		path += "/" + anyEnd
		paths = append(paths, path)
	}
	return paths
}

// meet is the probe for the paths that two patterns both match.
func meet(p, q pattern) (path string, ok bool) {
	ps, qs := strings.Split(p.body, "/"), strings.Split(q.body, "/")
	var out []string
	for i := 0; ; i++ {
		pEnds, qEnds := p.glob && i == len(ps)-1, q.glob && i == len(qs)-1
		switch {
		case i == len(ps) && i == len(qs):
			return strings.Join(out, "/"), true
		case i >= len(ps) || i >= len(qs):
			return "", false
		case pEnds && qEnds:
			if !strings.HasPrefix(ps[i], qs[i]) && !strings.HasPrefix(qs[i], ps[i]) {
				return "", false
			}
			return strings.Join(append(out, max(ps[i], qs[i])+anyEnd), "/"), true
		case pEnds:
			return follow(out, ps[i], q.glob, qs[i:])
		case qEnds:
			return follow(out, qs[i], p.glob, ps[i:])
		}
		seg, ok := meetSegment(ps[i], qs[i])
		if !ok {
			return "", false
		}
		out = append(out, seg)
	}
}

// follow ends a probe with the segments of one pattern, of which the first must
// begin as the other does before its *.
func follow(out []string, begin string, glob bool, segs []string) (path string, ok bool) {
	first := segs[0]
	switch {
	case first == "+":
		first = begin + anySegment
	case !strings.HasPrefix(first, begin):
		return "", false
	}
	out = append(out, first)
	for _, s := range segs[1:] {
		if s == "+" {
			s = anySegment
		}
		out = append(out, s)
	}
	path = strings.Join(out, "/")
	if glob {
		path += anyEnd
	}
	return path, true
}

func meetSegment(a, b string) (string, bool) {
	switch {
	case a == "+" && b == "+":
		return anySegment, true
	case a == "+":
		return b, true
	case b == "+" || a == b:
		return a, true
	}
	return "", false
}
