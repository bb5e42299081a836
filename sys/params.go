package sys

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// Parameters that stand inside a map of the body are read as leniently as those
// at its top: clients send booleans as strings and lists with commas.

// textOf reads a string, a number or a boolean as text. Absent and null are "".
func textOf(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{', '[':
		return "", engine.Bad("a value of the config must be text, not a map or a list")
	}
	return string(raw), nil
}

func listOf(raw json.RawMessage) ([]string, error) {
	if len(raw) > 0 && raw[0] == '[' {
		var list []string
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, engine.Bad("a list of the config must hold strings")
		}
		return list, nil
	}
	s, err := textOf(raw)
	list := []string{}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list, err
}

// fieldsOf reads the config of a new mount into the fields of a tune.
func fieldsOf(raw map[string]json.RawMessage) (f tuneFields, err error) {
	for name, to := range map[string]**string{"listing_visibility": &f.Visibility, "token_type": &f.TokenType, "identity_token_key": &f.IdentityTokenKey} {
		if v, ok := raw[name]; ok {
			s, err := textOf(v)
			if err != nil {
				return f, err
			}
			*to = &s
		}
	}
	for name, to := range map[string]**[]string{
		"audit_non_hmac_request_keys": &f.RequestKeys, "audit_non_hmac_response_keys": &f.ResponseKeys,
		"passthrough_request_headers": &f.RequestHeaders, "allowed_response_headers": &f.ResponseHeaders,
		"allowed_managed_keys": &f.ManagedKeys, "delegated_auth_accessors": &f.DelegatedAuth,
	} {
		if v, ok := raw[name]; ok {
			list, err := listOf(v)
			if err != nil {
				return f, err
			}
			*to = &list
		}
	}
	for name, to := range map[string]**bool{"force_no_cache": &f.ForceNoCache, "trim_request_trailing_slashes": &f.TrimSlashes} {
		s, err := textOf(raw[name])
		if err != nil {
			return f, err
		}
		if s == "" {
			continue
		}
		b, err := strconv.ParseBool(s)
		if err != nil {
			return f, engine.Bad("%s must be true or false", name)
		}
		*to = &b
	}
	return f, nil
}
