package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The reference is Vault's rules for policies, one after another, over rules as
// they were parsed: no compilation, no index, no early way out. It shares with
// the evaluator the parser and nothing else.

// refAllowed says whether a request passes.
func refAllowed(policies []*Policy, q Query) bool {
	if q.Op == Help {
		return true
	}
	for _, p := range policies {
		if p.Name == "root" {
			return true
		}
	}
	rules := refDeciding(policies, q)
	return len(rules) > 0 && refCapable(rules, q) && refWrapped(rules, q.WrapTTL) && refParams(rules, q)
}

// refDeciding are all rules whose pattern is the one that decides.
func refDeciding(policies []*Policy, q Query) (rules []Rule) {
	var patterns []string
	for _, p := range policies {
		for _, r := range p.Rules {
			patterns = append(patterns, r.Path)
		}
	}
	best, found := slowMatch(patterns, q.Path, q.Op == List || q.Op == Scan)
	if !found {
		return nil
	}
	for _, p := range policies {
		for _, r := range p.Rules {
			if r.Path == best {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// refCapable: capabilities of all rules add up, and deny in one is deny.
func refCapable(rules []Rule, q Query) bool {
	has := map[string]bool{}
	for _, r := range rules {
		for _, name := range r.Capabilities.Names() {
			has[name] = true
		}
	}
	return !has["deny"] && has[q.Op.String()] && (!q.Sudo || has["sudo"])
}

// refWrapped: of two minima the smaller holds, of two maxima the smaller.
func refWrapped(rules []Rule, ttl time.Duration) bool {
	var least, most []time.Duration
	for _, r := range rules {
		if r.MinWrappingTTL > 0 {
			least = append(least, r.MinWrappingTTL)
		}
		if r.MaxWrappingTTL > 0 {
			most = append(most, r.MaxWrappingTTL)
		}
	}
	if least == nil && most == nil {
		return true
	}
	return ttl > 0 && (least == nil || ttl >= slices.Min(least)) && (most == nil || ttl <= slices.Min(most)) &&
		(least == nil || most == nil || slices.Min(least) <= slices.Min(most))
}

// refParams: required ones are there, no denied one is, and if any are allowed
// each is. Names are told apart without case.
func refParams(rules []Rule, q Query) bool {
	if q.Op != Create && q.Op != Update && q.Op != Patch {
		return true
	}
	var sent map[string]any
	if len(q.Params) > 0 {
		if err := json.Unmarshal(q.Params, &sent); err != nil {
			panic(err) // the generator makes objects
		}
	}
	allowed, denied := map[string][]string{}, map[string][]string{}
	for _, r := range rules {
		for _, name := range r.Required {
			if !slices.ContainsFunc(keys(sent), func(k string) bool { return strings.EqualFold(k, name) }) {
				return false
			}
		}
		refMerge(allowed, r.Allowed)
		refMerge(denied, r.Denied)
	}
	for name, value := range sent {
		if !refParam(allowed, denied, strings.ToLower(name), value) {
			return false
		}
	}
	return true
}

func refParam(allowed, denied map[string][]string, name string, value any) bool {
	elements := refElements(value)
	if _, all := denied["*"]; all {
		return false
	}
	if list, ok := denied[name]; ok {
		if len(list) == 0 || slices.ContainsFunc(elements, func(e string) bool { return refAny(list, e) }) {
			return false
		}
	}
	if len(allowed) == 0 {
		return true
	}
	list, ok := allowed[name]
	if !ok {
		_, all := allowed["*"]
		return all
	}
	if len(list) == 0 {
		return true
	}
	return len(elements) > 0 && !slices.ContainsFunc(elements, func(e string) bool { return !refAny(list, e) })
}

// refMerge: lists of values add up, an empty one is any value and swallows others.
func refMerge(into map[string][]string, from map[string][]Value) {
	for name, values := range from {
		var texts []string
		for _, v := range values {
			texts = append(texts, v.Text)
		}
		have, ok := into[name]
		switch {
		case len(texts) == 0 || ok && len(have) == 0:
			into[name] = nil
		default:
			into[name] = append(have, texts...)
		}
	}
}

// refElements: each element of a list counts, and commas make a list.
func refElements(value any) (out []string) {
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			out = append(out, refElements(e)...)
		}
	case string:
		out = strings.Split(v, ",")
	}
	return out
}

func refAny(patterns []string, text string) bool {
	for _, p := range patterns {
		switch {
		case strings.HasSuffix(p, "*") && strings.HasPrefix(text, strings.TrimSuffix(p, "*")), p == text:
			return true
		}
	}
	return false
}

func keys(m map[string]any) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// Random policies, as texts, over alphabets so small that they collide.

func drawPattern(t *rapid.T) string {
	p := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "a", "ab", "+"}), 1, 3).Draw(t, "pattern"), "/")
	switch rapid.IntRange(0, 5).Draw(t, "end") {
	case 0, 1:
		if !strings.HasSuffix(p, "+") {
			p += "*"
		}
	case 2:
		p += "/*"
	case 3:
		p += "/"
	}
	return p
}

func drawWords(t *rapid.T, label string, least, most int, from ...string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), least, most, rapid.ID[string]).Draw(t, label)
}

func drawParams(t *rapid.T, label string) string {
	var b strings.Builder
	for _, name := range drawWords(t, label, 1, 3, "k", "K2", "x", "*") {
		fmt.Fprintf(&b, " %q = [%s]", name, quoted2(drawWords(t, "values", 0, 2, "a", "b", "ab", "a*")))
	}
	return fmt.Sprintf("  %s = {%s }\n", label, b.String())
}

// quoted2 is quoted, of which nothing is nothing.
func quoted2(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return quoted(words)
}

func drawPolicy(t *rapid.T, name string) *Policy {
	var b strings.Builder
	for range rapid.IntRange(0, 8).Draw(t, "rules") {
		caps := drawWords(t, "capabilities", 3, 7, "create", "read", "update", "patch", "delete", "list", "sudo")
		if rapid.IntRange(0, 7).Draw(t, "deny") == 0 {
			caps = append(caps, "deny")
		}
		fmt.Fprintf(&b, "path %q {\n  capabilities = [%s]\n", drawPattern(t), quoted(caps))
		for _, limit := range []string{"allowed_parameters", "denied_parameters"} {
			if rapid.IntRange(0, 3).Draw(t, limit+"?") == 0 {
				b.WriteString(drawParams(t, limit))
			}
		}
		if rapid.IntRange(0, 5).Draw(t, "required?") == 0 {
			fmt.Fprintf(&b, "  required_parameters = [%s]\n", quoted(drawWords(t, "required", 1, 2, "k", "K2")))
		}
		least := 0
		for _, limit := range []string{"min_wrapping_ttl", "max_wrapping_ttl"} {
			if rapid.IntRange(0, 3).Draw(t, limit+"?") == 0 {
				least = max(least, rapid.IntRange(1, 4).Draw(t, limit))
				fmt.Fprintf(&b, "  %s = \"%ds\"\n", limit, least)
			}
		}
		b.WriteString("}\n")
	}
	p, err := Parse(name, b.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	return p
}

func drawQuery(t *rapid.T) Query {
	path := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "a", "ab", "c"}), 1, 3).Draw(t, "path"), "/")
	q := Query{Path: path, Op: rapid.SampledFrom([]Operation{Create, Read, Update, Patch, Delete, List}).Draw(t, "op"),
		Sudo: rapid.IntRange(0, 4).Draw(t, "sudo") == 0, WrapTTL: time.Duration(rapid.IntRange(0, 5).Draw(t, "wrap")) * time.Second}
	if rapid.IntRange(0, 3).Draw(t, "slash") == 0 {
		q.Path += "/"
	}
	sent := map[string]any{}
	for _, name := range drawWords(t, "parameters", 0, 3, "k", "K", "k2", "x", "X", "other") {
		var value any = rapid.SampledFrom([]string{"a", "b", "ab", "a,b", "c", ""}).Draw(t, "value")
		if rapid.IntRange(0, 3).Draw(t, "list") == 0 {
			list := []any{}
			for _, e := range drawWords(t, "elements", 0, 2, "a", "b", "c", "ab,c") {
				list = append(list, e)
			}
			value = list
		}
		sent[name] = value
	}
	if len(sent) > 0 {
		body, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		q.Params = body
	}
	return q
}

func drawPolicies(t *rapid.T) (list []*Policy) {
	for i := range rapid.IntRange(0, 3).Draw(t, "policies") {
		list = append(list, drawPolicy(t, fmt.Sprint("p", i)))
	}
	return list
}

func texts(list []*Policy) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "# policy %s\n%s", p.Name, p.Text)
	}
	return b.String()
}

// agree compares the evaluator with the reference on drawn policies.
func agree(t *rapid.T) {
	policies := drawPolicies(t)
	acl := Compile(policies)
	for range 25 {
		q := drawQuery(t)
		if v, want := acl.Decide(q), refAllowed(policies, q); v.Allowed != want {
			t.Fatalf("%s %s wrap=%s sudo=%v %s: %s; the reference says %v\n%s", q.Op, q.Path, q.WrapTTL, q.Sudo, q.Params, v.Explain(), want, texts(policies))
		}
	}
}

func TestTheReferenceAgrees(t *testing.T) { often(t, agree) }

// often is rapid.Check twenty times: the rarer rules need the numbers. A failure
// prints its seed.
func often(t *testing.T, f func(*rapid.T)) {
	for range 20 {
		if rapid.Check(t, f); t.Failed() {
			return
		}
	}
}

func FuzzTheReferenceAgrees(f *testing.F) { f.Fuzz(rapid.MakeFuzz(agree)) }

// A remedy does what it promises, and where there is none, no rule for the path
// would have helped.
func TestRemediesHelp(t *testing.T) {
	often(t, func(t *rapid.T) {
		policies := drawPolicies(t)
		q := drawQuery(t)
		v := Compile(policies).Decide(q)
		for range 6 { // one parameter after another, and what stands behind them
			if v.Allowed {
				return
			}
			e := v.Explanation()
			if e.Remedy == "" {
				break
			}
			p, err := Parse("remedy", e.Remedy)
			if err != nil {
				t.Fatalf("%v\n%s", err, e.Remedy)
			}
			before := v
			policies = append(policies, p)
			if v = Compile(policies).Decide(q); !v.Allowed && v.Reason <= before.Reason && v.param == before.param {
				t.Fatalf("%s %s %s: %s\nstays denied with\n%s\n%s\n%s", q.Op, q.Path, q.Params, before.Explain(), e.Remedy, v.Explain(), texts(policies))
			}
		}
		switch v.Reason {
		case WrappingRequired, WrappingTooShort, WrappingTooLong, ParamRequired:
			return // the caller can help it
		}
		if v.Allowed {
			return
		}
		all, err := Parse("all", fmt.Sprintf(`path %q { capabilities = ["create","read","update","patch","delete","list","sudo"] allowed_parameters = { "*" = [] } }`, v.exactPath()))
		if err != nil {
			t.Fatal(err)
		}
		if with := Compile(append(policies, all)).Decide(q); with.Allowed {
			t.Fatalf("%s %s %s: %s has no remedy, but one helps\n%s", q.Op, q.Path, q.Params, v.Explain(), texts(policies))
		}
	})
}

// Rules that a denial overrides are found whatever the index looks like.
func TestEachFindsAllThatMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		acl := Compile(drawPolicies(t))
		q := drawQuery(t)
		both := q.Op == List
		path := q.Path
		spellings := []string{path}
		if both {
			path = strings.TrimSuffix(path, "/")
			spellings = []string{path, path + "/"}
		}
		var got, want []int
		acl.trie.each(path, both, func(rank int) { got = append(got, rank) })
		for i, r := range acl.ranked {
			if slices.ContainsFunc(spellings, asRegexp(r.text).MatchString) {
				want = append(want, i+1)
			}
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Fatalf("%s (list %v): ranks %v, want %v", q.Path, both, got, want)
		}
	})
}

// Paths that are no words of their own get no rule that would reach further.
func TestNoRemedyReachesFurther(t *testing.T) {
	acl := aclOf(t, "")
	for _, path := range []string{"a/+/b", "+", "a*", "a/*", "{{identity.entity.id}}", "a\nb", "", `a"b`, `a\b`, "a${b", "ä/ö", "a b", "a/{{x}}", "%"} {
		v := acl.Decide(Query{Path: path, Op: Read})
		rule, note := v.remedy()
		if rule == "" {
			if note == "" {
				t.Errorf("%q: neither a rule nor a word", path)
			}
			continue
		}
		p, err := Parse("p", rule)
		if err != nil || len(p.Rules) != 1 || p.Rules[0].Path != path || p.Templated || wild(path) {
			t.Errorf("%q: %s (%v)", path, rule, err)
		}
	}
}
