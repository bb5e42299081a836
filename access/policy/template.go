package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Subject is whom a templated policy is rendered for.
type Subject struct {
	Entity *Entity // nil for tokens without one
	Groups []Group // all that the entity is a member of, inherited ones included
}

// An Entity is a person or machine, whichever way it logged in.
type Entity struct {
	ID, Name string
	Metadata map[string]string
	Aliases  []Alias
}

// An Alias is the entity's account at one auth mount.
type Alias struct {
	MountAccessor  string
	ID, Name       string
	Metadata       map[string]string
	CustomMetadata map[string]string
}

// A Group is a group that the entity belongs to.
type Group struct {
	ID, Name string
	Metadata map[string]string
}

// A Dropped rule could not be rendered for a Subject and grants it nothing.
type Dropped struct {
	Path string // the template
	Line int
	Why  string // names the variable, never its value
}

var errUnbalanced = errors.New("unbalanced templating characters")

// isTemplate reports whether path holds a {{variable}}.
func isTemplate(path string) (bool, error) {
	found := false
	for rest := path; ; found = true {
		before, after, open := strings.Cut(rest, "{{")
		if strings.Contains(before, "}}") {
			return false, errUnbalanced
		}
		if !open {
			return found, nil
		}
		name, tail, closed := strings.Cut(after, "}}")
		if !closed || strings.Contains(name, "{{") {
			return false, errUnbalanced
		}
		rest = tail
	}
}

// Render fills the variables of a templated policy for s. A rule is dropped if a
// variable has no value for s, or one that would change what the pattern
// reaches: a wildcard, or a segment that is empty or made of dots. A policy
// without templates is returned as it is.
func (p *Policy) Render(s Subject) (*Policy, []Dropped) {
	if !p.Templated {
		return p, nil
	}
	out := *p
	out.Templated, out.Rules = false, make([]Rule, 0, len(p.Rules))
	var dropped []Dropped
	for _, r := range p.Rules {
		path, err := s.fill(r.Path)
		if err != nil {
			dropped = append(dropped, Dropped{r.Path, r.Line, err.Error()})
			continue
		}
		r.Path = path
		out.Rules = append(out.Rules, r)
	}
	return &out, dropped
}

func (s Subject) fill(path string) (string, error) {
	var b strings.Builder
	for {
		before, after, open := strings.Cut(path, "{{")
		b.WriteString(before)
		if !open {
			return b.String(), nil
		}
		name, tail, _ := strings.Cut(after, "}}")
		name = strings.TrimSpace(name)
		value, ok := s.Lookup(name)
		if !ok || value == "" {
			return "", fmt.Errorf("%s has no value", name)
		}
		if err := literal(value); err != nil {
			return "", fmt.Errorf("the value of %s %w", name, err)
		}
		b.WriteString(value)
		path = tail
	}
}

// literal refuses values that would not stay the text that they are.
func literal(value string) error {
	if strings.ContainsAny(value, "+*") {
		return errors.New("holds a wildcard")
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return errors.New("holds characters that no path may have")
	}
	for seg := range strings.SplitSeq(value, "/") {
		if seg == "" || seg == "." || seg == ".." {
			return errors.New("is not a canonical path")
		}
	}
	return nil
}

// Lookup is the value of a variable such as identity.entity.name for s, and
// whether it has one.
func (s Subject) Lookup(name string) (string, bool) {
	if rest, ok := strings.CutPrefix(name, "identity.entity."); ok && s.Entity != nil {
		return s.Entity.lookup(rest)
	}
	byID, ok := strings.CutPrefix(name, "identity.groups.ids.")
	byName, ok2 := strings.CutPrefix(name, "identity.groups.names.")
	if !ok && !ok2 {
		return "", false
	}
	// Names may hold dots, so the groups are tried rather than the text cut.
	for _, g := range s.Groups {
		if rest, found := strings.CutPrefix(byID, g.ID+"."); ok && found {
			if v, has := field(rest, "name", g.Name, "metadata", g.Metadata); has {
				return v, true
			}
		}
		if rest, found := strings.CutPrefix(byName, g.Name+"."); ok2 && found {
			if v, has := field(rest, "id", g.ID, "metadata", g.Metadata); has {
				return v, true
			}
		}
	}
	return "", false
}

func (e *Entity) lookup(name string) (string, bool) {
	alias, ok := strings.CutPrefix(name, "aliases.")
	if !ok {
		if name == "id" {
			return e.ID, true
		}
		return field(name, "name", e.Name, "metadata", e.Metadata)
	}
	for _, a := range e.Aliases {
		rest, ok := strings.CutPrefix(alias, a.MountAccessor+".")
		switch {
		case !ok:
			continue
		case rest == "id":
			return a.ID, true
		case strings.HasPrefix(rest, "custom_metadata."):
			return field(rest, "", "", "custom_metadata", a.CustomMetadata)
		}
		return field(rest, "name", a.Name, "metadata", a.Metadata)
	}
	return "", false
}

// field finds one plain field or a key of one map.
func field(name, plain, value, mapName string, m map[string]string) (string, bool) {
	if plain != "" && name == plain {
		return value, true
	}
	if key, ok := strings.CutPrefix(name, mapName+"."); ok {
		v, ok := m[key]
		return v, ok
	}
	return "", false
}
