package identity

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
)

// Limits of metadata, in pairs and bytes.
const (
	maxPairs = 64
	maxKey   = 128
	maxValue = 512
	maxName  = 512
)

// checkPolicies is the only way that policies come into this package: folded,
// sorted, each once, and never root.
func checkPolicies(names []string) ([]string, error) {
	list := policy.NormalizeList(names, false)
	if slices.Contains(list, "root") {
		return nil, engine.Bad("policies cannot contain root")
	}
	return list, nil
}

// checkMetadata says what is wrong with metadata, or "".
func checkMetadata(m map[string]string) string {
	if len(m) > maxPairs {
		return "metadata cannot contain more than 64 key/value pairs"
	}
	for k, v := range m {
		switch {
		case k == "" || len(k) > maxKey || !printable(k):
			return "a metadata key must have 1 to 128 printable characters"
		case len(v) > maxValue || !utf8.ValidString(v):
			return "a metadata value must have at most 512 characters"
		}
	}
	return ""
}

// checkName refuses names that no one could read or type again.
func checkName(field, name string) error {
	if len(name) > maxName || !printable(name) {
		return engine.Bad("'%s' must be printable text of at most %d bytes", field, maxName)
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// listed is a refusal in the form of a list of one, as Vault words some.
func listed(sentence string) error {
	return engine.Bad("1 error occurred:\n\t* %s\n\n", sentence)
}
