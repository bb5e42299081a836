package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxSize is how many bytes a policy's text may have.
const MaxSize = 1 << 20

// A ParseError says why a text is not a policy. It is always the author's to
// mend, and its text is Vault's where clients may match on it.
type ParseError struct{ Err error }

func (e *ParseError) Error() string { return "failed to parse policy: " + e.Err.Error() }
func (e *ParseError) Unwrap() error { return e.Err }

// Parse reads a policy from HCL or JSON. The error, if any, is a *ParseError.
func Parse(name, text string) (*Policy, error) {
	p, err := parse(NormalizeName(name), text)
	if err != nil {
		return nil, &ParseError{err}
	}
	return p, nil
}

func parse(name, src string) (*Policy, error) {
	if len(src) > MaxSize {
		return nil, fmt.Errorf("the text has %d bytes, the limit is %d", len(src), MaxSize)
	}
	root, err := readTree(src)
	if err != nil {
		return nil, err
	}
	if err := root.onlyKeys("name", "path"); err != nil {
		return nil, err
	}
	p := &Policy{Name: name, Text: src}
	for _, it := range root.items {
		// A name in the text is legal and means nothing: the policy is
		// called what it is stored under.
		if it.keys[0] != "path" {
			continue
		}
		if err := p.addPaths(it); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// addPaths takes `path "a" { … }`, and the JSON forms `"path": {"a": {…}, …}`
// and `"path": [{"a": {…}}, …]`.
func (p *Policy) addPaths(it item) error {
	switch {
	case len(it.keys) == 2:
		return p.addRule(it.keys[1], it.line, it.val)
	case len(it.keys) > 2:
		return fmt.Errorf("path %q: has more than one label", it.keys[1])
	case it.val.kind == object:
		for _, sub := range it.val.items {
			sub.keys = append([]string{"path"}, sub.keys...)
			if err := p.addPaths(sub); err != nil {
				return err
			}
		}
		return nil
	case it.val.kind == list:
		for _, el := range it.val.list {
			if el.kind != object {
				return fmt.Errorf("path on line %d: must be objects", it.line)
			}
			if err := p.addPaths(item{keys: it.keys, line: it.line, val: el}); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("path on line %d: must be an object", it.line)
}

func (p *Policy) addRule(path string, line int, body *node) error {
	r := Rule{Path: strings.TrimPrefix(path, "/"), Line: line}
	if body.kind != object {
		return fmt.Errorf("path %q: must be an object", path)
	}
	if err := body.onlyKeys(ruleKeys...); err != nil {
		var key *keyError
		if errors.As(err, &key) {
			return key.in(path)
		}
		return err
	}
	if strings.Contains(r.Path, "+*") {
		return fmt.Errorf("path %q: invalid use of wildcards ('+*' is forbidden)", path)
	}
	templated, err := isTemplate(r.Path)
	if err != nil {
		return fmt.Errorf("path %q: %w", path, err)
	}
	seen := map[string]bool{}
	for _, it := range body.items {
		if seen[it.keys[0]] {
			return fmt.Errorf("path %q: %w", path, duplicate(it.keys[0], fmt.Sprintf("line %d", it.line)))
		}
		seen[it.keys[0]] = true
		if len(it.keys) > 1 {
			return fmt.Errorf("path %q: %s cannot have a label", path, it.keys[0])
		}
		if err := r.set(it.keys[0], it.val); err != nil {
			return fmt.Errorf("path %q: %w", path, err)
		}
	}
	if r.MinWrappingTTL > 0 && r.MaxWrappingTTL > 0 && r.MaxWrappingTTL < r.MinWrappingTTL {
		return fmt.Errorf("max_wrapping_ttl cannot be less than min_wrapping_ttl")
	}
	r.Capabilities = r.Capabilities.effective()
	p.Rules = append(p.Rules, r)
	p.Templated = p.Templated || templated
	return nil
}

var ruleKeys = []string{
	"policy", "capabilities",
	"allowed_parameters", "denied_parameters", "required_parameters",
	"min_wrapping_ttl", "max_wrapping_ttl",
	"mfa_methods", "control_group", "subscribe_event_types",
}

// set takes one of ruleKeys into the rule.
func (r *Rule) set(key string, v *node) (err error) {
	switch key {
	case "policy":
		err = r.setOldForm(v)
	case "capabilities":
		var caps Caps
		caps, err = v.capabilities()
		r.Capabilities |= caps
	case "allowed_parameters":
		r.Allowed, err = v.parameters()
	case "denied_parameters":
		r.Denied, err = v.parameters()
	case "required_parameters":
		r.Required, err = v.strings()
		for i := range r.Required {
			r.Required[i] = foldKey(r.Required[i])
		}
	case "min_wrapping_ttl":
		r.MinWrappingTTL, err = v.duration()
	case "max_wrapping_ttl":
		r.MaxWrappingTTL, err = v.duration()
	case "mfa_methods":
		r.MFAMethods, err = v.strings()
	case "control_group":
		r.ControlGroup, err = v.controlGroup()
	case "subscribe_event_types":
		r.EventTypes, err = v.strings()
	}
	var own *wordError
	if err != nil && !errors.As(err, &own) {
		return fmt.Errorf("%s: %w", key, err)
	}
	return err
}

// A wordError refuses a word; Vault's sentence does not name the key it stood
// under.
type wordError struct{ what, word string }

func (e *wordError) Error() string { return fmt.Sprintf("invalid %s %q", e.what, e.word) }

func (r *Rule) setOldForm(v *node) error {
	caps, ok := oldForms[v.text]
	if v.kind != text || !ok {
		return &wordError{"policy", v.text}
	}
	r.Capabilities |= caps
	return nil
}

// duration reads seconds, or a string such as "90", "5m" or "3d".
func (n *node) duration() (time.Duration, error) {
	if n.kind != text && n.kind != number {
		return 0, fmt.Errorf("must be a duration such as \"5m\"")
	}
	d, err := parseDuration(n.text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration such as \"5m\"", n.text)
	}
	return d, nil
}

func parseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, nil
	}
	last := s[len(s)-1]
	if '0' <= last && last <= '9' {
		s += "s"
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		if d > 1<<62/24 {
			return 0, fmt.Errorf("%q is too long", s)
		}
		return 24 * d, err
	}
	return time.ParseDuration(s)
}
