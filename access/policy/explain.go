package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Explain says in a sentence why the verdict fell. It names paths, policies,
// lines and parameters, never the value of a parameter. It is for those who may
// see the policies; the caller of a denied request is told "permission denied".
func (v Verdict) Explain() string {
	if v.Allowed {
		return "allowed: " + v.grant()
	}
	rule, _ := v.remedy()
	if v.Reason != NoRule || rule == "" {
		return "denied: " + v.denial()
	}
	return fmt.Sprintf("denied: %s; %s would allow it", v.denial(), strings.Join(strings.Fields(rule), " "))
}

func (v Verdict) grant() string {
	switch v.Reason {
	case GrantedToRoot:
		return "the root policy passes every check"
	case GrantedHelp:
		return "help is open to every token"
	}
	by := make([]string, 0, len(v.Granting))
	for _, g := range v.Granting {
		by = append(by, g.Policy)
	}
	return fmt.Sprintf("%s of %q is granted by path %q in %s", v.query.Op, v.query.Path, v.rule.text, v.rule.where(func(s source) bool {
		return s.caps.Has(v.query.Op.Needs()) && slices.Contains(by, s.policy)
	}))
}

func (v Verdict) denial() string {
	op, path := v.query.Op, v.query.Path
	switch v.Reason {
	case NoOperation, 0:
		return "the request asks for no known operation"
	case NoRule:
		return fmt.Sprintf("%s %q", nowhere(v.acl.names), path)
	}
	at := fmt.Sprintf("path %q in %s", v.rule.text, v.rule.where(nil))
	switch v.Reason {
	case DeniedByRule:
		return fmt.Sprintf("path %q in %s says deny%s", v.rule.text, v.rule.where(func(s source) bool { return s.caps == Deny }), v.overruled())
	case MissingCapability:
		return fmt.Sprintf("%s of %q needs %q, but the most specific match, %s, gives %s%s",
			op, path, op.Needs(), at, quoted(v.rule.caps.Names()), v.overruled())
	case MissingSudo:
		return fmt.Sprintf("%q needs \"sudo\" besides %q, which %s does not give", path, op.Needs(), at)
	case WrappingRequired:
		return fmt.Sprintf("%s allows wrapped answers only (%s); ask for one with a wrap TTL", at, v.rule.wrapBounds())
	case WrappingTooShort, WrappingTooLong:
		return fmt.Sprintf("the wrap TTL %s is outside the bounds of %s (%s)", v.query.WrapTTL, at, v.rule.wrapBounds())
	case WrappingImpossible:
		return fmt.Sprintf("%s allows no wrap TTL at all (%s)", at, v.rule.wrapBounds())
	case ParamsUnreadable:
		return fmt.Sprintf("%s constrains parameters, and those of the request are not a readable JSON object", at)
	case ParamRequired:
		return fmt.Sprintf("%s requires parameter %q", at, v.param)
	case ParamDenied:
		return fmt.Sprintf("%s denies parameter %q or its value", at, v.param)
	case ParamNotAllowed:
		return fmt.Sprintf("parameter %q is not among the allowed parameters of %s", v.param, at)
	case ParamValueNotAllowed:
		return fmt.Sprintf("the value of parameter %q is not among those allowed by %s", v.param, at)
	}
	return "for no reason that has a name"
}

// exactPath is the path that a rule for the request would have.
func (v Verdict) exactPath() string {
	if v.query.Op == List || v.query.Op == Scan {
		return strings.TrimSuffix(v.query.Path, "/") + "/"
	}
	return v.query.Path
}

// maxOverruled is how many broader rules an explanation names.
const maxOverruled = 5

// overruled names the broader rules that would have granted the request: that
// only the most specific match counts is what surprises people most.
func (v Verdict) overruled() string {
	both := v.query.Op == List || v.query.Op == Scan
	path := strings.TrimLeft(v.query.Path, "/")
	if both {
		path = strings.TrimSuffix(path, "/")
	}
	var ranks []int
	v.acl.trie.each(path, both, func(rank int) { ranks = append(ranks, rank) })
	slices.Sort(ranks)
	var would []string
	for _, rank := range slices.Backward(slices.Compact(ranks)) {
		r := v.acl.ranked[rank-1]
		if r == v.rule || !r.caps.Has(v.query.Op.Needs()) {
			continue
		}
		if len(would) == maxOverruled {
			would = append(would, "others")
			break
		}
		would = append(would, fmt.Sprintf("path %q in %s", r.text, r.where(nil)))
	}
	if would == nil {
		return ""
	}
	return "; it overrides " + strings.Join(would, " and ")
}

// where lists the sources that pass the filter.
func (r *rule) where(filter func(source) bool) string {
	var list []string
	for _, s := range r.sources {
		if filter == nil || filter(s) {
			list = append(list, fmt.Sprintf("policy %q (line %d)", s.policy, s.line))
		}
	}
	return strings.Join(list, " and ")
}

func (r *rule) wrapBounds() string {
	var list []string
	if r.minWrap > 0 {
		list = append(list, "at least "+r.minWrap.String())
	}
	if r.maxWrap > 0 {
		list = append(list, "at most "+r.maxWrap.String())
	}
	return strings.Join(list, ", ")
}

func nowhere(policies []string) string {
	switch len(policies) {
	case 0:
		return "there is no policy that could match"
	case 1:
		return "no path in policy " + quoted(policies) + " matches"
	}
	return "no path in policies " + quoted(policies) + " matches"
}

func quoted(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(list, ", ")
}
