package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
)

// parseJSON reads with encoding/json rather than the JSON half of the HCL
// parser, whose flattening loses lines and lets duplicate keys pass.
func parseJSON(file string, src []byte) (*node, error) {
	p := jsonParser{file: file, dec: json.NewDecoder(bytes.NewReader(src))}
	p.dec.UseNumber()
	for i, c := range src {
		if c == '\n' {
			p.newlines = append(p.newlines, int64(i))
		}
	}
	root, err := p.value()
	if err != nil {
		return nil, p.explain(err)
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return nil, &Error{p.here(), "syntax error: something follows the JSON object"}
	}
	return root, nil
}

type jsonParser struct {
	file     string
	dec      *json.Decoder
	newlines []int64 // offsets, ascending
}

func (p *jsonParser) line(offset int64) int {
	return 1 + sort.Search(len(p.newlines), func(i int) bool { return p.newlines[i] >= offset })
}

// here is the line of the token that was read last.
func (p *jsonParser) here() Position {
	return Position{p.file, p.line(p.dec.InputOffset())}
}

func (p *jsonParser) explain(err error) error {
	var ours *Error
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &ours):
		return err
	case errors.As(err, &syntax):
		return &Error{Position{p.file, p.line(syntax.Offset)}, "syntax error: " + syntax.Error()}
	}
	return &Error{p.here(), "syntax error: the file ends in the middle of a value"}
}

func (p *jsonParser) value() (*node, error) {
	t, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &node{pos: p.here()}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return n, p.object(n)
		}
		return n, p.array(n)
	case string:
		n.kind, n.text = text, t
	case json.Number:
		n.kind, n.text = number, t.String()
	case bool:
		n.kind, n.text = flag, "false"
		if t {
			n.text = "true"
		}
	}
	return n, nil
}

func (p *jsonParser) object(n *node) error {
	n.kind = block
	for p.dec.More() {
		t, err := p.dec.Token()
		if err != nil {
			return err
		}
		e := entry{pos: p.here(), key: t.(string), assigned: true}
		if e.value, err = p.value(); err != nil {
			return err
		}
		if first := n.add(e); first > 0 {
			return &Error{e.pos, fmt.Sprintf("key %q is already set on line %d: keep one of them", e.key, first)}
		}
	}
	_, err := p.dec.Token()
	return err
}

func (p *jsonParser) array(n *node) error {
	n.kind = list
	for p.dec.More() {
		item, err := p.value()
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := p.dec.Token()
	return err
}
