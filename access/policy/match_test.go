package policy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// slowMatch is the documentation of Vault's priority, followed word by word over
// all patterns: exact ones first, then the best by a sort of all that match. It
// shares nothing with the trie.
func slowMatch(patterns []string, path string, list bool) (best string, found bool) {
	spellings := []string{path}
	if list {
		bare := strings.TrimSuffix(path, "/")
		spellings = []string{bare + "/", bare}
	}
	for _, s := range spellings {
		if slices.Contains(patterns, s) && !wild(s) {
			return s, true
		}
	}
	var hits []string
	for _, p := range patterns {
		if wild(p) && slices.ContainsFunc(spellings, asRegexp(p).MatchString) {
			hits = append(hits, p)
		}
	}
	slices.SortFunc(hits, slowCompare)
	if hits == nil {
		return "", false
	}
	return hits[len(hits)-1], true
}

var plusSegment = regexp.MustCompile(`(^|/)\+(/|$)`)

func wild(p string) bool { return strings.HasSuffix(p, "*") || plusSegment.MatchString(p) }

func asRegexp(p string) *regexp.Regexp {
	body, glob := strings.CutSuffix(p, "*")
	segs := strings.Split(body, "/")
	for i, s := range segs {
		segs[i] = regexp.QuoteMeta(s)
		if s == "+" {
			segs[i] = "[^/]*"
		}
	}
	end := "$"
	if glob {
		end = ""
	}
	return regexp.MustCompile("^" + strings.Join(segs, "/") + end)
}

func slowCompare(p, q string) int {
	switch fp, fq := firstWild(p), firstWild(q); {
	case fp != fq:
		return fp - fq
	case strings.HasSuffix(p, "*") != strings.HasSuffix(q, "*"):
		if strings.HasSuffix(p, "*") {
			return -1
		}
		return 1
	}
	plus := func(s string) (n int) {
		for _, seg := range strings.Split(s, "/") {
			if seg == "+" {
				n++
			}
		}
		return n
	}
	if n := plus(q) - plus(p); n != 0 {
		return n
	}
	if n := len(p) - len(q); n != 0 {
		return n
	}
	return strings.Compare(p, q)
}

func firstWild(p string) int {
	if at := plusSegment.FindStringIndex(p); at != nil {
		return at[0] + strings.Index(p[at[0]:], "+")
	}
	return len(p) - 1
}

// TestMatchAgainstEveryPattern compares the compiled matcher with slowMatch on
// small alphabets, where patterns collide all the time.
func TestMatchAgainstEveryPattern(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "ab", "+", "", "a+"})
	patternGen := rapid.Custom(func(t *rapid.T) string {
		p := strings.Join(rapid.SliceOfN(segment, 1, 4).Draw(t, "segments"), "/")
		if rapid.Bool().Draw(t, "glob") && !strings.HasSuffix(p, "+") {
			p += "*"
		}
		return strings.TrimLeft(p, "/")
	})
	plain := rapid.SampledFrom([]string{"a", "b", "ab", "", "a+", "c"})
	rapid.Check(t, func(t *rapid.T) {
		patterns := rapid.SliceOfN(patternGen, 0, 12).Draw(t, "patterns")
		p := &Policy{Name: "p"}
		for _, pat := range patterns {
			p.Rules = append(p.Rules, Rule{Path: pat, Capabilities: CanRead})
		}
		acl := Compile([]*Policy{p})
		for range 10 {
			path := strings.TrimLeft(strings.Join(rapid.SliceOfN(plain, 1, 5).Draw(t, "path"), "/"), "/")
			for _, list := range []bool{false, true} {
				want, found := slowMatch(patterns, path, list)
				r := acl.match(path, list)
				if (r != nil) != found || found && r.text != want {
					t.Fatalf("%q (list %v) over %q: decided by %+v, want %q (%v)", path, list, patterns, r, want, found)
				}
			}
		}
	})
}

// TestMergeOrder: the order of policies decides nothing.
func TestMergeOrder(t *testing.T) {
	caps := rapid.Custom(func(t *rapid.T) Caps { return Caps(rapid.Uint16Range(0, 1<<capCount-1).Draw(t, "caps")) })
	rapid.Check(t, func(t *rapid.T) {
		var policies []*Policy
		for i := range rapid.IntRange(1, 4).Draw(t, "policies") {
			p := &Policy{Name: fmt.Sprint("p", i)}
			for _, path := range []string{"a", "a/*", "+/b"} {
				p.Rules = append(p.Rules, Rule{Path: path, Capabilities: caps.Draw(t, "c").effective()})
			}
			policies = append(policies, p)
		}
		forth := Compile(policies)
		slices.Reverse(policies)
		back := Compile(policies)
		for _, path := range []string{"a", "a/b", "x/b", "a/", "c"} {
			if f, b := forth.Capabilities(path), back.Capabilities(path); !slices.Equal(f, b) {
				t.Fatalf("%s: %v one way, %v the other", path, f, b)
			}
		}
	})
}

// TestDecideAllocates nothing, as long as no parameter must be read.
func TestDecideAllocates(t *testing.T) {
	acl := aclOf(t, `
path "secret/data/app" { capabilities = ["read", "update"] }
path "secret/metadata/app/" { capabilities = ["list"] }
path "secret/data/+/x" { capabilities = ["read"] }
path "secret/data/team/*" { capabilities = ["read"] }
path "param" { capabilities = ["update", "read"] denied_parameters = { x = [] } }`)
	for _, q := range []Query{
		{Path: "secret/data/app", Op: Read},
		{Path: "secret/data/app", Op: Update, Params: json.RawMessage(`{"data":{}}`)},
		{Path: "secret/data/app", Op: Delete},
		{Path: "secret/metadata/app", Op: List},
		{Path: "secret/data/q/x", Op: Read},
		{Path: "secret/data/team/a/b/c", Op: Read},
		{Path: "nowhere/at/all", Op: Read},
		{Path: "param", Op: Read},
	} {
		if n := testing.AllocsPerRun(100, func() { acl.Decide(q) }); n != 0 {
			t.Errorf("%s %s: %v allocations", q.Op, q.Path, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "path \"secret/data/app%d/+/*\" { capabilities = [\"read\"] }\n", i)
	}
	text.WriteString(Default)
	acl := aclOf(b, text.String())
	for name, path := range map[string]string{"exact": "auth/token/lookup-self", "wild": "secret/data/app77/x/y", "none": "x/y"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				acl.Decide(Query{Path: path, Op: Read})
			}
		})
	}
}

func aclOf(tb testing.TB, text string) *ACL {
	tb.Helper()
	p, err := Parse("p", text)
	if err != nil {
		tb.Fatal(err)
	}
	p, _ = p.Render(Subject{})
	return Compile([]*Policy{nil, p})
}

// TestVerdictHandsOn what the caller of Decide must see to.
func TestVerdictHandsOn(t *testing.T) {
	acl := aclOf(t, `path "a" {
  capabilities = ["read", "subscribe"]
  mfa_methods = ["duo", "duo"]
  subscribe_event_types = ["kv*"]
  control_group = { factor "f" { identity { group_names = ["g"] approvals = 1 } } }
}`)
	v := acl.Decide(Query{Path: "a", Op: Subscribe})
	if !v.Allowed || !slices.Equal(v.MFAMethods, []string{"duo"}) || !slices.Equal(v.EventTypes, []string{"kv*"}) || len(v.ControlGroups) != 1 {
		t.Fatalf("%+v", v)
	}
	if !slices.Equal(v.Granting, []Granting{{"p"}}) {
		t.Fatalf("granting %v", v.Granting)
	}
	if v := acl.Decide(Query{Path: "a", Op: 99}); v.Allowed || v.Reason != NoOperation {
		t.Fatalf("an unknown operation: %+v", v)
	}
	if s := (Verdict{}).Explain(); !strings.HasPrefix(s, "denied") {
		t.Fatal(s)
	}
}

// TestExplainKeepsValues to itself: a parameter may be a secret.
func TestExplainKeepsValues(t *testing.T) {
	acl := aclOf(t, `path "a" { capabilities = ["update"] allowed_parameters = { "k" = ["x"] } denied_parameters = { "d" = ["canary*"] } }`)
	for _, body := range []string{`{"k":"canary"}`, `{"d":"canary1"}`, `{"k":["canary"]}`, `{"k":"canary"`} {
		v := acl.Decide(Query{Path: "a", Op: Update, Params: json.RawMessage(body), WrapTTL: time.Second})
		if v.Allowed || strings.Contains(v.Explain()+fmt.Sprintf("%+v", v.query), "canary") {
			t.Errorf("%s: %s", body, v.Explain())
		}
	}
}

// BenchmarkExplain is what a denial costs besides the decision, under many rules
// that would have granted it.
func BenchmarkExplain(b *testing.B) {
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "path \"secret/data/app%d/*\" { capabilities = [\"read\"] }\n", i)
	}
	for i := range 20 {
		fmt.Fprintf(&text, "path \"%s*\" { capabilities = [\"update\"] }\n", "secret/data/app77/xyzxyzxyzxyz"[:10+i])
	}
	acl := aclOf(b, text.String())
	for name, path := range map[string]string{"broad": "secret/data/app77/xyzxyzxyz", "none": "x/y"} {
		b.Run(name, func(b *testing.B) {
			v := acl.Decide(Query{Path: path, Op: Delete})
			b.ReportAllocs()
			for b.Loop() {
				v.Explanation()
			}
		})
	}
}
