package cli

import (
	"fmt"

	"github.com/fastness-dev/fastness/api"
)

// printField prints one field of an answer.
func (u *ui) printField(a *api.Answer) error {
	v, ok := fieldOf(a, u.field)
	if !ok {
		return local("Field %q not present in secret", u.field)
	}
	return u.value(v)
}

// fieldIn prints one member of an object.
func (u *ui) fieldIn(o object) error {
	v, ok := o[u.field]
	if !ok {
		return local("Field %q not present in secret", u.field)
	}
	return u.value(v)
}

func (u *ui) value(v any) error {
	if !u.isTable() && u.format != "raw" {
		return u.structured(v)
	}
	u.outRaw(show(v))
	return nil
}

// fieldOf finds a field by the name that the table gives it, the token's and the
// wrapping's included.
func fieldOf(a *api.Answer, name string) (any, bool) {
	if t := a.Auth; t != nil {
		switch name {
		case "token":
			return t.ClientToken, true
		case "token_accessor":
			return t.Accessor, true
		case "token_duration":
			return t.LeaseDuration, true
		case "token_renewable":
			return t.Renewable, true
		case "token_policies":
			return t.TokenPolicies, true
		case "identity_policies":
			return t.IdentityPolicies, true
		case "policies":
			return t.Policies, true
		}
		for k, v := range t.Metadata {
			if name == "token_meta_"+k {
				return v, true
			}
		}
	}
	if w := a.WrapInfo; w != nil {
		switch name {
		case "wrapping_token":
			return w.Token, true
		case "wrapping_accessor":
			return w.Accessor, true
		case "wrapping_token_ttl":
			return w.TTL, true
		case "wrapping_token_creation_time":
			return humanTime(w.CreationTime), true
		case "wrapping_token_creation_path":
			return w.CreationPath, true
		case "wrapped_accessor":
			return w.WrappedAccessor, true
		}
	}
	return plainField(a, name)
}

func plainField(a *api.Answer, name string) (any, bool) {
	o := dataOf(a)
	if v, ok := o[name]; ok {
		return v, true
	}
	switch name {
	case "lease_id":
		return a.LeaseID, a.LeaseID != ""
	case "lease_duration":
		return fmt.Sprint(a.LeaseDuration), a.LeaseID != ""
	case "lease_renewable":
		return a.Renewable, a.LeaseID != ""
	case "refresh_interval":
		return a.LeaseDuration, a.LeaseID == ""
	case "data":
		return map[string]any(o), o != nil
	}
	return nil, false
}
