package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Patterns: literals, {name} for one segment, {name...} for the rest of the
// path (at least one character), {name:a|b} for one of some words, and
// [optional] parts. A {name} takes word characters with dots and dashes
// inside, as Vault's names do; {name@} also takes an at sign; {name*} takes any
// segment.

type segment struct {
	literal string
	name    string
	words   []string
	rest    bool
	any     bool
	at      bool
}

type capture struct{ name, value string }

// captures are what a path gave to a pattern's names. They are kept in place, so
// that finding a route allocates nothing.
type captures struct {
	n  int
	at [maxCaptures]capture
}

// maxCaptures is how many names a pattern may have.
const maxCaptures = 5

func (c *captures) get(name string) string {
	for i := range c.at[:c.n] {
		if c.at[i].name == name {
			return c.at[i].value
		}
	}
	return ""
}

func (c *captures) add(name, value string) {
	c.at[c.n] = capture{name, value}
	c.n++
}

// A tree finds the route of a path. Literals win over captures, captures over
// rests.
type tree struct {
	root node
}

type node struct {
	literals map[string]*node
	params   []*param
	rest     *leaf
	leaf     *leaf
}

type param struct {
	segment
	node
}

// A leaf says which route answers an operation, and the name of its rest.
type leaf struct {
	name   string // of the rest
	routes [numOps]int
}

func newLeaf() *leaf {
	l := &leaf{}
	for i := range l.routes {
		l.routes[i] = -1
	}
	return l
}

func (t *tree) add(pattern string, ops []Op, route int) error {
	for _, p := range expand(pattern) {
		if err := t.addOne(p, ops, route); err != nil {
			return fmt.Errorf("route %s: %w", pattern, err)
		}
	}
	return nil
}

// expand writes out optional parts: the pattern without and with each.
func expand(pattern string) []string {
	i := strings.LastIndexByte(pattern, '[')
	if i < 0 {
		return []string{pattern}
	}
	j := i + strings.IndexByte(pattern[i:], ']')
	without := pattern[:i] + pattern[j+1:]
	with := pattern[:i] + pattern[i+1:j] + pattern[j+1:]
	return append(expand(without), expand(with)...)
}

func (t *tree) addOne(pattern string, ops []Op, route int) error {
	n := &t.root
	if strings.Count(pattern, "{") > maxCaptures {
		return fmt.Errorf("more than %d names", maxCaptures)
	}
	if pattern != "" {
		for part := range strings.SplitSeq(pattern, "/") {
			s := parseSegment(part)
			switch {
			case s.rest:
				if n.rest == nil {
					n.rest = newLeaf()
					n.rest.name = s.name
				}
				return n.rest.claim(ops, route)
			case s.name == "":
				if n.literals == nil {
					n.literals = make(map[string]*node)
				}
				if n.literals[s.literal] == nil {
					n.literals[s.literal] = &node{}
				}
				n = n.literals[s.literal]
			default:
				i := slices.IndexFunc(n.params, func(p *param) bool {
					return p.name == s.name && p.any == s.any && p.at == s.at && slices.Equal(p.words, s.words)
				})
				if i < 0 {
					n.params = append(n.params, &param{segment: s})
					i = len(n.params) - 1
				}
				n = &n.params[i].node
			}
		}
	}
	if n.leaf == nil {
		n.leaf = newLeaf()
	}
	return n.leaf.claim(ops, route)
}

func (l *leaf) claim(ops []Op, route int) error {
	for _, op := range ops {
		if l.routes[op] >= 0 {
			return fmt.Errorf("claimed twice for %s", op)
		}
		l.routes[op] = route
	}
	return nil
}

func parseSegment(part string) segment {
	if !strings.HasPrefix(part, "{") || !strings.HasSuffix(part, "}") {
		return segment{literal: part}
	}
	name := part[1 : len(part)-1]
	if n, ok := strings.CutSuffix(name, "..."); ok {
		return segment{name: n, rest: true}
	}
	if n, words, ok := strings.Cut(name, ":"); ok {
		return segment{name: n, words: strings.Split(words, "|")}
	}
	if n, ok := strings.CutSuffix(name, "@"); ok {
		return segment{name: n, at: true}
	}
	if n, ok := strings.CutSuffix(name, "*"); ok {
		return segment{name: n, any: true}
	}
	return segment{name: name}
}

func (s *segment) takes(v string) bool {
	if v == "" {
		return false
	}
	if s.words != nil {
		return slices.Contains(s.words, v)
	}
	if s.any {
		return true
	}
	for i := 0; i < len(v); i++ {
		c := v[i]
		word := c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		inner := i > 0 && i < len(v)-1 && (c == '-' || c == '.') || s.at && c == '@'
		if !word && !inner {
			return false
		}
	}
	return true
}

// find returns the route for an operation on a path, or -1 and whether the
// path is known for some other operation.
func (t *tree) find(op Op, path string, c *captures) (route int, known bool) {
	if op == OpList {
		path = trimSlash(path)
	}
	return t.root.find(op, path, c)
}

func (n *node) find(op Op, path string, c *captures) (route int, known bool) {
	if path == "" {
		if n.leaf == nil {
			return -1, false
		}
		// To Vault the path of a list ends in a slash, so that a path which
		// nothing goes on from is unknown to a list.
		return n.leaf.routes[op], op != OpList || n.rest != nil
	}
	head, tail, _ := strings.Cut(path, "/")
	if next := n.literals[head]; next != nil {
		if r, k := next.find(op, tail, c); r >= 0 {
			return r, true
		} else if k {
			known = true
		}
	}
	before := c.n
	for _, p := range n.params {
		if !p.takes(head) {
			continue
		}
		c.add(p.name, head)
		if r, k := p.find(op, tail, c); r >= 0 {
			return r, true
		} else if k {
			known = true
		}
		c.n = before
	}
	if n.rest != nil {
		if r := n.rest.routes[op]; r >= 0 {
			c.add(n.rest.name, path)
			return r, true
		}
		known = true
	}
	return -1, known
}
