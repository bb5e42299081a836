package sys

import (
	"encoding/json"

	"github.com/fastness-dev/fastness/engine"
)

// An MFAProof is what a login that waits for its second factor is sent.
type MFAProof struct {
	Request string          `json:"mfa_request_id" required:"true" doc:"Id that the login was answered with."`
	Payload json.RawMessage `json:"mfa_payload" required:"true" doc:"By id or name of a method, a list of one passcode, which is empty where there is none."`
}

func (s *System) validateMFA(v engine.Tx, q MFAProof) (*engine.Answer, error) {
	return s.ProveLogin(v, q)
}

func mfaRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Write("mfa/validate", (*System).validateMFA).Public().Doc("Prove the second factor of a login, and get its token."),
	}
}
