package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"unicode/utf8"
)

// CheckJSON validates a body once: it must be one JSON object (or null) within
// the limits, and its object keys must be distinct at the top level. What
// passed is handed on as bytes and not validated again.
func CheckJSON(b []byte, l Limits) error {
	l = l.orDefaults()
	if !utf8.Valid(b) {
		return fail(http.StatusBadRequest, "error parsing JSON: the body is not valid UTF-8")
	}
	if err := checkShape(b, l); err != nil {
		return err
	}
	if !json.Valid(b) {
		return fail(http.StatusBadRequest, "failed to parse JSON input: "+why(b))
	}
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{', 'n':
			return nil
		}
		return fail(http.StatusBadRequest, "error parsing JSON: the body must be an object")
	}
	return nil
}

func why(b []byte) string {
	var v json.RawMessage
	if err := json.Unmarshal(b, &v); err != nil {
		return err.Error()
	}
	return "invalid JSON"
}

// checkShape bounds depth, strings, fields, items and the whole before a parser
// that recurses sees the body. It does not validate.
func checkShape(b []byte, l Limits) error {
	type level struct {
		object bool
		count  int
	}
	var stack []level
	tokens := 0 // brackets and values, keys among them
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case ' ', '\t', '\r', '\n', ':':
		case '"':
			start := i
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if i-start-1 > l.MaxString {
				return fail(http.StatusBadRequest, fmt.Sprintf("JSON input has a string of more than %d bytes", l.MaxString))
			}
			tokens++
		case '{', '[':
			if len(stack) >= l.MaxDepth {
				return fail(http.StatusBadRequest, fmt.Sprintf("JSON input is nested deeper than %d levels", l.MaxDepth))
			}
			stack = append(stack, level{object: b[i] == '{'})
			tokens++
		case '}', ']':
			if len(stack) > 0 {
				stack = stack[:len(stack)-1]
			}
			tokens++
		case ',':
			if len(stack) == 0 {
				continue
			}
			top := &stack[len(stack)-1]
			top.count++
			if top.object && top.count >= l.MaxFields {
				return fail(http.StatusBadRequest, fmt.Sprintf("JSON input has an object of more than %d entries", l.MaxFields))
			}
			if !top.object && top.count >= l.MaxItems {
				return fail(http.StatusBadRequest, fmt.Sprintf("JSON input has an array of more than %d elements", l.MaxItems))
			}
		default: // a number or a word, to its end
			for i+1 < len(b) && !endsWord(b[i+1]) {
				i++
			}
			tokens++
		}
		if tokens > l.MaxTokens {
			return fail(http.StatusBadRequest, fmt.Sprintf("JSON input has more than %d tokens", l.MaxTokens))
		}
	}
	return nil
}

func endsWord(c byte) bool {
	switch c {
	case ',', ':', ']', '}', '[', '{', '"', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}
