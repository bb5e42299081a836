package mfa

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
)

var errBraces = errors.New("unbalanced templating characters")

// fill puts values in the place of the {{variables}} of a template.
func fill(template string, value func(name string) (string, error)) (string, error) {
	var b strings.Builder
	for rest := template; ; {
		before, after, open := strings.Cut(rest, "{{")
		if strings.Contains(before, "}}") {
			return "", errBraces
		}
		b.WriteString(before)
		if !open {
			return b.String(), nil
		}
		name, tail, closed := strings.Cut(after, "}}")
		if !closed || strings.Contains(name, "{{") {
			return "", errBraces
		}
		v, err := value(strings.TrimSpace(name))
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		rest = tail
	}
}

func checkUsername(template string) error {
	_, err := fill(template, func(name string) (string, error) {
		if !strings.HasPrefix(name, "identity.") {
			return "", fmt.Errorf("there is no variable %q", name)
		}
		return "", nil
	})
	if err != nil {
		return engine.Bad("'username_format': %s", err)
	}
	return nil
}

// username is the name that others know an entity by. A variable without a value
// is an error: a name with a part missing may be somebody else's.
func username(of policy.Subject, template string) (string, error) {
	if template == "" {
		template = "{{identity.entity.name}}"
	}
	name, err := fill(template, func(name string) (string, error) {
		v, ok := of.Lookup(name)
		if !ok || v == "" {
			return "", fmt.Errorf("%s has no value", name)
		}
		return v, nil
	})
	if err == nil && (name == "" || strings.ContainsFunc(name, unicode.IsControl)) {
		err = errors.New("it has no name that can be said")
	}
	return name, err
}
