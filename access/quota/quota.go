// Package quota bounds what callers may take: requests in a time (rate limits),
// leases at a time (lease counts), and guesses at a password (lockouts).
//
// It owns the ranges storage.Quotas and storage.Lockouts, and the buckets in
// memory that rate limits are counted in.
//
// It promises that a request within its quota allocates nothing here, that one
// beyond costs the same however often it comes and whatever it carries, that the
// memory of the buckets is bounded however many clients there are, and that a
// count of leases or of failed logins is exact: it commits with what it counts.
// Rate limits are each node's own, and begin anew with the process.
package quota

import (
	"cmp"
	"slices"
	"strings"
)

// A Scope is what a quota is for. Of the quotas that a request lies in, the one
// with the narrowest scope counts: role, path, mount, namespace, everything.
type Scope struct {
	Path      string `json:"path"`      // as it was written; "" is everything
	Namespace string `json:"namespace"` // path with its slash; "" is the root namespace
	Mount     string `json:"mount"`     // path with its slash, in the namespace; "" is all of it
	Rest      string `json:"rest"`      // below the mount, without a slash at its end; "" is all of it
	Glob      bool   `json:"glob"`      // Rest is the beginning of a path
	Role      string `json:"role"`      // logins for this role only
	// Inheritable has a quota of a namespace count for those below it too,
	// together with its own.
	Inheritable bool `json:"inheritable"`
}

// everything says whether the scope leaves nothing out.
func (s *Scope) everything() bool { return s.Namespace == "" && s.Mount == "" }

// same says whether two scopes are of the same requests.
func (s *Scope) same(t *Scope) bool {
	return s.Namespace == t.Namespace && s.Mount == t.Mount && s.Rest == t.Rest && s.Glob == t.Glob && s.Role == t.Role
}

// An index finds the quota of the narrowest scope.
type index[T any] struct {
	all    *T
	spaces map[string]inherited[T]
	mounts map[place]*within[T]
}

// A place is a mount: the path of its namespace, and its own without the slash.
type place struct{ namespace, mount string }

type inherited[T any] struct {
	quota *T
	below bool // it counts in the namespaces below too
}

// within is the quotas of one mount and of paths in it.
type within[T any] struct {
	whole *T
	exact map[string]*T
	begin []beginning[T] // longest first
	roles map[string]*T
}

type beginning[T any] struct {
	of    string
	quota *T
}

func (ix *index[T]) add(s *Scope, q *T) {
	switch {
	case s.everything():
		ix.all = q
		return
	case s.Mount == "":
		if ix.spaces == nil {
			ix.spaces = make(map[string]inherited[T])
		}
		ix.spaces[s.Namespace] = inherited[T]{q, s.Inheritable}
		return
	}
	at := place{s.Namespace, strings.TrimSuffix(s.Mount, "/")}
	if ix.mounts == nil {
		ix.mounts = make(map[place]*within[T])
	}
	w := ix.mounts[at]
	if w == nil {
		w = &within[T]{exact: make(map[string]*T)}
		ix.mounts[at] = w
	}
	switch {
	case s.Role != "":
		if w.roles == nil {
			w.roles = make(map[string]*T)
		}
		w.roles[s.Role] = q
	case s.Glob:
		w.begin = append(w.begin, beginning[T]{s.Rest, q})
		slices.SortFunc(w.begin, func(a, b beginning[T]) int { return cmp.Compare(len(b.of), len(a.of)) })
	case s.Rest != "":
		w.exact[s.Rest] = q
	default:
		w.whole = q
	}
}

// at gives the quotas of the mount that a path of a namespace lies in, or nil,
// and the rest of the path.
func (ix *index[T]) at(namespace, path string) (*within[T], string) {
	if ix.mounts == nil {
		return nil, ""
	}
	for i := 0; i < len(path); i++ {
		if path[i] == '/' {
			if w := ix.mounts[place{namespace, path[:i]}]; w != nil {
				return w, path[i+1:] // mounts do not nest
			}
		}
	}
	return ix.mounts[place{namespace, path}], ""
}

// find gives the quota of a request that is not for a role, or nil.
func (ix *index[T]) find(namespace, path string) *T {
	if w, rest := ix.at(namespace, path); w != nil {
		if q := w.find(rest); q != nil {
			return q
		}
	}
	if ix.spaces != nil {
		for at := namespace; at != ""; at = parent(at) {
			if s := ix.spaces[at]; s.quota != nil && (at == namespace || s.below) {
				return s.quota
			}
		}
	}
	return ix.all
}

func (w *within[T]) find(rest string) *T {
	if len(w.exact) > 0 {
		if q := w.exact[strings.TrimSuffix(rest, "/")]; q != nil {
			return q
		}
	}
	for i := range w.begin {
		if strings.HasPrefix(rest, w.begin[i].of) {
			return w.begin[i].quota
		}
	}
	return w.whole
}

// parent is the namespace that holds one: "a/" of "a/b/", and "" of "a/".
func parent(namespace string) string {
	return namespace[:strings.LastIndexByte(namespace[:len(namespace)-1], '/')+1]
}
