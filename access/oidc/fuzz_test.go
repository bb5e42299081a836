package oidc

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/access/policy"
)

// A template that is taken makes the same claims for everybody, whatever they are
// called, and none of the server's.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":{{identity.entity.name}}}`, `{"a":[{{time.now}},{{identity.entity.metadata}}]}`, `{"a":{"b":{}}}`, `{"sub":1}`,
		`{"a":-{{time.now}}}`, `{ {{identity.entity.name}}:1}`, `{"a":"{{identity.entity.id}}"}`, `{"\u0073ub":1}`, `{"a\"{{":{{time.now.plus.1h}} }`, "eyJhIjoxfQ=="} {
		f.Add(text, `"}, "sub": "x`)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		text = decodeTemplate(text)
		if text == "" || checkTemplate(text) != nil {
			return
		}
		of := policy.Subject{Entity: &policy.Entity{ID: name, Name: name, Metadata: map[string]string{name: name, "k": name},
			Aliases: []policy.Alias{{MountAccessor: "a", ID: name, Name: name}}}, Groups: []policy.Group{{ID: name, Name: name}}}
		made, err := claimsOf(text, of, time.Unix(1767323045, 0))
		if err != nil {
			t.Fatalf("%q for %q: %v", text, name, err)
		}
		plain, err := claimsOf(text, policy.Subject{}, time.Unix(0, 0))
		if err != nil || len(plain) != len(made) {
			t.Fatalf("%q makes %d claims for %q and %d for nobody: %v", text, len(made), name, len(plain), err)
		}
		for claim, value := range made {
			if _, ok := plain[claim]; !ok || !json.Valid(value) || slices.Contains(reserved, strings.ToLower(claim)) {
				t.Fatalf("%q for %q claims %q", text, name, claim)
			}
		}
	})
}
