// Package api holds the nouns of the wire: what a client and a server say to
// each other under /v1/. It promises nothing but shapes: field names, order and
// null against empty are those that Vault's clients rely on.
//
// It imports only the standard library and nothing of ours, so that a client
// built on it stays small.
package api

import (
	"encoding/json"
	"net/http"
	"strings"
)

// An Answer is the envelope of every logical answer. Keys are always present.
type Answer struct {
	RequestID     string          `json:"request_id"`
	LeaseID       string          `json:"lease_id"`
	Renewable     bool            `json:"renewable"`
	LeaseDuration int64           `json:"lease_duration"` // seconds
	Data          json.RawMessage `json:"data"`           // nil is null
	WrapInfo      *WrapInfo       `json:"wrap_info"`
	Warnings      []string        `json:"warnings"` // nil is null
	Auth          *Auth           `json:"auth"`
	MountType     string          `json:"mount_type,omitempty"`
}

// Auth is what a login or a token creation gives.
type Auth struct {
	ClientToken      string            `json:"client_token"`
	Accessor         string            `json:"accessor"`
	Policies         []string          `json:"policies"`
	TokenPolicies    []string          `json:"token_policies"`
	IdentityPolicies []string          `json:"identity_policies,omitempty"`
	Metadata         map[string]string `json:"metadata"`
	LeaseDuration    int64             `json:"lease_duration"` // seconds
	Renewable        bool              `json:"renewable"`
	EntityID         string            `json:"entity_id"`
	TokenType        string            `json:"token_type"` // "service" or "batch"
	Orphan           bool              `json:"orphan"`
	MFARequirement   *MFARequirement   `json:"mfa_requirement"` // in place of a token
	NumUses          int               `json:"num_uses"`
	DisplayName      string            `json:"-"` // for the record, not the client
}

// WrapInfo stands in place of an answer that was wrapped.
type WrapInfo struct {
	Token           string `json:"token"`
	Accessor        string `json:"accessor"`
	TTL             int64  `json:"ttl"`           // seconds
	CreationTime    string `json:"creation_time"` // RFC 3339 with nanoseconds
	CreationPath    string `json:"creation_path"`
	WrappedAccessor string `json:"wrapped_accessor,omitempty"`
}

// An Error is a refusal as a client sees it: a status and sentences. Data and
// Warnings are set where Vault answers 404 with a body (a deleted KV version).
type Error struct {
	Status   int
	Errors   []string
	Data     json.RawMessage
	Warnings []string
}

func (e *Error) Error() string {
	if len(e.Errors) == 0 {
		return http.StatusText(e.Status)
	}
	return strings.Join(e.Errors, "; ")
}

// Header names of the wire.
const (
	HeaderToken        = "X-Vault-Token"
	HeaderNamespace    = "X-Vault-Namespace"
	HeaderRequest      = "X-Vault-Request"
	HeaderWrapTTL      = "X-Vault-Wrap-TTL"
	HeaderWrapFormat   = "X-Vault-Wrap-Format"
	HeaderMFA          = "X-Vault-MFA"
	HeaderIndex        = "X-Vault-Index"
	HeaderInconsistent = "X-Vault-Inconsistent"
	HeaderForward      = "X-Vault-Forward"
	HeaderNoForward    = "X-Vault-No-Request-Forwarding"

	// HeaderDecision comes with a refusal by policy: the id under which it is
	// explained to those who may ask, and under which it is in the audit log.
	HeaderDecision = "X-Fastness-Decision"
)
