package mfa

import (
	"encoding/json"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// A Credential is what somebody sent for one method. It is kept as it was sent:
// a code that is spelt with spaces is none.
type Credential struct {
	Method   string // id or name
	Passcode string // may be empty
}

// maxCredentials bounds how many are looked at.
const maxCredentials = 16

// Header reads the values of the header X-Vault-MFA: METHOD, METHOD:PASSCODE or
// METHOD:passcode=PASSCODE each.
func Header(values []string) ([]Credential, error) {
	if len(values) > maxCredentials {
		return nil, engine.Bad("more than %d MFA credentials", maxCredentials)
	}
	list := make([]Credential, 0, len(values))
	for _, v := range values {
		name, code, _ := strings.Cut(v, ":")
		if name == "" {
			return nil, engine.Bad("the header X-Vault-MFA must be a method's id or name, and a passcode after a colon")
		}
		list = append(list, Credential{name, strings.TrimPrefix(code, "passcode=")})
	}
	return list, nil
}

// Payload reads mfa_payload: by method, a passcode, or a list of one. It may be
// text, as a command line sends it: that of the same JSON, or METHOD=PASSCODE.
func Payload(raw json.RawMessage) ([]Credential, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if name, code, pair := strings.Cut(text, "="); pair && !strings.HasPrefix(text, "{") {
			return []Credential{{name, strings.TrimPrefix(code, "passcode=")}}, nil
		}
		raw = json.RawMessage(text)
	}
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(raw, &sent); err != nil {
		return nil, engine.Bad("'mfa_payload' must be an object of passcodes by the ids or names of methods")
	}
	if len(sent) > maxCredentials {
		return nil, engine.Bad("'mfa_payload' has more than %d methods", maxCredentials)
	}
	list := make([]Credential, 0, len(sent))
	for name, raw := range sent {
		var one string
		var codes []string
		switch {
		case json.Unmarshal(raw, &one) == nil:
		case json.Unmarshal(raw, &codes) == nil && len(codes) == 1:
			one = codes[0]
		case string(raw) == "[]":
		default:
			return nil, engine.Bad("'mfa_payload' must hold a list of one passcode, which is a string, for each method")
		}
		list = append(list, Credential{name, strings.TrimPrefix(one, "passcode=")})
	}
	return list, nil
}

// given are credentials by the id of their method. What names no method is left
// out; two for one method, by whatever names, are two guesses and refused.
func given(all []seen, list []Credential) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, c := range list {
		m := method(all, c.Method)
		if m == nil {
			continue
		}
		if _, twice := out[m.ID]; twice {
			return nil, engine.Bad("there is more than one credential for the MFA method %s", m.ID)
		}
		out[m.ID] = c.Passcode
	}
	return out, nil
}
