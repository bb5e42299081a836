package wire

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// kinds are the names of labels, which a number may follow.
var kinds = []string{"TOKEN", "ACCESSOR", "UUID", "KEY", "KEYB64", "OTP", "ENCODED", "JWT", "CODE", "CLIENTID", "CLIENTSECRET",
	"SECRETID", "RANDOM", "PASSWORD", "LEASEID", "LEASE", "NSID", "HMAC", "BIGNUM", "CLUSTER", "HOST", "SERIAL"}

// loose labels stand for anything.
var loose = map[string]string{"REQ": `[0-9a-f-]{36}`, "TIME": `.+`, "PORT": `[0-9]+`, "N": `-?[0-9]+`, "UNIXTIME": `[0-9]+`, "TEXT": `.+`,
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
