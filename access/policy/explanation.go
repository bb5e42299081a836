package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// An Explanation is a verdict in parts, for those who may see the policies.
type Explanation struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`  // one word for each step that can fail
	Because string `json:"because"` // a sentence
	// Rule is the pattern that decided and Policies are those that it is made
	// of, with the lines where it stands; empty if no pattern matched.
	Rule     string   `json:"rule,omitempty"`
	Policies []Source `json:"policies,omitempty"`
	// Remedy is the smallest rule that would allow the request, in a policy that
	// the caller holds; empty if none would.
	Remedy string `json:"remedy,omitempty"`
	// Note says what else the remedy does, or what to do where there is none.
	Note string `json:"note,omitempty"`
}

// A Source is where a policy says something.
type Source struct {
	Policy string `json:"policy"`
	Line   int    `json:"line"` // in its text, from 1; 0 for root, which has none
}

var reasonNames = [...]string{
	"none", "granted", "granted_to_root", "granted_help", "no_operation", "no_rule", "denied_by_rule",
	"missing_capability", "missing_sudo", "wrapping_required", "wrapping_too_short", "wrapping_too_long",
	"wrapping_impossible", "parameters_unreadable", "parameter_required", "parameter_denied",
	"parameter_not_allowed", "parameter_value_not_allowed",
}

func (r Reason) String() string { return reasonNames[r] }

// Explanation takes the verdict apart. Like Explain it holds no parameter's value.
func (v Verdict) Explanation() Explanation {
	e := Explanation{Allowed: v.Allowed, Reason: v.Reason.String(), Because: v.Explain()}
	if v.Root {
		e.Policies = []Source{{Policy: rootName}}
	}
	if v.rule != nil {
		e.Rule, e.Policies = v.rule.text, v.rule.from(0)
	}
	if !v.Allowed {
		e.Because = "denied: " + v.denial()
		e.Remedy, e.Note = v.remedy()
	}
	return e
}

// from lists where the rule stands, as far as it gives any of caps there; 0 is
// everywhere.
func (r *rule) from(caps Caps) []Source {
	var list []Source
	for _, s := range r.sources {
		if at := (Source{s.policy, s.line}); (caps == 0 || s.caps&caps != 0) && !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return list
}

// remedy is the smallest rule that would turn a denial into a grant. A rule for
// the very path takes the place of every broader one there; if the path has a
// rule already, the two add up.
func (v Verdict) remedy() (rule, note string) {
	path := v.exactPath()
	needs := v.query.Op.Needs()
	if v.query.Sudo {
		needs |= CanSudo
	}
	own := v.rule != nil && v.rule.text == path
	text := ruleText(path, needs, "")
	switch v.Reason {
	case NoRule:
	case DeniedByRule:
		if own {
			return "", "deny stands above every grant of the same path: only taking it out of " +
				v.rule.where(func(s source) bool { return s.caps == Deny }) + " would help"
		}
	case MissingCapability, MissingSudo:
		if own {
			text = ruleText(path, needs&^v.rule.caps, "")
		}
	case WrappingRequired, WrappingTooShort, WrappingTooLong:
		return "", "ask for a wrapped answer with a TTL of " + v.rule.wrapBounds()
	case ParamRequired:
		return "", fmt.Sprintf("send parameter %q", v.param)
	case ParamNotAllowed, ParamValueNotAllowed:
		if own {
			text = ruleText(path, needs, fmt.Sprintf("\n    %s = []\n  ", strconv.Quote(v.param)))
		}
	case ParamDenied, WrappingImpossible, ParamsUnreadable:
		if own {
			return "", "no further rule would help: the limits of all rules for the same path hold together"
		}
	default:
		return "", ""
	}
	if !writable(path, text) {
		return "", "this path cannot be written as a rule of its own"
	}
	if !own && v.rule != nil {
		note = fmt.Sprintf("at this path it takes the place of path %q, which gives %s", v.rule.text, quoted(v.rule.caps.Names()))
	}
	return text, note
}

func ruleText(path string, caps Caps, allowed string) string {
	if allowed != "" {
		allowed = "  allowed_parameters = {" + allowed + "}\n"
	}
	return fmt.Sprintf("path %s {\n  capabilities = [%s]\n%s}", strconv.Quote(path), quoted(caps.Names()), allowed)
}

// writable says whether a text is a rule for one literal path.
func writable(path, text string) bool {
	if path == "" || strings.HasPrefix(path, "/") || !newPattern(path).exact() || strings.ContainsFunc(path, unicode.IsControl) {
		return false
	}
	p, err := Parse("remedy", text)
	return err == nil && !p.Templated && len(p.Rules) == 1 && p.Rules[0].Path == path
}

// A Grant is what an ACL gives at the paths of one pattern.
type Grant struct {
	Path         string   `json:"path"` // the pattern
	Capabilities []string `json:"capabilities"`
	// Conditions say what else a request must meet.
	Conditions []string `json:"conditions,omitempty"`
	Policies   []Source `json:"policies"`
}

func (r *rule) grant(caps Caps) Grant {
	g := Grant{Path: r.text, Capabilities: r.caps.Names(), Policies: r.from(caps)}
	if r.caps == Deny {
		g.Policies = r.from(Deny)
		return g
	}
	if len(r.allowed) > 0 {
		g.Conditions = append(g.Conditions, "only some parameters are allowed")
	}
	if len(r.denied) > 0 {
		g.Conditions = append(g.Conditions, "some parameters are denied")
	}
	if len(r.required) > 0 {
		g.Conditions = append(g.Conditions, "requires parameters "+quoted(r.required))
	}
	if r.minWrap+r.maxWrap > 0 {
		g.Conditions = append(g.Conditions, "wrapped answers only, "+r.wrapBounds())
	}
	if len(r.mfa) > 0 {
		g.Conditions = append(g.Conditions, "after a second factor by "+quoted(r.mfa))
	}
	if len(r.controls) > 0 {
		g.Conditions = append(g.Conditions, "with the consent of a control group")
	}
	return g
}

// Gives returns how the ACL gives a capability at a path, nil if it does not.
// Conditions of the rule are named, not judged.
func (a *ACL) Gives(path string, c Caps) *Grant {
	if a.root {
		return &Grant{Path: "*", Capabilities: []string{rootName}, Policies: []Source{{Policy: rootName}}}
	}
	r := a.match(path, c&(CanList|CanScan) != 0)
	if r == nil || c == 0 || !r.caps.Has(c) || r.caps == Deny {
		return nil
	}
	g := r.grant(c)
	return &g
}

// Everything lists what the ACL says, denials too, in the order of the patterns.
func (a *ACL) Everything() []Grant {
	if a.root {
		return []Grant{*a.Gives("", CanRead)}
	}
	var all []Grant
	for _, r := range a.rules() {
		all = append(all, r.grant(0))
	}
	return all
}

// rules are all rules in the order of their patterns.
func (a *ACL) rules() []*rule {
	list := slices.Clone(a.ranked)
	for _, r := range a.exact {
		list = append(list, r)
	}
	slices.SortFunc(list, func(x, y *rule) int { return strings.Compare(x.text, y.text) })
	return list
}

// CapabilityNamed reads the name of one capability. Deny is none to ask for.
func CapabilityNamed(name string) (Caps, bool) {
	c, ok := capNamed(name)
	return c, ok && c != Deny
}
