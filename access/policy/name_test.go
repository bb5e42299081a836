package policy

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestNormalizeList(t *testing.T) {
	for _, c := range []struct {
		in         []string
		addDefault bool
		want       []string
	}{
		{nil, false, []string{}},
		{nil, true, []string{"default"}},
		{[]string{"b", " A ", "a", ""}, true, []string{"a", "b", "default"}},
		{[]string{"default", "z"}, true, []string{"default", "z"}},
		{[]string{"z", "root", "default"}, true, []string{"root"}},
		{[]string{"z", "\u2003ROOT\t"}, false, []string{"root"}},
		{[]string{"Root"}, true, []string{"root"}},
	} {
		if got := NormalizeList(c.in, c.addDefault); !slices.Equal(got, c.want) {
			t.Errorf("%q, default %v: %q, want %q", c.in, c.addDefault, got, c.want)
		}
	}
}

func TestImmutable(t *testing.T) {
	for _, c := range []struct{ name, write, remove string }{
		{"root", `cannot update "root" policy`, `cannot delete "root" policy`},
		{" ROOT", `cannot update "root" policy`, `cannot delete "root" policy`},
		{"default", "", "cannot delete default policy"},
		{"response-wrapping", `cannot update "response-wrapping" policy`, `cannot delete "response-wrapping" policy`},
		{"control-group", `cannot update "control-group" policy`, `cannot delete "control-group" policy`},
		{"mine", "", ""},
	} {
		check(t, c.name, CheckWritable(c.name), c.write)
		check(t, c.name, CheckDeletable(c.name), c.remove)
	}
	if !Hidden("Response-Wrapping") || Hidden("default") {
		t.Error("lists show what they should not, or the other way round")
	}
}

func check(t *testing.T, name string, err error, want string) {
	t.Helper()
	var immutable *ImmutableError
	if want == "" && err != nil || want != "" && (!errors.As(err, &immutable) || fmt.Sprint(err) != want) {
		t.Errorf("%q: %v, want %q", name, err, want)
	}
}

// TestBuiltins are policies like any other, and give what they promise.
func TestBuiltins(t *testing.T) {
	p, err := Parse("default", Default)
	if err != nil {
		t.Fatal(err)
	}
	p, dropped := p.Render(Subject{Entity: &Entity{ID: "e1", Name: "bob"}})
	if dropped != nil {
		t.Fatal(dropped)
	}
	acl := Compile([]*Policy{p})
	for _, q := range []Query{
		{Path: "auth/token/lookup-self", Op: Read},
		{Path: "auth/token/renew-self", Op: Update},
		{Path: "auth/token/revoke-self", Op: Update},
		{Path: "sys/capabilities-self", Op: Update},
		{Path: "sys/internal/ui/resultant-acl", Op: Read},
		{Path: "identity/entity/id/e1", Op: Read},
		{Path: "identity/entity/name/bob", Op: Read},
		{Path: "sys/leases/renew", Op: Update},
		{Path: "sys/renew", Op: Update},
		{Path: "sys/leases/lookup", Op: Update},
		{Path: "cubbyhole/a/b", Op: Create},
		{Path: "cubbyhole", Op: List},
		{Path: "sys/wrapping/unwrap", Op: Update},
		{Path: "sys/tools/hash/sha2-256", Op: Update},
		{Path: "sys/control-group/request", Op: Update},
		{Path: "identity/oidc/provider/main/authorize", Op: Read},
	} {
		if v := acl.Decide(q); !v.Allowed {
			t.Error(v.Explain())
		}
	}
	for _, q := range []Query{
		{Path: "identity/entity/id/e2", Op: Read},
		{Path: "sys/leases/revoke", Op: Update},
		{Path: "auth/token/create", Op: Update},
		{Path: "sys/mounts", Op: Read},
	} {
		if v := acl.Decide(q); v.Allowed {
			t.Error(v.Explain())
		}
	}
	for name, text := range map[string]string{"response-wrapping": ResponseWrapping, "control-group": ControlGroupText} {
		if _, err := Parse(name, text); err != nil {
			t.Error(err)
		}
	}
}
