package password_test

import (
	"crypto/rand"
	"math"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/access/password"
)

func rule(set, rest string) string {
	return "rule \"charset\" {\n charset = \"" + set + "\"\n " + rest + "\n}\n"
}

func TestPolicies(t *testing.T) {
	const lower, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
	for _, c := range []struct{ text, err string }{
		{"length = 20\n" + rule(lower, "min-chars = 1") + rule(digits, "min-chars = 3"), ""},
		{"length = 4\n" + rule("ab", ""), ""},
		{"length = 100\n" + rule("ab", ""), ""},
		{`{"length":20,"rule":[{"charset":{"charset":"abc","min-chars":1}},{"charset":{"charset":"012"}}]}`, ""},
		{"length = 8\n" + rule("äöü€", "min-chars = 8"), ""},
		{"length = 3\n" + rule("ab", ""), "passwords must be between 4 and 100 characters"},
		{"length = 101\n" + rule("ab", ""), "passwords must be between 4 and 100 characters"},
		{rule("ab", ""), "passwords must be between 4 and 100 characters"},
		{"length = 20", "no charset specified"},
		{"length = 20\nrule \"charset\" {}", "charset cannot be empty"},
		{"length = 20\n" + rule("", ""), "charset cannot be empty"},
		{"length = 20\n" + rule("a\\n", ""), "cannot be printed"},
		{"length = 20\n" + rule("a\xff", ""), "invalid password policy"},
		{"length = 4\n" + rule("a", "min-chars = 9"), "specified rules require at least 9 characters but 4 is specified"},
		{"length = 6\n" + rule("a", "min-chars = 4") + rule("b", "min-chars = 3"), "specified rules require at least 7 characters but 6 is specified"},
		{"length = 6\n" + rule("a", "min-chars = -1"), "invalid password policy"},
		{"length = 40\n" + rule(lower, "") + rule("0", "min-chars = 30"), "too few passwords"},
		{"length = 20\nrule \"words\" { charset = \"ab\" }", `unknown rule "words"`},
		{"length = 20\nwidth = 3\n" + rule("ab", ""), `unknown key "width"`},
		{"length = 20\n" + rule("ab", "max-chars = 3"), `unknown key "max-chars"`},
		{"length = \"20\"\n" + rule("ab", ""), "want a whole number"},
		{"length = ", "invalid password policy"},
		{"{", "invalid password policy"},
		{`{"length":20,"rule":[{"words":{}}]}`, "invalid password policy"},
		{`{"length":20,"rule":[{}]}`, "not a charset"},
		{strings.Repeat("#", 70000), "the limit is"},
		{strings.Repeat("a {", 20000), "invalid password policy"},
		{"\x00", "NUL"},
	} {
		_, err := password.Parse(c.text, rand.Reader)
		switch {
		case c.err == "" && err != nil, c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%.80q: %v, want %q", c.text, err, c.err)
		}
	}
}

// A password has what the rules ask for, and every one that has is as likely as
// any other.
func TestPasswordsFitAndAreEquallyLikely(t *testing.T) {
	p, err := password.Parse("length = 4\n"+rule("ab", "min-chars = 1")+rule("c", "min-chars = 1"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const drawn = 13000
	seen := map[string]int{}
	for range drawn {
		s, err := p.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if len(s) != 4 || !strings.ContainsAny(s, "ab") || !strings.Contains(s, "c") || strings.Trim(s, "abc") != "" {
			t.Fatalf("%q does not fit", s)
		}
		seen[s]++
	}
	const possible = 3*3*3*3 - 2*2*2*2 - 1 // all, less those without c, less cccc
	if len(seen) != possible {
		t.Fatalf("%d passwords were seen, %d are possible", len(seen), possible)
	}
	chi := 0.0
	for _, n := range seen {
		chi += math.Pow(float64(n)-drawn/possible, 2) / (drawn / possible)
	}
	if chi > 150 { // 63 degrees of freedom: less than once in ten million
		t.Errorf("chi-squared is %.0f", chi)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("length = 20\n" + rule("ab", "min-chars = 1"))
	f.Add(`{"length":20,"rule":[{"charset":{"charset":"abc","min-chars":1}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := password.Parse(text, rand.Reader)
		if err != nil {
			return
		}
		s, err := p.Generate(rand.Reader)
		if err != nil || len([]rune(s)) != p.Length {
			t.Errorf("%q: %q, %v", text, s, err)
		}
	})
}
