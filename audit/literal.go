package audit

import (
	"unicode/utf16"
	"unicode/utf8"
)

// literal is a JSON string between its quotes, known to be well formed. It is
// simple if what it means is what it says: no escapes, valid UTF-8.
type literal struct {
	raw    []byte
	simple bool
}

// literal passes over the string ahead.
func (c *cursor) literal() (literal, bool) {
	c.at++ // the opening quote
	start, escaped, ascii := c.at, false, true
	for c.at < len(c.in) {
		switch b := c.in[c.at]; {
		case b == '"':
			raw := c.in[start:c.at]
			c.at++
			return literal{raw: raw, simple: !escaped && (ascii || utf8.Valid(raw))}, true
		case b == '\\':
			escaped = true
			if !c.escape() {
				return literal{}, false
			}
		case b < ' ':
			return literal{}, false
		default:
			ascii = ascii && b < utf8.RuneSelf
			c.at++
		}
	}
	return literal{}, false
}

// escape passes over a backslash and what belongs to it.
func (c *cursor) escape() bool {
	c.at++
	switch c.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.at++
		return true
	case 'u':
		c.at++
		for range 4 {
			if unhex(c.peek()) < 0 {
				return false
			}
			c.at++
		}
		return true
	}
	return false
}

// is tells whether the string means name.
func (l literal) is(name string) bool {
	if l.simple {
		return string(l.raw) == name
	}
	return string(l.decode(nil)) == name
}

// decode appends what the string means.
func (l literal) decode(dst []byte) []byte {
	for s := l.raw; len(s) > 0; {
		switch {
		case s[0] != '\\':
			r, size := utf8.DecodeRune(s)
			dst, s = utf8.AppendRune(dst, r), s[size:]
		case s[1] == 'u':
			r, size := decodeUnicode(s)
			dst, s = utf8.AppendRune(dst, r), s[size:]
		default:
			dst, s = append(dst, unescape(s[1])), s[2:]
		}
	}
	return dst
}

// decodeUnicode reads `\uXXXX`, or two of them that make a pair. Half a pair is
// U+FFFD, and what follows it stands for itself.
func decodeUnicode(s []byte) (rune, int) {
	r := unhex4(s)
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if pair := utf16.DecodeRune(r, unhex4(s[6:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

func unhex4(s []byte) (r rune) {
	for _, b := range s[2:6] {
		r = r<<4 | unhex(b)
	}
	return r
}

func unhex(b byte) rune {
	switch {
	case '0' <= b && b <= '9':
		return rune(b - '0')
	case 'a' <= b && b <= 'f':
		return rune(b - 'a' + 10)
	case 'A' <= b && b <= 'F':
		return rune(b - 'A' + 10)
	}
	return -1
}

func unescape(b byte) byte {
	switch b {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return b // quote, backslash, slash
}

const hexDigits = "0123456789abcdef"

// appendText appends s as a JSON string. Control characters and the two line
// separators of Unicode are escaped, so that a line stays a line for any
// reader, and a terminal is safe.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0 // of what is copied as it is
	for i := 0; i < len(s); {
		if plain(s[i]) {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		if s[i] < utf8.RuneSelf {
			dst = appendASCII(dst, s[i])
			i++
		} else {
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = appendRune(dst, r, size)
			i += size
		}
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

func plain(b byte) bool { return ' ' <= b && b < 0x7f && b != '"' && b != '\\' }

func appendRune(dst []byte, r rune, size int) []byte {
	switch {
	case r == utf8.RuneError && size == 1:
		return append(dst, `\ufffd`...)
	case r < 0xa0:
		return append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
	case r == '\u2028' || r == '\u2029':
		return append(dst, '\\', 'u', '2', '0', '2', hexDigits[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// appendASCII escapes a byte that is not plain.
func appendASCII(dst []byte, b byte) []byte {
	switch {
	case b == '"' || b == '\\':
		return append(dst, '\\', b)
	case b == '\n':
		return append(dst, '\\', 'n')
	case b == '\r':
		return append(dst, '\\', 'r')
	case b == '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
}
