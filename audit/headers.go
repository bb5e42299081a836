package audit

import (
	"net/http"
	"slices"
	"strings"
)

// headerRules is the allow-list of headers, in the order in which they are
// written.
type headerRules []headerRule

type headerRule struct {
	name      string // as written: lower case
	canonical string // as http.Header keys it
	hmac      bool
}

// carriesSecret lists headers that are hashed whatever the rule says, so that
// no configuration puts a credential in the log.
var carriesSecret = []string{"authorization", "cookie", "proxy-authorization", "x-vault-token", "x-vault-mfa"}

func newHeaderRules(hmac map[string]bool) *headerRules {
	rules := make(headerRules, 0, len(hmac))
	for name, hide := range hmac {
		name = strings.ToLower(name)
		rules = append(rules, headerRule{
			name:      name,
			canonical: http.CanonicalHeaderKey(name),
			hmac:      hide || slices.Contains(carriesSecret, name),
		})
	}
	slices.SortFunc(rules, func(a, b headerRule) int { return strings.Compare(a.name, b.name) })
	return &rules
}
