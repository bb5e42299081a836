package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
)

// A template is a JSON object with variables for values:
//
//	{"nick": {{identity.entity.name}}, "teams": {{identity.entity.groups.names}}}
//
// A variable stands for a whole value and is filled with JSON, so that no name,
// however it is chosen, becomes more than a text. What has no value is an empty
// text, list or object.
type template []piece

type piece struct{ text, variable string } // the text comes first

// claims are those of a token, by name.
type claims map[string]json.RawMessage

func (c claims) set(name string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode claim %s: %w", name, err)
	}
	c[name] = b
	return nil
}

// reserved are the claims that the server answers for.
var reserved = []string{"iat", "aud", "exp", "iss", "sub", "namespace", "nonce", "auth_time", "at_hash", "c_hash"}

// decodeTemplate is the text of a template, which may come in base64.
func decodeTemplate(text string) string {
	if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
		return string(plain)
	}
	return text
}

// checkTemplate refuses a template that does not make an object, or one with a
// claim of the server's. Some readers of tokens do not tell case apart.
func checkTemplate(text string) error {
	t, err := parseTemplate(text)
	if err != nil {
		return engine.Bad("error parsing template JSON: %s", err)
	}
	made, err := t.fill(policy.Subject{}, time.Unix(0, 0))
	if err != nil {
		return engine.Bad("error parsing template JSON: %s", err)
	}
	for name := range made {
		if slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(r, name) }) {
			return engine.Bad("top level key %q not allowed. Restricted keys: %s", name, strings.Join(reserved, ", "))
		}
	}
	return nil
}

func parseTemplate(text string) (template, error) {
	var t template
	quoted, from := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !strings.HasPrefix(text[i:], "{{"):
		default:
			name, rest, closed := strings.Cut(text[i+2:], "}}")
			if name = strings.TrimSpace(name); !closed || !known(name) {
				return nil, fmt.Errorf("unknown variable %q", name)
			}
			if quoted || !stands(text[:i], rest) {
				return nil, fmt.Errorf("a variable is a whole value: neither within quotes nor the name of a claim")
			}
			t = append(t, piece{text[from:i], name})
			from = len(text) - len(rest)
			i = from - 1
		}
	}
	return append(t, piece{text[from:], ""}), nil
}

// stands says whether there is room for a value, and a value only, between two
// texts.
func stands(before, after string) bool {
	const space = " \t\r\n"
	before, after = strings.TrimRight(before, space), strings.TrimLeft(after, space)
	return before != "" && after != "" && strings.ContainsRune(":[,", rune(before[len(before)-1])) && strings.ContainsRune(",]}", rune(after[0]))
}

// fill makes the claims of a template for an entity.
func (t template) fill(of policy.Subject, now time.Time) (claims, error) {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.text)
		if p.variable == "" {
			continue
		}
		value, err := json.Marshal(valueOf(p.variable, of, now))
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", p.variable, err)
		}
		b.Write(value)
	}
	var made claims
	err := json.Unmarshal([]byte(b.String()), &made)
	if mistyped := (*json.UnmarshalTypeError)(nil); errors.As(err, &mistyped) || err == nil && made == nil {
		return nil, errors.New("it must be an object")
	}
	return made, err
}

// claimsOf fills the text of a template that was checked. An empty one makes
// none.
func claimsOf(text string, of policy.Subject, now time.Time) (claims, error) {
	if text == "" {
		return claims{}, nil
	}
	t, err := parseTemplate(text)
	if err != nil {
		return nil, fmt.Errorf("parse a template: %w", err)
	}
	made, err := t.fill(of, now)
	if err != nil {
		return nil, fmt.Errorf("fill a template: %w", err)
	}
	return made, nil
}

const ofEntity = "identity.entity."

// known says whether there is a variable of a name.
func known(name string) bool {
	if rest, ok := strings.CutPrefix(name, "time.now"); ok {
		_, err := shift(rest)
		return err == nil
	}
	rest, ok := strings.CutPrefix(name, ofEntity)
	if !ok {
		return false
	}
	if alias, ok := strings.CutPrefix(rest, "aliases."); ok {
		accessor, of, _ := strings.Cut(alias, ".")
		return accessor != "" && (of == "id" || of == "name" || ofMap(of, "metadata") || ofMap(of, "custom_metadata"))
	}
	return slices.Contains([]string{"id", "name", "groups.ids", "groups.names"}, rest) || ofMap(rest, "metadata")
}

// ofMap says whether a name is a map, or a key of it.
func ofMap(name, of string) bool {
	key, ok := strings.CutPrefix(name, of+".")
	return name == of || ok && key != ""
}

// shift reads what may follow time.now: nothing, .plus.1h or .minus.30s.
func shift(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if by, ok := strings.CutPrefix(text, ".plus."); ok {
		return time.ParseDuration(by)
	}
	if by, ok := strings.CutPrefix(text, ".minus."); ok {
		d, err := time.ParseDuration(by)
		return -d, err
	}
	return 0, fmt.Errorf("unknown variable time.now%s", text)
}

// valueOf is what a known variable stands for: a text, a list, an object of
// texts or, of times, seconds since 1970.
func valueOf(name string, of policy.Subject, now time.Time) any {
	if rest, ok := strings.CutPrefix(name, "time.now"); ok {
		by, _ := shift(rest) // it is known
		return now.Add(by).Unix()
	}
	rest := strings.TrimPrefix(name, ofEntity)
	switch {
	case rest == "groups.ids":
		return groupsOf(of, func(g policy.Group) string { return g.ID })
	case rest == "groups.names":
		return groupsOf(of, func(g policy.Group) string { return g.Name })
	case rest == "metadata":
		if of.Entity != nil {
			return orEmpty(of.Entity.Metadata)
		}
		return struct{}{}
	case strings.HasPrefix(rest, "aliases."):
		accessor, field, _ := strings.Cut(strings.TrimPrefix(rest, "aliases."), ".")
		if field == "metadata" || field == "custom_metadata" {
			return orEmpty(aliasMap(of, accessor, field))
		}
	}
	text, _ := of.Lookup(name) // without a value it is empty
	return text
}

func groupsOf(of policy.Subject, f func(policy.Group) string) []string {
	out := make([]string, 0, len(of.Groups))
	for _, g := range of.Groups {
		out = append(out, f(g))
	}
	slices.Sort(out)
	return out
}

func aliasMap(of policy.Subject, accessor, field string) map[string]string {
	if of.Entity == nil {
		return nil
	}
	for _, a := range of.Entity.Aliases {
		if a.MountAccessor != accessor {
			continue
		}
		if field == "metadata" {
			return a.Metadata
		}
		return a.CustomMetadata
	}
	return nil
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
