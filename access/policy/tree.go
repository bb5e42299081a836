package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/hcl/hcl/ast"
	hcl "github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/scanner"
	"github.com/hashicorp/hcl/hcl/token"
)

// Rule of this file: it reads text into a tree that is the same for HCL and JSON
// and knows nothing of policies. The HCL parser is frozen and may panic or
// recurse without end, so depth is measured before it runs and panics become
// errors. JSON does not go through it: its JSON half drops what it dislikes.

// maxDepth is how deep braces and brackets may nest. A control group needs 6.
const maxDepth = 32

var errDepth = fmt.Errorf("more than %d levels of nesting", maxDepth)

type kind uint8

const (
	null kind = iota
	text
	number
	boolean
	list
	object
)

type node struct {
	kind  kind
	text  string  // of text, number, boolean
	list  []*node // of list
	items []item  // of object
}

// An item is `key "label" = value` or `key "label" { … }`.
type item struct {
	keys   []string
	line   int // of the first key
	assign int // line of the = or the colon; 0 if there is none
	val    *node
}

// readTree reads HCL, or JSON if the first character is a brace.
func readTree(src string) (root *node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("unreadable text: %v", r)
		}
	}()
	if strings.HasPrefix(strings.TrimSpace(src), "{") {
		return readJSON(src)
	}
	// The scanner takes a NUL for the end, but its parser may read on.
	if strings.Contains(src, "\x00") {
		return nil, errors.New("the text holds a NUL character")
	}
	if err := measure(src); err != nil {
		return nil, err
	}
	file, err := hcl.Parse([]byte(src))
	if err != nil {
		return nil, err
	}
	return fromHCL(file.Node)
}

// measure counts nesting with the parser's own scanner, so that nothing hides
// in what looks like a string or a comment.
func measure(src string) error {
	sc := scanner.New([]byte(strings.ReplaceAll(src, "\r\n", "\n")))
	sc.Error = func(token.Pos, string) {} // the parser will say it
	depth := 0
	for {
		switch sc.Scan().Type {
		case token.EOF:
			return nil
		case token.LBRACE, token.LBRACK:
			if depth++; depth > maxDepth {
				return errDepth
			}
		case token.RBRACE, token.RBRACK:
			depth--
		}
	}
}

func fromHCL(n ast.Node) (*node, error) {
	switch n := n.(type) {
	case *ast.ObjectList:
		return objectFromHCL(n)
	case *ast.ObjectType:
		return objectFromHCL(n.List)
	case *ast.ListType:
		out := &node{kind: list}
		for _, el := range n.List {
			v, err := fromHCL(el)
			if err != nil {
				return nil, err
			}
			out.list = append(out.list, v)
		}
		return out, nil
	case *ast.LiteralType:
		return literalFromHCL(n.Token)
	}
	return nil, fmt.Errorf("unexpected %T", n)
}

func literalFromHCL(t token.Token) (*node, error) {
	switch t.Type {
	case token.STRING, token.HEREDOC:
		s, ok := t.Value().(string)
		if !ok {
			return nil, fmt.Errorf("unreadable string at %s", t.Pos)
		}
		return &node{kind: text, text: s}, nil
	case token.NUMBER, token.FLOAT:
		return &node{kind: number, text: t.Text}, nil
	case token.BOOL:
		return &node{kind: boolean, text: t.Text}, nil
	}
	return nil, fmt.Errorf("unexpected %s at %s", t.Type, t.Pos)
}

func objectFromHCL(l *ast.ObjectList) (*node, error) {
	out := &node{kind: object}
	seen := map[string]bool{}
	for _, it := range l.Items {
		v, err := fromHCL(it.Val)
		if err != nil {
			return nil, err
		}
		next := item{line: it.Pos().Line, assign: it.Assign.Line, val: v}
		for _, k := range it.Keys {
			key, ok := k.Token.Value().(string)
			if !ok {
				return nil, fmt.Errorf("unreadable key at %s", k.Pos())
			}
			next.keys = append(next.keys, key)
		}
		// The parser has seen `a = 1 a = 2`, but not `a = 1 "a" = 2`.
		if next.assign > 0 && len(next.keys) == 1 {
			if seen[next.keys[0]] {
				return nil, duplicate(next.keys[0], it.Pos().String())
			}
			seen[next.keys[0]] = true
		}
		out.items = append(out.items, next)
	}
	return out, nil
}

func duplicate(key, at string) error {
	return fmt.Errorf("The argument %q at %s was already set. Each argument can only be defined once", key, at) //nolint:staticcheck // Vault's sentence
}

// A jsonReader reads one JSON document into nodes.
type jsonReader struct {
	src  string
	dec  *json.Decoder
	from int64 // lines before here are counted
	n    int
}

func readJSON(src string) (*node, error) {
	r := jsonReader{src: src, dec: json.NewDecoder(strings.NewReader(src))}
	r.dec.UseNumber()
	root, err := r.value(0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("line %d: %w", r.lineAt(syntax.Offset), err)
		}
		return nil, err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: text after the end of the JSON object", r.line())
	}
	return root, nil
}

// line is where the reader stands. It never goes back, so nothing is counted
// twice.
func (r *jsonReader) line() int { return r.lineAt(r.dec.InputOffset()) }

func (r *jsonReader) lineAt(offset int64) int {
	offset = min(max(offset, r.from), int64(len(r.src)))
	r.n += strings.Count(r.src[r.from:offset], "\n")
	r.from = offset
	return 1 + r.n
}

func (r *jsonReader) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case string:
		return &node{kind: text, text: t}, nil
	case json.Number:
		return &node{kind: number, text: t.String()}, nil
	case bool:
		return &node{kind: boolean, text: fmt.Sprint(t)}, nil
	case json.Delim:
		if t == '[' {
			return r.list(depth)
		}
		return r.object(depth)
	}
	return &node{}, nil
}

func (r *jsonReader) list(depth int) (*node, error) {
	out := &node{kind: list}
	for r.dec.More() {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out.list = append(out.list, v)
	}
	_, err := r.dec.Token()
	return out, err
}

func (r *jsonReader) object(depth int) (*node, error) {
	out := &node{kind: object}
	seen := map[string]bool{}
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		key := t.(string) // the decoder lets nothing else stand here
		line := r.line()
		if seen[key] {
			return nil, duplicate(key, fmt.Sprintf("line %d", line))
		}
		seen[key] = true
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, item{keys: []string{key}, line: line, assign: line, val: v})
	}
	_, err := r.dec.Token()
	return out, err
}
