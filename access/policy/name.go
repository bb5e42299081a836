package policy

import (
	"fmt"
	"slices"
	"strings"
)

const (
	rootName             = "root"
	defaultName          = "default"
	responseWrappingName = "response-wrapping"
	controlGroupName     = "control-group"
)

// NormalizeName folds a policy's name as every place that takes one must:
// surrounding space goes, letters become lower case.
func NormalizeName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// NormalizeList folds, sorts and dedupes names, and drops empty ones. If
// addDefault is set, "default" joins them. Root swallows all others, for beside
// it they mean nothing.
func NormalizeList(names []string, addDefault bool) []string {
	list := make([]string, 0, len(names)+1)
	for _, n := range names {
		n = NormalizeName(n)
		if n == rootName {
			return []string{rootName}
		}
		if n != "" {
			list = append(list, n)
		}
	}
	if addDefault {
		list = append(list, defaultName)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// An ImmutableError refuses a change to a policy that belongs to the server. Its
// text is Vault's.
type ImmutableError struct{ text string }

func (e *ImmutableError) Error() string { return e.text }

// CheckWritable returns an *ImmutableError if nobody may write the policy.
func CheckWritable(name string) error {
	switch name = NormalizeName(name); name {
	case rootName, responseWrappingName, controlGroupName:
		return &ImmutableError{fmt.Sprintf("cannot update %q policy", name)}
	}
	return nil
}

// CheckDeletable returns an *ImmutableError if nobody may delete the policy.
func CheckDeletable(name string) error {
	switch name = NormalizeName(name); name {
	case defaultName:
		return &ImmutableError{"cannot delete default policy"}
	case rootName, responseWrappingName, controlGroupName:
		return &ImmutableError{fmt.Sprintf("cannot delete %q policy", name)}
	}
	return nil
}

// Hidden reports whether lists of policies leave the name out: the server uses
// it, but nobody assigns it by hand.
func Hidden(name string) bool {
	name = NormalizeName(name)
	return name == responseWrappingName || name == controlGroupName
}
