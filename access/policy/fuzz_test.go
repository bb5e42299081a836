package policy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzParse: no text panics, every error is a ParseError, and whatever is
// accepted can be rendered, compiled, asked and shown.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "{", "}", "path", `path "a"`, `path "a" {`, Default, ResponseWrapping, ControlGroupText,
		`path "a" { capabilities = [`,
		`path "a/+*" { policy = "read" }`,
		`path "a" { capabilities = ["read"] "capabilities" = ["list"] }`,
		`path "kv/*" { allowed_parameters = { "k" = ["v*", 1, 0x10, 1e9, true, ["x"]] } }`,
		`path "a" { min_wrapping_ttl = "9999999999d" }`,
		`path "a" { max_wrapping_ttl = 1e400 }`,
		`{"path":{"a":{"capabilities":["read"],"allowed_parameters":{"x":null}}}}`,
		`{"path":[[]]}`, `{"path":{}} {}`, "\ufeffpath \"a\" {}",
		"path <<A\nx\nA {}", "path \"a\" { policy = <<-X\n  read\n  X\n}",
		`path "a\u12" {}`, `path "${a${b}}" {}`, "# c\n// d\n/* e", `a = 99999999999999999999`,
		`path "x" { control_group = { factor "a" { identity { approvals = -1 } } } }`,
		`path "{{{{}}}}" { policy = "read" }`, `path "{{}}" { policy = "read" }`,
		strings.Repeat("a = [", 100), strings.Repeat(`{"path":`, 100),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("p", text)
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) {
				t.Fatalf("not a ParseError: %v", err)
			}
			return
		}
		p, _ = p.Render(Subject{Entity: &Entity{ID: "e", Name: "n"}})
		acl := Compile([]*Policy{p})
		exact, glob := acl.Resultant()
		if _, err := json.Marshal([]map[string]PathGrant{exact, glob}); err != nil {
			t.Fatalf("show: %v", err)
		}
		for _, r := range p.Rules {
			acl.HasAnyUnder(r.Path + "/")
			for _, op := range []Operation{Update, List} {
				v := acl.Decide(Query{Path: r.Path, Op: op, Params: json.RawMessage(`{"k":["v",1,null]}`)})
				// A pattern matches at least itself.
				if v.Explain() == "" || v.Reason == NoRule && !strings.HasPrefix(r.Path, "/") {
					t.Fatalf("%q: no rule for its own path: %s", r.Path, v.Explain())
				}
			}
		}
	})
}

// TestHostileTexts are bounded in time and stack whatever their size.
func TestHostileTexts(t *testing.T) {
	for name, text := range map[string]string{
		"deep lists":       "a = " + strings.Repeat("[", 500_000),
		"deep blocks":      strings.Repeat("a {", 300_000),
		"deep JSON":        `{"path":` + strings.Repeat("[", 500_000),
		"hidden closers":   strings.Repeat(`a = ["]", `, 100_000),
		"over the size":    strings.Repeat("#", MaxSize+1),
		"huge number":      "a = " + strings.Repeat("9", 500_000),
		"unclosed string":  `path "` + strings.Repeat("a", 500_000),
		"unclosed comment": "/*" + strings.Repeat("*", 500_000),
		"hidden by NUL":    "a {\x00}" + strings.Repeat("a {", 300_000),
		"NUL":              "path \"a\x00\" {}",
		"not UTF-8":        "path \"\xff\" {}",
	} {
		if _, err := Parse("p", text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
