package quota

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// slow finds the narrowest scope by looking at each.
func slow(scopes []Scope, namespace, path string) *Scope {
	var best *Scope
	narrow := -1
	for i := range scopes {
		s := &scopes[i]
		how := -1
		rest, inMount := strings.CutPrefix(path+"/", s.Mount)
		rest = strings.TrimSuffix(rest, "/")
		switch {
		case s.Role != "":
		case s.Namespace == "" && s.Mount == "":
			how = 0
		case s.Mount == "" && (s.Namespace == namespace || s.Inheritable && strings.HasPrefix(namespace, s.Namespace)):
			how = 1000 + len(s.Namespace)
		case s.Mount == "" || s.Namespace != namespace || !inMount:
		case s.Rest == "":
			how = 2000
		case s.Glob && strings.HasPrefix(rest, s.Rest):
			how = 3000 + len(s.Rest)
		case !s.Glob && s.Rest == rest:
			how = 4000
		}
		if how > narrow {
			best, narrow = s, how
		}
	}
	return best
}

// The index finds what a look at every quota finds.
func TestTheNarrowestScopeIsFound(t *testing.T) {
	pick := func(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }
	spaces := []string{"", "a/", "a/b/", "c/"}
	mounts := []string{"q/", "auth/up/", "qq/"}
	paths := []string{"", "x", "x/y", "xy", "x/y/z", "y"}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		ix := &index[Scope]{}
		var scopes []Scope
		for range 1 + r.IntN(12) {
			s := Scope{Namespace: pick(r, spaces...)}
			if r.IntN(4) > 0 {
				s.Mount, s.Rest = pick(r, mounts...), pick(r, paths...)
				s.Glob = s.Rest != "" && r.IntN(2) == 0
			} else {
				s.Inheritable = s.Namespace == "" || r.IntN(2) == 0
			}
			if s.Mount != "" && s.Rest == "" && r.IntN(4) == 0 {
				s.Role = "r"
			}
			taken := false
			for i := range scopes {
				taken = taken || scopes[i].same(&s)
			}
			if !taken {
				scopes = append(scopes, s)
			}
		}
		for i := range scopes {
			ix.add(&scopes[i], &scopes[i])
		}
		for range 50 {
			space, path := pick(r, spaces...), strings.TrimSuffix(pick(r, mounts...)+pick(r, paths...), "/")
			if got, want := ix.find(space, path), slow(scopes, space, path); got != want {
				t.Fatalf("seed %d: %s in %q lies in %+v, found %+v", seed, path, space, want, got)
			}
		}
	}
}
