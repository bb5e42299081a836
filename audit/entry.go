package audit

import (
	"encoding/json"
	"net/http"
	"time"
)

// An Entry is what a line says. Zero fields are left out of the line, as Vault
// leaves them out. The caller keeps it; no device holds on to it after Request
// or Response has returned.
type Entry struct {
	Time     time.Time // the broker sets it when zero
	Auth     Auth      // who asks
	Request  Request
	Response *Response // in a response line only
	// Error is written in the clear: it must not quote what the caller sent.
	Error         string
	Refused       string // Error of the request's line, in an exchange
	ForwardedFrom string // host and port of the node that forwarded the request

	keep *headerRules // which headers to write, set by the broker
}

// Auth describes the token of a request, or the one that an answer gives.
type Auth struct {
	ClientToken               string // hashed
	Accessor                  string // hashed unless hmac_accessor is off
	DisplayName               string
	Policies                  []string
	TokenPolicies             []string
	IdentityPolicies          []string
	ExternalNamespacePolicies map[string][]string
	NoDefaultPolicy           bool
	PolicyResults             *PolicyResults // nil when no policy was asked
	Metadata                  map[string]string
	NumUses                   int
	RemainingUses             int
	EntityID                  string
	EntityCreated             bool
	TokenType                 string // "service", "batch"; empty is written "default"
	TokenTTL                  time.Duration
	TokenIssueTime            time.Time
}

// PolicyResults says what the policies answered, and which of them allowed it.
type PolicyResults struct {
	Allowed          bool
	GrantingPolicies []GrantingPolicy
}

// GrantingPolicy names a policy that allowed a request.
type GrantingPolicy struct {
	Name          string
	NamespaceID   string
	NamespacePath string
	Type          string // "acl"
}

// Request is what was asked.
type Request struct {
	ID                    string
	ClientID              string
	ReplicationCluster    string
	Operation             string // create, read, update, patch, delete, list
	MountPoint            string
	MountType             string
	MountAccessor         string
	MountRunningVersion   string
	MountRunningSHA256    string
	MountClass            string // auth or secret
	MountIsExternalPlugin bool
	ClientToken           string // hashed
	ClientTokenAccessor   string // hashed unless hmac_accessor is off
	NamespaceID           string // empty is written "root"
	NamespacePath         string
	Path                  string
	Data                  json.RawMessage // hashed; null and {} are left out
	PlainKeys             []string        // the mount's audit_non_hmac_request_keys
	PolicyOverride        bool
	RemoteAddress         string
	RemotePort            int
	WrapTTL               time.Duration // written in seconds
	Headers               http.Header   // only those that SetHeaders allows are written
	CertificateSerial     string        // of the TLS client
	URI                   string
}

// Response is what was answered.
type Response struct {
	Auth                  *Auth
	MountPoint            string
	MountType             string
	MountAccessor         string
	MountRunningVersion   string // written as mount_running_plugin_version
	MountRunningSHA256    string
	MountClass            string
	MountIsExternalPlugin bool
	LeaseID               string
	Data                  json.RawMessage // hashed; null and {} are left out
	PlainKeys             []string        // the mount's audit_non_hmac_response_keys
	Warnings              []string
	Redirect              string
	WrapInfo              *WrapInfo
	Headers               http.Header // only those that SetHeaders allows are written
}

// WrapInfo stands in a line for an answer that was wrapped.
type WrapInfo struct {
	TTL             time.Duration // written in seconds
	Token           string        // hashed
	Accessor        string        // hashed unless hmac_accessor is off
	CreationTime    time.Time
	CreationPath    string
	WrappedAccessor string // hashed unless hmac_accessor is off
}
