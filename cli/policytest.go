package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl"
	"sigs.k8s.io/yaml"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/client"
)

// A fixture is a file of policy test: policies, and what is expected of them.
// In YAML (or JSON) it is this; in HCL policies and tests are labelled blocks.
type fixture struct {
	Policies map[string]fixturePolicy `json:"policies"`
	Tests    []fixtureTest            `json:"tests"`
}

// A fixturePolicy is the text of a policy, or the file that holds it, from where
// the fixture lies.
type fixturePolicy struct {
	Rules string `json:"rules"`
	File  string `json:"file"`
}

// UnmarshalJSON takes a text for its rules.
func (p *fixturePolicy) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &p.Rules) == nil {
		return nil
	}
	type plain fixturePolicy
	return strict(b, (*plain)(p))
}

// A fixtureTest is one request, or the same with several capabilities.
type fixtureTest struct {
	Name         string         `json:"name"`
	Policies     []string       `json:"policies"` // that are held; "root" and "default" are known
	Entity       *fixtureEntity `json:"entity"`   // what templates are filled with
	Path         string         `json:"path"`
	Capability   string         `json:"capability"`
	Capabilities []string       `json:"capabilities"`
	Parameters   map[string]any `json:"parameters"` // a user's JSON
	WrapTTL      string         `json:"wrap_ttl"`
	Sudo         bool           `json:"sudo"`
	Expect       string         `json:"expect"` // allow or deny
}

type fixtureEntity struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
	Groups   []fixtureGroup    `json:"groups"`
}

type fixtureGroup struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
}

// readFixture reads a file of either form.
func readFixture(path string) (*fixture, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, local("Error opening fixture: %w", err)
	}
	f := &fixture{}
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		j, err := yaml.YAMLToJSON(text)
		if err != nil {
			return nil, local("%s: %w", path, err)
		}
		if err := strict(j, f); err != nil {
			return nil, local("%s: %w", path, err)
		}
	default:
		if err := f.fromHCL(string(text)); err != nil {
			return nil, local("%s: %w", path, err)
		}
	}
	if len(f.Tests) == 0 {
		return nil, local("%s: holds no tests", path)
	}
	return f, nil
}

func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// fromHCL turns the labelled blocks of the text into what YAML would say.
func (f *fixture) fromHCL(text string) error {
	var raw map[string]any
	if err := hcl.Decode(&raw, text); err != nil {
		return err
	}
	policies := object{}
	var tests []object
	for kind, blocks := range raw {
		if kind != "policy" && kind != "test" {
			return fmt.Errorf("unknown block %q: want policy or test", kind)
		}
		list, ok := blocks.([]map[string]any)
		if !ok {
			return fmt.Errorf("%s must be a block with a label", kind)
		}
		for _, block := range list {
			for label, body := range block {
				o, ok := single(body).(map[string]any)
				if !ok {
					return fmt.Errorf("%s %q must be one block", kind, label)
				}
				if kind == "test" {
					o["name"] = label
					tests = append(tests, o)
					continue
				}
				policies[label] = o
			}
		}
	}
	j, err := json.Marshal(object{"policies": policies, "tests": tests})
	if err != nil {
		return err
	}
	return strict(j, f)
}

// single undoes HCL's habit of making a list of every block.
func single(v any) any {
	switch v := v.(type) {
	case []map[string]any:
		if len(v) == 1 {
			return single(v[0])
		}
	case map[string]any:
		for k := range v {
			list, isList := v[k].([]map[string]any)
			if k != "groups" || !isList {
				v[k] = single(v[k])
				continue
			}
			for i := range list { // there may be one or many
				single(list[i])
			}
		}
	}
	return v
}

// A policyResult is what came of one request of a test.
type policyResult struct {
	File       string `json:"file"`
	Name       string `json:"name"`
	Path       string `json:"path"`
	Capability string `json:"capability"`
	Expected   string `json:"expected"`
	Got        string `json:"got"`
	OK         bool   `json:"ok"`
	Because    string `json:"because"`
}

func bindPolicyTest(f *flags) action {
	verbose := f.toggle("v", false, "Say of every request why it is allowed or denied.")
	return func(c *call) error {
		if err := c.want(1, -1); err != nil {
			return err
		}
		results := []policyResult{}
		for _, path := range c.args {
			fix, err := readFixture(path)
			if err != nil {
				return err
			}
			got, err := fix.run(path)
			if err != nil {
				return err
			}
			results = append(results, got...)
		}
		failed := 0
		for _, r := range results {
			if !r.OK {
				failed++
			}
		}
		if !c.ui.isTable() {
			if err := c.ui.structured(object{"results": results, "failed": failed}); err != nil {
				return err
			}
		} else {
			c.ui.policyResults(results, *verbose)
			c.ui.out(fmt.Sprintf("%d requests, %d as expected, %d not", len(results), len(results)-failed, failed))
		}
		if failed > 0 {
			return silent(exitServer)
		}
		return nil
	}
}

// policyResults prints what was expected and what was got where these differ.
func (u *ui) policyResults(results []policyResult, verbose bool) {
	for _, r := range results {
		request := r.Capability + " " + r.Path
		switch {
		case !r.OK:
			u.out(fmt.Sprintf("FAIL  %s\n    - %s: %s\n    + %s: %s", r.Name, request, r.Expected, request, r.Got))
		default:
			u.out(fmt.Sprintf("ok    %s: %s %s", r.Name, request, r.Got))
		}
		if !r.OK || verbose {
			u.out(wrapText("      ", "      ", r.Because, 78))
		}
	}
}

// run decides all requests of a fixture.
func (f *fixture) run(path string) ([]policyResult, error) {
	held := map[string]*policy.Policy{"root": policy.Root()}
	builtin, err := policy.Parse("default", policy.Default)
	if err != nil {
		return nil, err
	}
	held["default"] = builtin
	for name, p := range f.Policies {
		if held[policy.NormalizeName(name)], err = p.parse(policy.NormalizeName(name), filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	var results []policyResult
	for i := range f.Tests {
		got, err := f.Tests[i].run(held)
		if err != nil {
			return nil, local("%s: test %q: %w", path, f.Tests[i].Name, err)
		}
		for _, r := range got {
			r.File = path
			results = append(results, r)
		}
	}
	return results, nil
}

func (p fixturePolicy) parse(name, dir string) (*policy.Policy, error) {
	text := p.Rules
	if p.File != "" {
		at := p.File
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		b, err := os.ReadFile(at)
		if err != nil {
			return nil, local("Error opening policy file: %w", err)
		}
		text = string(b)
	}
	if (p.Rules == "") == (p.File == "") {
		return nil, local("policy %q: one of rules and file must be given", name)
	}
	parsed, err := policy.Parse(name, text)
	if err != nil {
		return nil, local("policy %q: %w", name, err)
	}
	return parsed, nil
}

func (t *fixtureTest) run(known map[string]*policy.Policy) ([]policyResult, error) {
	if t.Expect != "allow" && t.Expect != "deny" {
		return nil, fmt.Errorf("expect must be allow or deny, not %q", t.Expect)
	}
	if t.Path == "" {
		return nil, fmt.Errorf("path is missing")
	}
	var list []*policy.Policy
	for _, name := range t.Policies {
		p := known[policy.NormalizeName(name)]
		if p == nil {
			return nil, fmt.Errorf("policy %q is not in the fixture", name)
		}
		p, _ = p.Render(t.Entity.subject())
		list = append(list, p)
	}
	q := policy.Query{Path: strings.TrimLeft(t.Path, "/"), Sudo: t.Sudo}
	var err error
	if q.WrapTTL, err = client.ParseDuration(t.WrapTTL); err != nil && t.WrapTTL != "" {
		return nil, fmt.Errorf("wrap_ttl: %w", err)
	}
	if t.Parameters != nil {
		if q.Params, err = json.Marshal(t.Parameters); err != nil {
			return nil, err
		}
	}
	capabilities := t.Capabilities
	if t.Capability != "" {
		capabilities = append(capabilities, t.Capability)
	}
	if len(capabilities) == 0 {
		return nil, fmt.Errorf("capability is missing")
	}
	acl := policy.Compile(list)
	var results []policyResult
	for _, word := range capabilities {
		op, ok := policy.OperationNamed(word)
		if !ok || op == policy.Help {
			return nil, fmt.Errorf("unknown capability %q", word)
		}
		q.Op = op
		v := acl.Decide(q)
		got := "deny"
		if v.Allowed {
			got = "allow"
		}
		results = append(results, policyResult{Name: t.Name, Path: q.Path, Capability: word, Expected: t.Expect, Got: got,
			OK: got == t.Expect, Because: v.Explain()})
	}
	return results, nil
}

func (e *fixtureEntity) subject() (s policy.Subject) {
	if e == nil {
		return s
	}
	s.Entity = &policy.Entity{ID: e.ID, Name: e.Name, Metadata: e.Metadata}
	for _, g := range e.Groups {
		s.Groups = append(s.Groups, policy.Group{ID: g.ID, Name: g.Name, Metadata: g.Metadata})
	}
	return s
}
