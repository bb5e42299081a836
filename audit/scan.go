package audit

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// maxDepth is the nesting that encoding/json accepts too.
const maxDepth = 10_000

// A Malformed error says where data stopped being JSON. It quotes none of it,
// since what surrounds the place may be a secret.
type Malformed struct {
	Offset int // bytes from the start
}

func (m *Malformed) Error() string {
	return fmt.Sprintf("data is not JSON at byte %d", m.Offset)
}

// A Scan copies JSON in one pass and hides its strings.
//
// Object keys, numbers, booleans and null are copied as they are spelled, in
// their order; white space between them is dropped, so that the copy is one
// line. A string is hashed over what it means, not over how it is escaped: the
// hash of "\u0061" is that of "a". As in encoding/json, bytes that are not
// UTF-8 and lone surrogates mean U+FFFD.
type Scan struct {
	Hasher     *Hasher  // nil copies strings in the clear
	Plain      []string // keys of the outermost object whose values are copied in the clear
	ElideLists bool     // the outermost "keys" and "key_info" become their number of elements
}

// HashStrings appends json to dst with every string value hashed by h, but for
// the values of the outermost keys in plain. On an error dst comes back as it
// was.
func HashStrings(dst, json []byte, h *Hasher, plain ...string) ([]byte, error) {
	return Scan{Hasher: h, Plain: plain}.Append(dst, json)
}

// Append appends the copy of json to dst. What is not exactly one JSON value is
// refused with a *Malformed, and dst comes back as it was.
func (s Scan) Append(dst, json []byte) ([]byte, error) {
	c := cursor{in: json, out: dst, scan: s}
	_, ok := c.value(s.Hasher, 0)
	c.space()
	if !ok || c.at != len(json) {
		clear(c.out[len(dst):])
		return dst, &Malformed{Offset: c.at}
	}
	return c.out, nil
}

// cursor is a Scan under way. Its methods return false at the first byte that
// is not JSON and leave `at` there.
type cursor struct {
	in   []byte
	at   int
	out  []byte
	scan Scan
}

// value copies one value; h nil keeps its strings in the clear. It returns the
// number of elements if the value is a list or an object.
func (c *cursor) value(h *Hasher, depth int) (int, bool) {
	c.space()
	switch b := c.peek(); b {
	case '"':
		return 0, c.text(h)
	case '{':
		return c.object(h, depth+1)
	case '[':
		return c.list(h, depth+1)
	case 't':
		return 0, c.word("true")
	case 'f':
		return 0, c.word("false")
	case 'n':
		return 0, c.word("null")
	default:
		return 0, c.number()
	}
}

func (c *cursor) object(h *Hasher, depth int) (n int, ok bool) {
	if depth > maxDepth {
		return 0, false
	}
	c.take()
	c.space()
	if c.peek() == '}' {
		c.take()
		return 0, true
	}
	for {
		c.space()
		if c.peek() != '"' {
			return n, false
		}
		key, ok := c.literal()
		if !ok {
			return n, false
		}
		c.copyText(key)
		c.space()
		if c.peek() != ':' {
			return n, false
		}
		c.take()
		if !c.member(h, key, depth) {
			return n, false
		}
		n++
		c.space()
		switch c.peek() {
		case ',':
			c.take()
		case '}':
			c.take()
			return n, true
		default:
			return n, false
		}
	}
}

// member copies the value of a key, which in the outermost object may be
// exempt or elided.
func (c *cursor) member(h *Hasher, key literal, depth int) bool {
	if depth > 1 {
		_, ok := c.value(h, depth)
		return ok
	}
	if c.elided(key) {
		mark := len(c.out)
		n, ok := c.value(nil, depth)
		clear(c.out[mark:])
		c.out = strconv.AppendInt(c.out[:mark], int64(n), 10)
		return ok
	}
	for _, name := range c.scan.Plain {
		if key.is(name) {
			h = nil
		}
	}
	_, ok := c.value(h, depth)
	return ok
}

// elided tells whether the value ahead is one that ElideLists counts.
func (c *cursor) elided(key literal) bool {
	if !c.scan.ElideLists {
		return false
	}
	c.space()
	switch c.peek() {
	case '[':
		return key.is("keys")
	case '{':
		return key.is("key_info")
	}
	return false
}

func (c *cursor) list(h *Hasher, depth int) (n int, ok bool) {
	if depth > maxDepth {
		return 0, false
	}
	c.take()
	c.space()
	if c.peek() == ']' {
		c.take()
		return 0, true
	}
	for {
		if _, ok := c.value(h, depth); !ok {
			return n, false
		}
		n++
		c.space()
		switch c.peek() {
		case ',':
			c.take()
		case ']':
			c.take()
			return n, true
		default:
			return n, false
		}
	}
}

func (c *cursor) text(h *Hasher) bool {
	s, ok := c.literal()
	if !ok {
		return false
	}
	if h == nil {
		c.copyText(s)
		return true
	}
	c.out = append(c.out, '"')
	if s.simple {
		c.out = h.Append(c.out, s.raw)
	} else {
		h.scratch = s.decode(h.scratch[:0])
		c.out = h.Append(c.out, h.scratch)
		h.wipe()
	}
	c.out = append(c.out, '"')
	return true
}

// copyText writes a string as it was spelled, or with its broken bytes mended.
func (c *cursor) copyText(s literal) {
	if s.simple || utf8.Valid(s.raw) {
		c.out = append(c.out, '"')
		c.out = append(c.out, s.raw...)
		c.out = append(c.out, '"')
		return
	}
	c.out = appendText(c.out, string(s.decode(nil)))
}

func (c *cursor) word(w string) bool {
	if !bytes.HasPrefix(c.in[c.at:], []byte(w)) {
		return false
	}
	c.at += len(w)
	c.out = append(c.out, w...)
	return true
}

func (c *cursor) number() bool {
	start := c.at
	if c.peek() == '-' {
		c.at++
	}
	if c.peek() == '0' {
		c.at++
	} else if !c.digits() {
		return false
	}
	if c.peek() == '.' {
		c.at++
		if !c.digits() {
			return false
		}
	}
	if b := c.peek(); b == 'e' || b == 'E' {
		c.at++
		if b := c.peek(); b == '+' || b == '-' {
			c.at++
		}
		if !c.digits() {
			return false
		}
	}
	c.out = append(c.out, c.in[start:c.at]...)
	return true
}

// digits passes over one digit or more.
func (c *cursor) digits() bool {
	start := c.at
	for b := c.peek(); '0' <= b && b <= '9'; b = c.peek() {
		c.at++
	}
	return c.at > start
}

func (c *cursor) space() {
	for c.at < len(c.in) {
		switch c.in[c.at] {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

// peek returns the byte ahead, or NUL at the end: JSON has no use for a NUL.
func (c *cursor) peek() byte {
	if c.at < len(c.in) {
		return c.in[c.at]
	}
	return 0
}

// take copies the byte ahead.
func (c *cursor) take() {
	c.out = append(c.out, c.in[c.at])
	c.at++
}
