package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A node is a value of the answer that is asked for.
type node struct {
	kind   byte // { [ " n(umber) b(ool) 0(null)
	text   string
	keys   []string
	items  []*node
	isBool bool
	cut    bool // … stood here: more may follow
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
		return &node{kind: '"', text: text}, err
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
	if _, err := strconv.ParseFloat(word, 64); err != nil {
		return nil, fmt.Errorf("%q is no value", word)
	}
	return &node{kind: 'n', text: word}, nil
}

func (p *reading) quoted() (string, error) {
	end := p.i + 1
	for end < len(p.s) && p.s[end] != '"' {
		if p.s[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.s) {
		return "", fmt.Errorf("a string has no end")
	}
	var s string
	err := json.Unmarshal([]byte(p.s[p.i:end+1]), &s)
	p.i = end + 1
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

// A difference is one place where an answer is not what is asked for.
type difference struct {
	at, text string
	wording  bool // of a sentence that no client matches on
}

// A matcher compares answers and holds what the labels of a file stand for.
type matcher struct {
	labels map[string]string
	types  bool // compare types alone
	found  []difference
}

func (m *matcher) differ(at, format string, args ...any) {
	m.found = append(m.found, difference{at: at, text: fmt.Sprintf(format, args...)})
}

// kinds are the names of labels, which a number may follow.
var kinds = []string{"TOKEN", "ACCESSOR", "UUID", "KEY", "KEYB64", "OTP", "ENCODED", "JWT", "CODE", "CLIENTID", "CLIENTSECRET",
	"SECRETID", "RANDOM", "PASSWORD", "LEASEID", "LEASE", "NSID", "HMAC", "BIGNUM", "CLUSTER", "HOST", "SERIAL"}

// loose labels stand for anything.
var loose = map[string]string{"REQ": `[0-9a-f-]{36}`, "TIME": `.+`, "PORT": `[0-9]+`, "N": `-?[0-9]+`, "UNIXTIME": `[0-9]+`,
	"VERSION": `v[0-9.]+\+builtin(?:\.vault)?`}

var word = regexp.MustCompile(`[A-Z][A-Z0-9]*(?:_[0-9]+)?`)
var numbered = regexp.MustCompile(`_?[0-9]+$`)

func alnum(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	c := s[i]
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// spans finds the labels of a text.
func (m *matcher) spans(s string) [][]int {
	var out [][]int
	for _, at := range word.FindAllStringIndex(s, -1) {
		name := s[at[0]:at[1]]
		if alnum(s, at[0]-1) || alnum(s, at[1]) {
			continue
		}
		kind := numbered.ReplaceAllString(name, "")
		_, bound := m.labels[name]
		switch {
		case bound, loose[name] != "" && name != "N" || name == "N" && s == "N":
		case kind != name && slices.Contains(kinds, kind):
		case slices.Contains([]string{"BIGNUM", "CLUSTER", "HOST", "HMAC"}, name):
		default:
			continue
		}
		out = append(out, at)
	}
	return out
}

// fill puts the values of bound labels into what is sent. It returns the first
// label that has none.
func (m *matcher) fill(s string) (string, string) {
	for _, name := range slices.Backward(slices.SortedFunc(maps.Keys(m.labels), func(a, b string) int { return len(a) - len(b) })) {
		if strings.ContainsAny(name, "()") {
			s = strings.ReplaceAll(s, name, m.labels[name])
		}
	}
	var b strings.Builder
	last, missing := 0, ""
	for _, at := range m.spans(s) {
		name := s[at[0]:at[1]]
		value, ok := m.labels[name]
		if !ok {
			if loose[name] == "" {
				missing = orElse(missing, name)
			}
			value = name
		}
		b.WriteString(s[last:at[0]] + value)
		last = at[1]
	}
	return b.String() + s[last:], missing
}

// text compares a string, and binds the labels that it shows first.
func (m *matcher) text(want, got string) bool {
	spans := m.spans(want)
	if len(spans) == 0 {
		return want == got
	}
	pattern, last := "(?s)^", 0
	var fresh []string
	for _, at := range spans {
		name := want[at[0]:at[1]]
		pattern += regexp.QuoteMeta(want[last:at[0]])
		last = at[1]
		value, bound := m.labels[name]
		switch {
		case bound:
			pattern += regexp.QuoteMeta(value)
		case loose[name] != "":
			pattern += loose[name]
		case slices.Contains(fresh, name):
			pattern += ".+" // seen twice in one text: the first decides
		default:
			pattern += "(.+?)"
			fresh = append(fresh, name)
		}
	}
	values := regexp.MustCompile(pattern + regexp.QuoteMeta(want[last:]) + "$").FindStringSubmatch(got)
	if values == nil {
		return false
	}
	for i, name := range fresh {
		m.labels[name] = values[i+1]
	}
	return true
}

// sentences that clients match on: an answer that holds one is compared as it
// stands.
var sentences = regexp.MustCompile(`permission denied|no handler for route|path is already in use at|check-and-set parameter|` +
	`Vault is sealed|wrapping token is not valid|lease not found|unsupported path|unsupported operation|bad token|invalid accessor|` +
	`invalid lease|lease is not renewable|namespace not found|invalid role or secret ID|invalid username or password|` +
	`Vault is already initialized|encryption key not found|rate limit quota exceeded|missing client token|origin not allowed`)

func (m *matcher) sentence(at, want, got string) {
	spelled := m.text(want, got)
	if spelled {
		return
	}
	m.found = append(m.found, difference{at: at, text: fmt.Sprintf("%q, want %q", got, want), wording: !sentences.MatchString(want)})
}

// body compares a JSON answer.
func (m *matcher) body(want string, got []byte) error {
	n, err := parse(want)
	if err != nil {
		return fmt.Errorf("the recording: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(got))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		m.differ("body", "no JSON: %.200q", got)
		return nil
	}
	m.value("", n, v)
	return nil
}

func kindOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a bool"
	}
	return "null"
}

func short(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	if len(b) > 300 {
		b = append(b[:300], "..."...)
	}
	return string(b)
}

// told says whether a place of an answer holds sentences for people.
func told(at string) bool {
	return strings.HasPrefix(at, ".errors[") || strings.HasPrefix(at, ".warnings[")
}

func (m *matcher) value(at string, want *node, got any) {
	switch want.kind {
	case '{':
		if o, ok := got.(map[string]any); ok {
			m.object(at, want, o)
			return
		}
	case '[':
		if a, ok := got.([]any); ok {
			m.array(at, want, a)
			return
		}
	case '"':
		m.scalar(at, want, got)
		return
	case 'n':
		if n, ok := got.(json.Number); ok {
			if !m.types && !near(at, want.text, n.String()) {
				m.differ(at, "%s, want %s", n, want.text)
			}
			return
		}
	case 'b':
		if b, ok := got.(bool); ok {
			if !m.types && b != want.isBool {
				m.differ(at, "%v, want %s", b, want.text)
			}
			return
		}
	case '0':
		if got == nil {
			return
		}
		m.differ(at, "%s, want null", short(got))
		return
	}
	m.differ(at, "%s, want %s", short(got), map[byte]string{'{': "an object", '[': "an array", 'n': "the number " + want.text, 'b': "a bool"}[want.kind])
}

// near compares numbers; what counts seconds down may have gone one further.
func near(at, want, got string) bool {
	if want == got {
		return true
	}
	w, werr := strconv.ParseFloat(want, 64)
	g, gerr := strconv.ParseFloat(got, 64)
	if werr != nil || gerr != nil {
		return false
	}
	if strings.HasSuffix(at, "last_renewal_time") || strings.HasSuffix(at, "_time") && w > 1e9 {
		return g > 1e9
	}
	return w == g
}

func (m *matcher) scalar(at string, want *node, got any) {
	if m.types {
		if want.text == "string" && kindOf(got) != "a string" || want.text == "number" && kindOf(got) != "a number" {
			m.differ(at, "%s, want a %s", short(got), want.text)
		}
		if want.text == "string" || want.text == "number" {
			return
		}
	}
	switch v := got.(type) {
	case string:
		if told(at) {
			m.sentence(at, want.text, v)
		} else if !m.text(want.text, v) {
			m.differ(at, "%q, want %q", v, want.text)
		}
	case json.Number:
		spans := m.spans(want.text)
		if len(spans) != 1 || spans[0][1]-spans[0][0] != len(want.text) || !m.text(want.text, v.String()) {
			m.differ(at, "%s, want %q", v, want.text)
		}
	default:
		m.differ(at, "%s, want %q", short(got), want.text)
	}
}

// added are keys of newer Vaults, which recordings of the peer do not have.
func added(at, key string) bool { return at == "" && key == "mount_type" }

func (m *matcher) object(at string, want *node, got map[string]any) {
	left := maps.Clone(got)
	for i, key := range want.keys {
		name, ok := m.key(key, want, left)
		if !ok {
			if !(m.types && len(got) == 0) {
				m.differ(at+"."+key, "is missing")
			}
			continue
		}
		delete(left, name)
		m.value(at+"."+key, want.items[i], got[name])
	}
	if want.cut || m.types && len(want.keys) == 0 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(left)) {
		if !added(at, key) {
			m.differ(at+"."+key, "%s, want no such key", short(left[key]))
		}
	}
}

// key finds the key of an answer that a key of the recording stands for.
func (m *matcher) key(key string, want *node, left map[string]any) (string, bool) {
	if _, ok := left[key]; ok {
		return key, true
	}
	if len(m.spans(key)) == 0 {
		return "", false
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		if !slices.Contains(want.keys, name) && m.text(key, name) {
			return name, true
		}
	}
	return "", false
}

func (m *matcher) array(at string, want *node, got []any) {
	if m.types {
		for i, v := range got {
			if len(want.items) > 0 {
				m.value(fmt.Sprintf("%s[%d]", at, i), want.items[min(i, len(want.items)-1)], v)
			}
		}
		return
	}
	n := len(want.items)
	cut := want.cut
	if n > 0 && want.items[n-1].text == "(and more)" {
		n, cut = 0, true // which of many came first is chance
	}
	if len(got) < n || len(got) > n && !cut {
		if at == ".errors" && len(got) > 0 && n > 0 || at == ".warnings" && len(got) > 0 && n > 0 {
			m.found = append(m.found, difference{at: at, text: fmt.Sprintf("%s, want %d sentences", short(got), n), wording: true})
			return
		}
		m.differ(at, "%s, want %d items", short(got), n)
		return
	}
	for i, item := range want.items[:n] {
		m.value(fmt.Sprintf("%s[%d]", at, i), item, got[i])
	}
}
