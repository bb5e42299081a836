package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"strconv"
	"strings"
	"unicode"
)

// Rule of this file: an allow list is read narrowly and a deny list widely,
// because whoever receives the parameter later is lenient: it may trim, fold
// case, split at commas and turn "5" into 5. What a lenient reader could take
// for a denied value is denied; what it could take for something else than an
// allowed value is not allowed.

// ValueKind is the JSON type of a Value.
type ValueKind uint8

// The kinds. Null and Object occur in requests only.
const (
	NullValue ValueKind = iota
	StringValue
	NumberValue
	BoolValue
	ListValue
	ObjectValue
)

// A Value is a parameter's value, in a rule or in a request.
type Value struct {
	Kind ValueKind
	Text string  // of strings, numbers and booleans; a rule's string may begin or end with *
	List []Value // of lists
}

// MarshalJSON gives the value back as it stood in the policy.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.Kind {
	case StringValue:
		return json.Marshal(v.Text)
	case NumberValue:
		if !json.Valid([]byte(v.Text)) { // HCL knows 0x10, JSON does not
			return json.Marshal(v.Text)
		}
		return []byte(v.Text), nil
	case BoolValue:
		return []byte(v.Text), nil
	case ListValue:
		if v.List == nil {
			return []byte("[]"), nil
		}
		return json.Marshal(v.List)
	}
	return []byte("null"), nil
}

// foldKey makes two names equal if any reader of the request could take one for
// the other: encoding/json folds as widely as Unicode does, so that the Kelvin
// sign is a k.
func foldKey(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 0x80 {
			return strings.Map(foldRune, s)
		}
	}
	return strings.ToLower(s)
}

func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return unicode.ToLower(least)
}

// mergeValues adds values to those of key. An empty list, which means any value,
// swallows the rest.
func mergeValues(m map[string][]Value, key string, values []Value) {
	have, ok := m[key]
	switch {
	case len(values) == 0 || ok && len(have) == 0:
		m[key] = []Value{}
	default:
		m[key] = append(have[:len(have):len(have)], values...)
	}
}

// denied reports whether got is, or holds, one of the values.
func denied(values []Value, got Value) bool {
	if len(values) == 0 {
		return true
	}
	for _, el := range got.List {
		if denied(values, el) {
			return true
		}
	}
	for _, v := range values {
		if v.Kind == ListValue {
			if len(v.List) == len(got.List) && got.Kind == ListValue && (len(v.List) == 0 || equalLists(v.List, got.List, true)) {
				return true
			}
			continue
		}
		if equal(v, got.Kind, got.Text, true) {
			return true
		}
		if got.Kind != StringValue || !strings.Contains(got.Text, ",") {
			continue
		}
		for part := range strings.SplitSeq(got.Text, ",") {
			if equal(v, StringValue, part, true) {
				return true
			}
		}
	}
	return false
}

// allowed reports whether all that got holds is among the values. An empty list
// in the request is not: whoever names values wants one of them.
func allowed(values []Value, got Value) bool {
	if len(values) == 0 {
		return true
	}
	if got.Kind == ListValue {
		return allowedList(values, got.List)
	}
	parts := []string{got.Text}
	if got.Kind == StringValue && strings.Contains(got.Text, ",") {
		for _, v := range values {
			if v.Kind == StringValue && v.Text == got.Text {
				return true // the policy spells the very text, commas and all
			}
		}
		parts = strings.Split(got.Text, ",")
	}
	for _, part := range parts {
		if len(parts) > 1 {
			part = strings.TrimSpace(part)
		}
		if !anyEqual(values, got.Kind, part) {
			return false
		}
	}
	return true
}

func allowedList(values, got []Value) bool {
	for _, v := range values {
		if v.Kind == ListValue && equalLists(v.List, got, false) {
			return true
		}
	}
	for _, el := range got {
		if !allowed(values, el) {
			return false
		}
	}
	return len(got) > 0
}

func anyEqual(values []Value, kind ValueKind, got string) bool {
	for _, v := range values {
		if equal(v, kind, got, false) {
			return true
		}
	}
	return false
}

func equalLists(want, got []Value, wide bool) bool {
	if len(want) != len(got) {
		return false
	}
	for i, w := range want {
		if w.Kind == ListValue {
			if got[i].Kind != ListValue || !equalLists(w.List, got[i].List, wide) {
				return false
			}
			continue
		}
		if !equal(w, got[i].Kind, got[i].Text, wide) {
			return false
		}
	}
	return true
}

// equal compares a rule's scalar with a request's.
func equal(want Value, kind ValueKind, got string, wide bool) bool {
	if kind != StringValue && kind != NumberValue && kind != BoolValue {
		return false
	}
	switch want.Kind {
	case StringValue:
		if wide {
			return glob(foldKey(strings.TrimSpace(want.Text)), foldKey(strings.TrimSpace(got))) || sameNumber(want.Text, got)
		}
		return glob(want.Text, got)
	case NumberValue:
		return sameNumber(want.Text, got)
	case BoolValue:
		w, err1 := strconv.ParseBool(want.Text)
		g, err2 := strconv.ParseBool(strings.TrimSpace(got))
		return err1 == nil && err2 == nil && w == g
	}
	return false
}

// glob knows * at the ends of a pattern only.
func glob(pattern, s string) bool {
	head, suffix := strings.CutPrefix(pattern, "*")
	body, prefix := strings.CutSuffix(head, "*")
	switch {
	case suffix && prefix:
		return strings.Contains(s, body)
	case suffix:
		return strings.HasSuffix(s, body)
	case prefix:
		return strings.HasPrefix(s, body)
	}
	return pattern == s
}

func sameNumber(a, b string) bool {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	i, err1 := strconv.ParseInt(a, 0, 64)
	j, err2 := strconv.ParseInt(b, 0, 64)
	if err1 == nil && err2 == nil {
		return i == j
	}
	f, err1 := strconv.ParseFloat(a, 64)
	g, err2 := strconv.ParseFloat(b, 64)
	return err1 == nil && err2 == nil && f == g
}

var errParams = errors.New("the parameters are not a JSON object")

// params walks the members of a JSON object in their order, repeated ones
// included. It yields an error once, last, if body is not an object.
func params(body json.RawMessage) iter.Seq2[string, valueOrError] {
	return func(yield func(string, valueOrError) bool) {
		if len(bytes.TrimSpace(body)) == 0 {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		if t, err := dec.Token(); t == nil && err == nil {
			return // null is no parameters
		} else if t != json.Delim('{') || err != nil {
			yield("", valueOrError{err: errParams})
			return
		}
		for dec.More() {
			t, err := dec.Token()
			key, ok := t.(string)
			if err != nil || !ok {
				yield("", valueOrError{err: errParams})
				return
			}
			v, err := decodeValue(dec, 0)
			if !yield(key, valueOrError{v, err}) || err != nil {
				return
			}
		}
		if _, err := dec.Token(); err != nil {
			yield("", valueOrError{err: errParams})
		}
	}
}

type valueOrError struct {
	Value
	err error
}

// maxValueDepth is how deep lists in a request may nest. Deeper ones reach no
// rule, so they are an error rather than a way round it.
const maxValueDepth = 64

func decodeValue(dec *json.Decoder, depth int) (Value, error) {
	t, err := dec.Token()
	if err != nil || depth > maxValueDepth {
		return Value{}, errParams
	}
	switch t := t.(type) {
	case string:
		return Value{Kind: StringValue, Text: t}, nil
	case json.Number:
		return Value{Kind: NumberValue, Text: t.String()}, nil
	case bool:
		return Value{Kind: BoolValue, Text: strconv.FormatBool(t)}, nil
	case json.Delim:
		v := Value{Kind: ObjectValue} // what is inside is not looked at
		if t == '[' {
			v.Kind = ListValue
		}
		for dec.More() {
			el, err := decodeMember(dec, v.Kind, depth)
			if err != nil {
				return Value{}, err
			}
			if v.Kind == ListValue {
				v.List = append(v.List, el)
			}
		}
		if _, err := dec.Token(); err != nil {
			return Value{}, errParams
		}
		return v, nil
	}
	return Value{}, nil
}

func decodeMember(dec *json.Decoder, in ValueKind, depth int) (Value, error) {
	if in == ObjectValue {
		if _, err := dec.Token(); err != nil {
			return Value{}, errParams
		}
	}
	return decodeValue(dec, depth+1)
}
