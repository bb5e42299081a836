package api

// An MFARequirement is what the answer of a login says that is not a token yet.
type MFARequirement struct {
	RequestID string `json:"mfa_request_id"`
	// Constraints are the enforcements to satisfy, by name: all of them.
	Constraints map[string]MFAConstraint `json:"mfa_constraints"`
}

// An MFAConstraint is satisfied by any of its methods.
type MFAConstraint struct {
	Any []MFAMethod `json:"any"`
}

// An MFAMethod is one way to prove who one is.
type MFAMethod struct {
	Type         string `json:"type"` // totp, duo, okta or pingid
	ID           string `json:"id"`
	UsesPasscode bool   `json:"uses_passcode"`
	Name         string `json:"name"`
	// SelfEnrol says that who logs in has no secret yet and can get one now.
	SelfEnrol bool `json:"self_enrollment_enabled,omitempty"`
}
