package policy

import (
	"cmp"
	"slices"
	"strings"
)

// A pattern is a rule's path, taken apart.
type pattern struct {
	text  string
	glob  bool   // ends in *
	body  string // text without that *
	plus  int    // segments that are +
	first int    // where the first + segment or the final * stands; -1 if exact
}

func newPattern(text string) pattern {
	p := pattern{text: text, first: -1}
	p.body, p.glob = strings.CutSuffix(text, "*")
	at := 0
	for seg := range strings.SplitSeq(p.body, "/") {
		if seg == "+" {
			if p.plus == 0 {
				p.first = at
			}
			p.plus++
		}
		at += len(seg) + 1
	}
	if p.glob && p.plus == 0 {
		p.first = len(p.body)
	}
	return p
}

func (p pattern) exact() bool { return p.first < 0 }

// compare orders patterns that are not exact by Vault's priority: of those that
// match a path, the greatest decides.
func (p pattern) compare(q pattern) int {
	return cmp.Or(
		cmp.Compare(p.first, q.first), // an earlier wildcard is lower
		-compareBool(p.glob, q.glob),  // a final * is lower
		-cmp.Compare(p.plus, q.plus),  // more + are lower
		cmp.Compare(len(p.body), len(q.body)),
		cmp.Compare(p.body, q.body),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// A trie holds the patterns that are not exact, one node per segment. Ranks
// are the places of rules in ascending priority, from 1, so that the search for
// the best match compares numbers. 0 is no rule.
type trie struct {
	children map[string]*trie
	plus     *trie
	globs    []globEnd
	end      int // rank of the pattern that ends here
	top      int // highest rank here or below
}

// A globEnd is a last segment that ends in *; part is what stands before it.
type globEnd struct {
	part string
	rank int
}

func (t *trie) add(p pattern, rank int) {
	segs := strings.Split(p.body, "/")
	last := ""
	if p.glob {
		last, segs = segs[len(segs)-1], segs[:len(segs)-1]
	}
	t.top = max(t.top, rank)
	for _, seg := range segs {
		t = t.child(seg)
		t.top = max(t.top, rank)
	}
	if !p.glob {
		t.end = rank
		return
	}
	t.globs = append(t.globs, globEnd{last, rank})
	// The best first, so that a search may stop at the first that matches.
	slices.SortFunc(t.globs, func(a, b globEnd) int { return cmp.Compare(b.rank, a.rank) })
}

func (t *trie) child(seg string) *trie {
	if seg == "+" {
		if t.plus == nil {
			t.plus = &trie{}
		}
		return t.plus
	}
	if t.children == nil {
		t.children = map[string]*trie{}
	}
	if t.children[seg] == nil {
		t.children[seg] = &trie{}
	}
	return t.children[seg]
}

// find returns the higher of best and the highest rank that matches rest. If
// both is set, rest followed by a slash is tried as well.
func (t *trie) find(rest string, both bool, best int) int {
	if t == nil || t.top <= best {
		return best
	}
	for _, g := range t.globs {
		if g.rank <= best {
			break
		}
		if strings.HasPrefix(rest, g.part) {
			best = g.rank
			break
		}
	}
	seg, tail, more := strings.Cut(rest, "/")
	if more {
		best = t.children[seg].find(tail, both, best)
		return t.plus.find(tail, both, best)
	}
	best = t.children[seg].finish(both, best)
	return t.plus.finish(both, best)
}

// finish is find with no segment left.
func (t *trie) finish(both bool, best int) int {
	if t == nil || t.top <= best {
		return best
	}
	best = max(best, t.end)
	if both {
		return t.find("", false, best)
	}
	return best
}

// each visits the ranks of all patterns that match rest; if both is set, also of
// those that match rest followed by a slash.
func (t *trie) each(rest string, both bool, visit func(rank int)) {
	if t == nil {
		return
	}
	for _, g := range t.globs {
		if strings.HasPrefix(rest, g.part) {
			visit(g.rank)
		}
	}
	seg, tail, more := strings.Cut(rest, "/")
	for _, next := range []*trie{t.children[seg], t.plus} {
		switch {
		case next == nil:
		case more:
			next.each(tail, both, visit)
		default:
			if next.end > 0 {
				visit(next.end)
			}
			if both {
				next.each("", false, visit)
			}
		}
	}
}

// reaches reports whether the pattern can match a path under prefix, which ends
// in a slash, or prefix without its slash.
func (p pattern) reaches(prefix string) bool {
	if p.plus == 0 {
		return strings.HasPrefix(p.body, prefix) || !p.glob && p.body == strings.TrimSuffix(prefix, "/")
	}
	want := strings.Split(strings.TrimSuffix(prefix, "/"), "/")
	have := strings.Split(p.body, "/")
	if len(have) < len(want) {
		return false // if its * covers prefix, the best match for prefix tells
	}
	for i, seg := range want {
		lastGlob := p.glob && i == len(have)-1
		if have[i] != "+" && have[i] != seg && !(lastGlob && strings.HasPrefix(seg, have[i])) {
			return false
		}
	}
	return true
}
