// Package policy owns what a policy says: its text, what it means, and the
// decision that follows for one request.
//
// The way of a policy is Parse, then Render if it is Templated, then Compile
// together with the caller's other policies into an ACL, then Decide. An ACL
// never changes and may be used by any number of goroutines at once; whoever
// keeps one replaces it when a policy or the caller changes.
//
// It promises three things. No text makes it panic, and no text that it cannot
// understand whole is accepted. Every Verdict can say in a sentence which rule
// of which policy decided and what was missing, without ever repeating a
// parameter's value. And a decision on a rule without parameter constraints
// allocates nothing.
//
// It does not store policies, does not know HTTP, mounts or namespaces, and does
// not enforce second factors or control groups: a Verdict hands those on.
package policy

import "time"

// A Policy is one parsed text.
type Policy struct {
	Name string // lower case
	Text string // as it was written
	// Rules stand in the order of the text. The same path may occur twice;
	// Compile merges them as it merges those of different policies.
	Rules []Rule
	// Templated is set if a path holds a {{variable}}. Such a policy grants
	// nothing until Render has filled it for a Subject.
	Templated bool
}

// A Rule says what may be done at the paths of one pattern.
type Rule struct {
	// Path is the pattern without a leading slash. A trailing * stands for
	// anything, a segment that is + for any one segment; both are ordinary
	// characters elsewhere.
	Path string
	Line int // where the rule begins in Text; lines count from 1

	Capabilities Caps

	// Allowed and Denied map a parameter's folded name, or "*", to the values
	// that the rule is about; an empty list means any value. Nil means that
	// the rule has no opinion.
	Allowed  map[string][]Value
	Denied   map[string][]Value
	Required []string // folded names of parameters that must be sent

	// Either of these makes wrapping of the answer compulsory. Zero is unset.
	MinWrappingTTL time.Duration
	MaxWrappingTTL time.Duration

	MFAMethods   []string      // second factors to ask for before the request
	ControlGroup *ControlGroup // people whose consent the answer waits for
	EventTypes   []string      // event types that CanSubscribe reaches
}

// A ControlGroup names those who must consent before an answer is released.
type ControlGroup struct {
	TTL     time.Duration // how long a pending request lives; 0 is the server's default
	Factors []Factor
}

// A Factor is one consent that a ControlGroup needs.
type Factor struct {
	Name       string
	GroupNames []string
	GroupIDs   []string
	Approvals  int
	// Controlled limits the factor to these capabilities; 0 is all of them.
	Controlled Caps
}

// Root returns the policy that allows everything. It has no text.
func Root() *Policy { return &Policy{Name: rootName} }
