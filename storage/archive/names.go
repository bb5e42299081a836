package archive

import (
	"fmt"
	"strings"

	"github.com/fastness-dev/fastness/storage"
)

// A Named is what lies in a range, by a name that people know it by.
type Named struct {
	Name string `json:"name"`
	Count
}

// Names gives ranges their names: of the namespace's number and, if each is
// true, of the range. Only names that contain filter are returned.
func Names(ranges []Range, each bool, filter string) []Named {
	names := []Named{}
	for _, r := range ranges {
		name := fmt.Sprintf("namespace %d", r.NS)
		if r.NS == 0 {
			name = "root"
		}
		if each {
			name += "/" + rangeName(r.ID)
		}
		if !strings.Contains(name, filter) {
			continue
		}
		if n := len(names); n > 0 && names[n-1].Name == name {
			names[n-1].Rows += r.Rows
			names[n-1].Bytes += r.Bytes
			continue
		}
		names = append(names, Named{name, r.Count})
	}
	return names
}

func rangeName(id uint32) string {
	for _, k := range []struct {
		r    storage.Range
		name string
	}{
		{storage.Core, "core"}, {storage.System, "system"}, {storage.Mounts, "mounts"}, {storage.Policies, "policies"},
		{storage.Tokens, "tokens"}, {storage.Accessors, "accessors"}, {storage.TokenTree, "token-tree"}, {storage.Leases, "leases"},
		{storage.Due, "due"}, {storage.When, "when"}, {storage.Owners, "owners"}, {storage.Audits, "audits"}, {storage.Wraps, "wraps"},
		{storage.Namespaces, "namespaces"}, {storage.Identities, "identities"}, {storage.Aliases, "aliases"},
		{storage.TokenRoles, "token-roles"}, {storage.Quotas, "quotas"}, {storage.Lockouts, "lockouts"}, {storage.MFA, "mfa"},
		{storage.Members, "members"}, {storage.Controls, "controls"}, {storage.Groups, "groups"}, {storage.Counts, "counts"},
		{storage.Factors, "factors"},
	} {
		if k.r.ID == id {
			return k.name
		}
	}
	if first := storage.MountRange(0).ID; id >= first {
		return fmt.Sprintf("mount %d", id-first)
	}
	return fmt.Sprintf("range %d", id)
}
