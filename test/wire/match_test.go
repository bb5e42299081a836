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
	if d.Decode(&v) != nil {
		m.differ("body", "no JSON: %.200q", got)
	} else {
		m.value("", n, v)
	}
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
		if slices.Contains([]string{"string", "number", "bool"}, want.text) {
			if kindOf(got) != "a "+want.text {
				m.differ(at, "%s, want a %s", short(got), want.text)
			}
			return
		}
	}
	switch v := got.(type) {
	case string:
		if told(at) {
			m.sentence(at, want.text, v)
		} else if strings.HasSuffix(at, "build_date") {
			return // what was built from source has none
		} else if want.cut && len(m.spans(want.text)) == 0 && strings.HasPrefix(v, want.text) {
			return
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

// added are keys that Vault has and the peer does not, and our own version.
func added(at, key string) bool {
	switch key {
	case "mount_type", "fastness_version", "enterprise", "performance_standby", "performance_standby_last_remote_wal",
		"replication_primary_canary_age_ms":
		return at == ""
	case "mount_accessor":
		return at == ".request" || at == ".response" // of an audit line: the peer knows it late
	case "echo_duration_ms", "clock_skew_ms":
		return at == "" || strings.HasSuffix(strings.TrimRight(at, "]0123456789"), "nodes[")
	}
	return false
}

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
