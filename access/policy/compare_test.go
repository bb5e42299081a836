package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a path gains or loses, a change that matches the path says so.
func TestCompareMissesNothing(t *testing.T) {
	often(t, func(t *rapid.T) {
		before, after := drawPolicies(t), drawPolicies(t)
		if rapid.Bool().Draw(t, "related") {
			after = append(after, before...)
		}
		old, new := Compile(before), Compile(after)
		changes, all := Compare(old, new)
		if !all {
			t.Fatal("overlaps were left out")
		}
		for range 25 {
			q := drawQuery(t)
			q.Sudo = false
			had, has := capableOf(old, q), capableOf(new, q)
			if had == has {
				continue
			}
			if !slices.ContainsFunc(changes, func(c Change) bool {
				said := c.Gained
				if had {
					said = c.Lost
				}
				return slices.Contains(said, q.Op.String()) && matches(c.Path, q)
			}) {
				t.Fatalf("%s %s: %v before, %v after; not among %+v\nbefore\n%safter\n%s", q.Op, q.Path, had, has, changes, texts(before), texts(after))
			}
		}
	})
}

func capableOf(a *ACL, q Query) bool { return a.Gives(q.Path, q.Op.Needs()) != nil }

// matches reads a + as the rest of a segment: half a segment and a + meet in
// what no policy could spell.
func matches(pattern string, q Query) bool {
	text := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSuffix(pattern, "*")), `\+`, "[^/]*")
	if strings.HasSuffix(pattern, "*") {
		text += ".*"
	}
	if q.Op == List { // a/ and a are one to a listing
		text = strings.TrimSuffix(text, "/") + "/?"
	}
	return regexp.MustCompile("^"+text+"$").MatchString(q.Path) ||
		q.Op == List && regexp.MustCompile("^"+text+"$").MatchString(q.Path+"/")
}

func TestCompare(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{`path "a/*" { capabilities = ["read"] }`, `path "a/*" { capabilities = ["read"] }`, ""},
		{`path "a/*" { capabilities = ["read"] }`, ``, "a/* -read"},
		{``, `path "a" { capabilities = ["read","list"] }`, "a +list+read"},
		{`path "a/*" { capabilities = ["read","list"] }`, `path "a/*" { capabilities = ["read","update"] }`, "a/* +update-list"},
		// A rule that is more special takes away what the broader one gives.
		{`path "a/*" { capabilities = ["read"] }`, `path "a/*" { capabilities = ["read"] } path "a/b" { capabilities = ["deny"] }`, "a/b -read"},
		{`path "a/*" { capabilities = ["read"] }`, `path "a/*" { capabilities = ["read"] } path "a/b" { capabilities = ["list"] }`, "a/b +list-read"},
		// Where two patterns meet, another decides than before.
		{`path "a/+/c" { capabilities = ["read"] }`, `path "a/+/c" { capabilities = ["read"] } path "a/b/*" { capabilities = ["update"] }`,
			"a/b/* +update, a/b/c +update-read"},
		{`path "a" { capabilities = ["update"] }`, `path "a" { capabilities = ["update"] denied_parameters = { "x" = [] } }`, "a ~"},
		{`path "a" { capabilities = ["update"] }`, `path "a" { capabilities = ["update"] } # the same`, ""},
		// One of two that say the same of a listing stays.
		{`path "a/+" { capabilities = ["list"] }`, `path "a/+" { capabilities = ["list"] } path "a/+/" { capabilities = ["deny"] } path "a/*" { capabilities = ["deny"] }`,
			"a/+/ -list"},
	} {
		var got []string
		changes, _ := Compare(aclOf(t, c.before), aclOf(t, c.after))
		for _, ch := range changes {
			text := ch.Path + " "
			for _, g := range ch.Gained {
				text += "+" + g
			}
			for _, l := range ch.Lost {
				text += "-" + l
			}
			if ch.Conditions {
				text += "~"
			}
			got = append(got, text)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s\n%s\n%s, want %s", c.before, c.after, s, c.want)
		}
	}
	root, _ := Compare(aclOf(t, ""), Compile([]*Policy{Root()}))
	if len(root) != 1 || root[0].Path != "*" || len(root[0].Gained) != capCount-1 {
		t.Error(fmt.Sprint(root))
	}
}

// Where there are too many rules to look at every two of them, that is said.
func TestCompareSaysWhatItLeftOut(t *testing.T) {
	rules := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "path \"a%d/*\" { capabilities = [\"read\"] }\n", i)
		}
		return b.String()
	}
	for n, want := range map[int]bool{223: true, 224: false} { // two patterns each: 446² is below the bound
		if list, all := Compare(aclOf(t, ""), aclOf(t, rules(n))); all != want || len(list) != n {
			t.Errorf("of %d rules: %d changes, all told: %t", n, len(list), all)
		}
	}
}
