package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestStories runs testdata/*: each file tells one part of the language.
//
//	policy name=x          parse the input under this name and keep it
//	subject                the JSON of a Subject, for which policies are rendered from here on
//	decide policies=(a,b)  one query a line: op path [{json}] [wrap=5m] [sudo]
//	explain policies=(a,b) the same, taken apart
//	gives policies=(a,b)   one capability and path a line: how is it given?
//	everything policies=(a,b)  all that they give
//	capabilities policies=(a,b)  one path a line
//	under policies=(a,b)   one mount path a line: is anything granted there?
//	resultant policies=(a,b)
//	rules name=x           what Parse made of the text
//	forget                 start again without policies
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := story{policies: map[string]*Policy{"root": Root()}}
		datadriven.RunTest(t, path, s.run)
	})
}

type story struct {
	policies map[string]*Policy
	subject  Subject
}

func (s *story) run(t *testing.T, td *datadriven.TestData) string {
	switch td.Cmd {
	case "policy":
		return s.parse(t, td)
	case "subject":
		s.subject = Subject{}
		if err := json.Unmarshal([]byte(td.Input), &s.subject); err != nil {
			t.Fatal(err)
		}
		return ""
	case "forget":
		s.policies = map[string]*Policy{"root": Root()}
		return ""
	case "rules":
		var name string
		td.ScanArgs(t, "name", &name)
		return rulesOf(t, s.policies[name])
	}
	return s.ask(t, td)
}

func (s *story) parse(t *testing.T, td *datadriven.TestData) string {
	var name string
	td.ScanArgs(t, "name", &name)
	p, err := Parse(name, td.Input)
	if err != nil {
		var pe *ParseError
		if !errors.As(err, &pe) {
			t.Fatalf("not a ParseError: %v", err)
		}
		return fmt.Sprintf("%q\n", err.Error())
	}
	s.policies[name] = p
	return "ok\n"
}

func (s *story) ask(t *testing.T, td *datadriven.TestData) string {
	var b strings.Builder
	acl := s.compile(t, td, &b)
	for line := range strings.Lines(td.Input) {
		line = strings.TrimSpace(line)
		switch td.Cmd {
		case "decide":
			q := queryOf(t, line)
			v := acl.Decide(q)
			fmt.Fprintf(&b, "%s\n  %s\n", line, v.Explain())
		case "explain":
			b.WriteString(told(acl.Decide(queryOf(t, line)).Explanation()))
		case "gives":
			word, path, _ := strings.Cut(line, " ")
			c, _ := CapabilityNamed(word)
			fmt.Fprintf(&b, "%s: ", line)
			if g := acl.Gives(path, c); g == nil {
				b.WriteString("no\n")
			} else {
				b.WriteString(shown(*g))
			}
		case "capabilities":
			fmt.Fprintf(&b, "%s: %s\n", line, strings.Join(acl.Capabilities(line), ", "))
		case "under":
			fmt.Fprintf(&b, "%s: %v\n", line, acl.HasAnyUnder(line))
		default:
			t.Fatalf("unknown command %q", td.Cmd)
		}
	}
	if td.Cmd == "everything" {
		for _, g := range acl.Everything() {
			b.WriteString(shown(g))
		}
	}
	if td.Cmd == "resultant" {
		exact, glob := acl.Resultant()
		j, err := json.MarshalIndent([]map[string]PathGrant{exact, glob}, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", j)
	}
	return b.String()
}

func told(e Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", e.Reason, e.Because)
	for _, s := range e.Policies {
		fmt.Fprintf(&b, "  policy %s:%d\n", s.Policy, s.Line)
	}
	if e.Remedy != "" {
		fmt.Fprintf(&b, "%s\n", e.Remedy)
	}
	if e.Note != "" {
		fmt.Fprintf(&b, "note: %s\n", e.Note)
	}
	return b.String()
}

func shown(g Grant) string {
	return fmt.Sprintf("%s %v %q %v\n", g.Path, g.Capabilities, g.Conditions, g.Policies)
}

func (s *story) compile(t *testing.T, td *datadriven.TestData, b *strings.Builder) *ACL {
	var list []*Policy
	for _, arg := range td.CmdArgs {
		if arg.Key != "policies" {
			continue
		}
		for _, name := range arg.Vals {
			if name == "" { // policies=()
				continue
			}
			p := s.policies[name]
			if p == nil {
				t.Fatalf("no policy %q", name)
			}
			p, dropped := p.Render(s.subject)
			for _, d := range dropped {
				fmt.Fprintf(b, "dropped %s (line %d): %s\n", d.Path, d.Line, d.Why)
			}
			list = append(list, p)
		}
	}
	return Compile(list)
}

func queryOf(t *testing.T, line string) Query {
	opName, rest, _ := strings.Cut(line, " ")
	op, ok := OperationNamed(opName)
	if !ok {
		t.Fatalf("no operation %q", opName)
	}
	q := Query{Op: op}
	q.Path, rest, _ = strings.Cut(rest, " ")
	if before, wrap, ok := strings.Cut(rest, "wrap="); ok {
		d, err := time.ParseDuration(wrap)
		if err != nil {
			t.Fatal(err)
		}
		q.WrapTTL, rest = d, before
	}
	rest = strings.TrimSpace(rest)
	if rest == "sudo" {
		q.Sudo, rest = true, ""
	}
	q.Params = json.RawMessage(rest)
	return q
}

func rulesOf(t *testing.T, p *Policy) string {
	var b strings.Builder
	fmt.Fprintf(&b, "templated: %v\n", p.Templated)
	for _, r := range p.Rules {
		fmt.Fprintf(&b, "%q line %d: %s\n", r.Path, r.Line, r.Capabilities)
		if r.Allowed != nil || r.Denied != nil {
			j, err := json.Marshal(PathGrant{Allowed: r.Allowed, Denied: r.Denied})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  %s\n", j)
		}
		if r.Required != nil {
			fmt.Fprintf(&b, "  required %q\n", r.Required)
		}
		if r.MinWrappingTTL+r.MaxWrappingTTL > 0 {
			fmt.Fprintf(&b, "  wrapping %s to %s\n", r.MinWrappingTTL, r.MaxWrappingTTL)
		}
		if r.MFAMethods != nil {
			fmt.Fprintf(&b, "  mfa %q\n", r.MFAMethods)
		}
		if r.EventTypes != nil {
			fmt.Fprintf(&b, "  events %q\n", r.EventTypes)
		}
		if r.ControlGroup != nil {
			fmt.Fprintf(&b, "  control %+v\n", *r.ControlGroup)
		}
	}
	return b.String()
}
