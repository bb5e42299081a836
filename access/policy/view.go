package policy

import "strings"

// Capabilities answers sys/capabilities: what may be done at path, in
// alphabetical order; ["root"] for the root policy and ["deny"] for nothing.
func (a *ACL) Capabilities(path string) []string {
	if a.root {
		return []string{rootName}
	}
	r := a.match(path, strings.HasSuffix(path, "/"))
	if r == nil || r.caps == 0 {
		return Deny.Names()
	}
	return r.caps.Names()
}

// IsRoot reports whether the root policy is among those compiled.
func (a *ACL) IsRoot() bool { return a.root }

// HasAnyUnder reports whether anything at all is granted at prefix (a mount's
// path, ending in a slash) or below it. It is for hiding mounts from those who
// cannot use them, so a broad grant under a narrow deny may still count.
func (a *ACL) HasAnyUnder(prefix string) bool {
	if a.root {
		return true
	}
	for path, r := range a.exact {
		if r.grants() && (strings.HasPrefix(path, prefix) || path == strings.TrimSuffix(prefix, "/")) {
			return true
		}
	}
	for _, r := range a.ranked {
		if r.grants() && r.reaches(prefix) {
			return true
		}
	}
	r := a.match(prefix, true)
	return r != nil && r.grants()
}

func (r *rule) grants() bool { return r.caps != 0 && r.caps != Deny }

// A PathGrant is what sys/internal/ui/resultant-acl says about one path.
type PathGrant struct {
	Allowed      map[string][]Value `json:"allowed_parameters,omitempty"`
	Capabilities []string           `json:"capabilities"`
	Denied       map[string][]Value `json:"denied_parameters,omitempty"`
}

// Resultant lists everything that the ACL says: exact paths, and prefixes (the
// pattern without its final *, any + kept). For root both are empty.
func (a *ACL) Resultant() (exact, glob map[string]PathGrant) {
	exact, glob = map[string]PathGrant{}, map[string]PathGrant{}
	if a.root {
		return exact, glob
	}
	for path, r := range a.exact {
		exact[path] = r.view()
	}
	for _, r := range a.ranked {
		key := r.body
		if _, taken := glob[key]; taken { // "a/+/" and "a/+/*"
			key = r.text
		}
		glob[key] = r.view()
	}
	return exact, glob
}

func (r *rule) view() PathGrant {
	g := PathGrant{Allowed: r.allowed, Denied: r.denied, Capabilities: r.caps.Names()}
	if r.caps == 0 {
		g.Capabilities = Deny.Names()
	}
	return g
}
