package wire

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// A node is a value of the answer that is asked for.
type node struct {
	kind   byte // { [ " n(umber) b(ool) 0(null)
	text   string
	keys   []string
	items  []*node
	isBool bool
	cut    bool // … stood here, or in the text: more may follow
}

// parse reads JSON as recordings have it: cut by … and with labels that are not
// in quotes.
func parse(s string) (*node, error) {
	p := &reading{s: s}
	n, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.i < len(p.s) && !p.cut {
		return nil, fmt.Errorf("more after the value: %q", p.s[p.i:])
	}
	return n, nil
}

type reading struct {
	s   string
	i   int
	cut bool
}

func (p *reading) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
	if strings.HasPrefix(p.s[p.i:], "…") {
		p.cut = true
	}
}

func (p *reading) value() (*node, error) {
	p.space()
	if p.i == len(p.s) {
		return nil, fmt.Errorf("the body ends too soon")
	}
	switch c := p.s[p.i]; {
	case c == '{' || c == '[':
		return p.many(c)
	case c == '"':
		text, err := p.quoted()
		text, cut := strings.CutSuffix(text, "…")
		return &node{kind: '"', text: text, cut: cut}, err
	}
	end := p.i
	for end < len(p.s) && strings.IndexByte(",]} \n", p.s[end]) < 0 {
		end++
	}
	word := p.s[p.i:end]
	p.i = end
	switch {
	case word == "null":
		return &node{kind: '0'}, nil
	case word == "true" || word == "false":
		return &node{kind: 'b', text: word, isBool: word == "true"}, nil
	case regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`).MatchString(word):
		return &node{kind: '"', text: word}, nil
	}
	if !json.Valid([]byte(word)) {
		return nil, fmt.Errorf("%q is no value", word)
	}
	return &node{kind: 'n', text: word}, nil
}

func (p *reading) quoted() (string, error) {
	end := p.i + 1
	for end < len(p.s) && p.s[end] != '"' {
		if rest := p.s[end:]; strings.HasPrefix(rest, "…\n") { // cut within the text
			s, err := unquote(p.s[p.i+1 : end])
			p.i = end + len("…")
			return s + "…", err
		}
		if p.s[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.s) {
		return "", fmt.Errorf("a string has no end")
	}
	s, err := unquote(p.s[p.i+1 : end])
	p.i = end + 1
	return s, err
}

func unquote(text string) (s string, err error) {
	err = json.Unmarshal([]byte(`"`+text+`"`), &s)
	return s, err
}

// many reads an object or an array.
func (p *reading) many(open byte) (*node, error) {
	n := &node{kind: open}
	p.i++
	for {
		p.space()
		if p.cut {
			n.cut = true
			return n, nil
		}
		if p.i < len(p.s) && (p.s[p.i] == '}' || p.s[p.i] == ']') {
			p.i++
			return n, nil
		}
		if open == '{' {
			key, err := p.quoted()
			if err != nil {
				return nil, err
			}
			if p.space(); p.i < len(p.s) && p.s[p.i] == ':' {
				p.i++
			}
			n.keys = append(n.keys, key)
		}
		item, err := p.value()
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
		if p.space(); p.i < len(p.s) && p.s[p.i] == ',' {
			p.i++
		}
	}
}
