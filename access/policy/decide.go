package policy

import (
	"encoding/json"
	"math/bits"
	"time"
)

// A Query is what a request asks of an ACL.
type Query struct {
	Path string // canonical, without a leading slash
	Op   Operation
	// Params is the JSON object of the request's parameters; empty is none.
	// It is read only if the deciding rule constrains parameters.
	Params  json.RawMessage
	WrapTTL time.Duration // asked for by the caller; 0 if the answer is not to be wrapped
	Sudo    bool          // the route needs sudo besides
}

// A Reason says which step of a decision came to its end.
type Reason uint8

// The reasons, in the order in which a request meets them.
const (
	Granted Reason = iota + 1
	GrantedToRoot
	GrantedHelp
	NoOperation       // the query asks for nothing that exists
	NoRule            // no pattern matches the path
	DeniedByRule      // the deciding rule says deny
	MissingCapability // the deciding rule does not give what the operation needs
	MissingSudo
	WrappingRequired
	WrappingTooShort
	WrappingTooLong
	WrappingImpossible // merged limits leave no TTL that would do
	ParamsUnreadable   // the rule constrains parameters, which are not a JSON object
	ParamRequired
	ParamDenied
	ParamNotAllowed
	ParamValueNotAllowed
)

// A Verdict is the answer to a Query. The zero Verdict is a denial.
type Verdict struct {
	Allowed      bool
	Root         bool // by the root policy, which passes every check
	Reason       Reason
	Capabilities Caps       // of the deciding rule
	Granting     []Granting // whose policies gave the capability; nil if denied
	// What else must happen before the request, or its answer, may pass. The
	// caller of Decide must enforce these or refuse.
	MFAMethods    []string
	ControlGroups []*ControlGroup
	EventTypes    []string // what CanSubscribe reaches

	param string // the parameter that failed
	query Query  // without Params
	rule  *rule
	acl   *ACL
}

// Path is the path that was asked about.
func (v Verdict) Path() string { return v.query.Path }

// Decide answers a query. Slices of the verdict belong to the ACL and must not
// be changed.
func (a *ACL) Decide(q Query) Verdict {
	v := Verdict{acl: a, query: q}
	v.query.Params = nil
	switch {
	case q.Op == Help:
		return v.allow(GrantedHelp, nil)
	case q.Op.Needs() == 0:
		v.Reason = NoOperation
		return v
	case a.root:
		v.Root = true
		return v.allow(GrantedToRoot, rootGranting)
	}
	r := a.match(q.Path, q.Op == List || q.Op == Scan)
	if r == nil {
		v.Reason = NoRule
		return v
	}
	v.rule, v.Capabilities = r, r.caps
	if v.Reason = r.capabilityFor(q); v.Reason != 0 {
		return v
	}
	if v.Reason = r.wrapping(q.WrapTTL); v.Reason != 0 {
		return v
	}
	if r.paramsMatter && operations[q.Op].params {
		if v.Reason, v.param = r.params(q.Params); v.Reason != 0 {
			return v
		}
	}
	v.MFAMethods, v.ControlGroups, v.EventTypes = r.mfa, r.controls, r.events
	return v.allow(Granted, r.granting[bits.TrailingZeros16(uint16(q.Op.Needs()))])
}

func (v Verdict) allow(why Reason, by []Granting) Verdict {
	v.Allowed, v.Reason, v.Granting = true, why, by
	return v
}

// Each of the following returns 0 if the query passes.

func (r *rule) capabilityFor(q Query) Reason {
	switch {
	case r.caps == Deny:
		return DeniedByRule
	case !r.caps.Has(q.Op.Needs()):
		return MissingCapability
	case q.Sudo && !r.caps.Has(CanSudo):
		return MissingSudo
	}
	return 0
}

func (r *rule) wrapping(ttl time.Duration) Reason {
	switch {
	case r.minWrap == 0 && r.maxWrap == 0:
		return 0
	case r.maxWrap > 0 && r.maxWrap < r.minWrap:
		return WrappingImpossible
	case ttl <= 0:
		return WrappingRequired
	case ttl < r.minWrap:
		return WrappingTooShort
	case r.maxWrap > 0 && ttl > r.maxWrap:
		return WrappingTooLong
	}
	return 0
}

// params judges every member of the body, repeated ones included, and names the
// first that fails.
func (r *rule) params(body json.RawMessage) (Reason, string) {
	seen := map[string]bool{}
	var fail Reason
	var failed string
	for key, got := range params(body) {
		if got.err != nil {
			return ParamsUnreadable, ""
		}
		folded := foldKey(key)
		seen[folded] = true
		if fail == 0 {
			fail, failed = r.param(folded, got.Value), key
		}
	}
	for _, key := range r.required {
		if !seen[key] {
			return ParamRequired, key
		}
	}
	return fail, failed
}

// param judges one parameter. As in Vault, a "*" key counts whatever its values
// are: among the denied it denies all, among the allowed it admits any value of
// a parameter that is not listed.
func (r *rule) param(key string, got Value) Reason {
	if _, all := r.denied["*"]; all {
		return ParamDenied
	}
	if values, ok := r.denied[key]; ok && denied(values, got) {
		return ParamDenied
	}
	if len(r.allowed) == 0 {
		return 0
	}
	values, ok := r.allowed[key]
	if !ok {
		if _, all := r.allowed["*"]; all {
			return 0
		}
		return ParamNotAllowed
	}
	if !allowed(values, got) {
		return ParamValueNotAllowed
	}
	return 0
}
