package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/token"
)

// HCL and JSON become the same small tree, so that one set of tables reads
// both. A labelled block `listener "tcp" {…}` is the nesting
// {listener: {tcp: {…}}}, which is also how the JSON form spells it.

// Caps on what is given to the parser. It is frozen upstream and recursive: a
// file of a few brackets more would end the process rather than the parse.
const (
	maxFileSize = 1 << 20 // bytes
	maxDepth    = 100     // open brackets
)

// A Position says where in which file something stands.
type Position struct {
	File string // "" for the environment
	Line int    // from 1; 0 when not known
}

func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// An Error is one thing wrong with the configuration. Its text never holds a
// value from a stanza that may carry secrets.
type Error struct {
	Pos  Position
	Text string
}

func (e *Error) Error() string {
	if e.Pos.File == "" {
		return e.Text
	}
	return e.Pos.String() + ": " + e.Text
}

type kind int

const (
	null kind = iota
	text
	number
	flag
	list
	block
)

// A node is one value of a file. text holds the literal of text, number and
// flag; items those of a list; entries those of a block, in order.
type node struct {
	pos     Position
	kind    kind
	text    string
	items   []*node
	entries []entry
	byKey   map[string]int // the last entry of each key
}

// An entry is one key of a block. assigned tells `key = …` from `key {…}`:
// only the latter may repeat.
type entry struct {
	pos      Position
	key      string
	value    *node
	assigned bool
}

// parse reads the bytes of one file. JSON is told from HCL as Vault does, by
// its first character.
func parse(file string, src []byte) (root *node, err error) {
	if len(src) > maxFileSize {
		return nil, &Error{Position{File: file}, fmt.Sprintf("file is larger than %d bytes", maxFileSize)}
	}
	if !utf8.Valid(src) {
		return nil, &Error{Position{File: file}, "file is not valid UTF-8"}
	}
	if line := tooDeep(src); line > 0 {
		return nil, &Error{Position{file, line}, fmt.Sprintf("brackets are nested deeper than %d", maxDepth)}
	}
	if strings.HasPrefix(strings.TrimLeft(string(src), " \t\r\n"), "{") {
		return parseJSON(file, src)
	}
	return parseHCL(file, src)
}

// tooDeep returns the line where the brackets, counted without regard to
// strings and comments, nest deeper than maxDepth, or 0.
func tooDeep(src []byte) int {
	depth, line := 0, 1
	for _, c := range src {
		switch c {
		case '\n':
			line++
		case '{', '[':
			depth++
		case '}', ']':
			depth = max(0, depth-1)
		}
		if depth > maxDepth {
			return line
		}
	}
	return 0
}

func parseHCL(file string, src []byte) (root *node, err error) {
	defer func() {
		if recover() != nil { // the value may quote the file, secrets included
			root, err = nil, &Error{Position{File: file}, "syntax error: the HCL parser cannot read this file"}
		}
	}()
	// Our own duplicate check names both lines; the parser's names one.
	f, err := parser.ParseDontErrorOnDuplicateKeys(src)
	if err != nil {
		return nil, syntaxError(file, err)
	}
	objects, ok := f.Node.(*ast.ObjectList)
	if !ok {
		return nil, &Error{Position{File: file}, "syntax error: expected stanzas and `key = value` lines"}
	}
	b := hclBuilder{file: file}
	root = b.block(Position{file, 1}, objects)
	if b.err != nil {
		return nil, b.err
	}
	return root, nil
}

// syntaxError keeps the parser's line and, where that cannot quote a value out
// of the file, its words.
func syntaxError(file string, err error) error {
	var pos *parser.PosError
	if !errors.As(err, &pos) {
		return &Error{Position{File: file}, "syntax error: the file ends in the middle of a value"}
	}
	detail := pos.Err.Error()
	if strings.Contains(detail, "Unknown token") || strings.Contains(detail, "key '") {
		detail = "expected `key = value` or `stanza {`; text values need double quotes"
	}
	return &Error{Position{file, pos.Pos.Line}, "syntax error: " + detail}
}

// An hclBuilder turns the parser's tree into ours and keeps the first error.
type hclBuilder struct {
	file string
	err  error
}

func (b *hclBuilder) fail(pos Position, format string, args ...any) {
	if b.err == nil {
		b.err = &Error{pos, fmt.Sprintf(format, args...)}
	}
}

func (b *hclBuilder) at(p token.Pos) Position { return Position{b.file, p.Line} }

func (b *hclBuilder) block(pos Position, l *ast.ObjectList) *node {
	n := &node{pos: pos, kind: block}
	for _, item := range l.Items {
		if len(item.Keys) == 0 {
			b.fail(pos, "a value has no key")
			continue
		}
		at := b.at(item.Keys[0].Pos())
		value := b.value(item.Val)
		for i := len(item.Keys) - 1; i > 0; i-- {
			value = &node{pos: at, kind: block, entries: []entry{{pos: at, key: b.key(item.Keys[i]), value: value}}}
		}
		e := entry{pos: at, key: b.key(item.Keys[0]), value: value, assigned: item.Assign.IsValid()}
		if first := n.add(e); first > 0 {
			b.fail(at, "key %q is already set on line %d: keep one of them", e.key, first)
		}
	}
	return n
}

// add appends an entry and returns the line of an earlier one that it
// contradicts, or 0.
func (n *node) add(e entry) int {
	if n.byKey == nil {
		n.byKey = map[string]int{}
	}
	at, again := n.byKey[e.key]
	n.byKey[e.key] = len(n.entries)
	n.entries = append(n.entries, e)
	if again && (e.assigned || n.entries[at].assigned) {
		return n.entries[at].pos.Line
	}
	return 0
}

func (b *hclBuilder) key(k *ast.ObjectKey) string {
	s, ok := k.Token.Value().(string)
	if !ok {
		b.fail(b.at(k.Pos()), "a key must be a word or a quoted string")
	}
	return s
}

func (b *hclBuilder) value(v ast.Node) *node {
	switch v := v.(type) {
	case *ast.ObjectType:
		return b.block(b.at(v.Lbrace), v.List)
	case *ast.ListType:
		n := &node{pos: b.at(v.Lbrack), kind: list}
		for _, item := range v.List {
			n.items = append(n.items, b.value(item))
		}
		return n
	case *ast.LiteralType:
		return b.literal(v.Token)
	}
	b.fail(Position{File: b.file}, "syntax error: a key has no value")
	return &node{pos: Position{File: b.file}}
}

func (b *hclBuilder) literal(t token.Token) *node {
	pos := b.at(t.Pos)
	switch t.Type {
	case token.BOOL:
		return &node{pos: pos, kind: flag, text: t.Text}
	case token.NUMBER, token.FLOAT:
		return &node{pos: pos, kind: number, text: t.Text}
	case token.STRING, token.HEREDOC:
		if s, ok := b.unquote(t); ok {
			return &node{pos: pos, kind: text, text: s}
		}
		b.fail(pos, "syntax error: this string cannot be unquoted")
	default:
		b.fail(pos, "syntax error: expected a value")
	}
	return &node{pos: pos}
}

// unquote guards against the parser's panics on odd escapes and heredocs, so
// that the error can name the line.
func (b *hclBuilder) unquote(t token.Token) (s string, ok bool) {
	defer func() {
		if recover() != nil {
			s, ok = "", false
		}
	}()
	s, ok = t.Value().(string)
	return s, ok
}
