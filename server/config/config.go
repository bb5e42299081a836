// Package config reads the server's configuration: Vault's HCL (version 1) or
// JSON, from files and directories, and what VAULT_* and FASTNESS_* variables
// override in it.
//
// It promises that a configuration file written for Vault starts this server
// unchanged or is refused with the file and line and what to do. A stanza whose
// effect this build lacks gives one warning; a key that nobody knows is an
// error, since a misspelt key would otherwise be a setting silently not made.
//
// No error, warning or Sanitized output holds a value out of a stanza that may
// carry credentials. Storage other than ours, service_registration and telemetry
// sinks are checked for their shape and their values dropped; those of seals are
// kept for the seals to read, and shown nowhere.
package config

import (
	"time"
)

// What applies where a file is silent.
const (
	DefaultAddress            = "127.0.0.1:8200"
	DefaultLeaseTTL           = 768 * time.Hour
	DefaultMaxRequestDuration = 90 * time.Second
	DefaultMaxRequestSize     = 32 << 20 // bytes
)

// A Config is all that the server is told before it starts. Zero values mean
// "not set"; methods give what then applies.
type Config struct {
	Storage      Storage       // exactly one
	Listeners    []Listener    // at least one
	Seals        []Seal        // none is Shamir
	Telemetry    Telemetry     // metrics at sys/metrics
	Registration Registration  // where the node says how it stands; zero is nowhere
	UserLockouts []UserLockout // per kind of auth method

	APIAddr           string // URL at which clients reach this node
	ClusterAddr       string // URL at which other nodes reach it
	ClusterName       string // shown in sys/health; "" lets the server make one up
	DisableClustering bool   // no cluster port
	ClusterCiphers    string // cluster_cipher_suites, as given

	DefaultLeaseTTL           time.Duration // of a token or lease that asks for none
	MaxLeaseTTL               time.Duration // ceiling where a mount sets none
	DefaultMaxRequestDuration time.Duration // time limit of a request where the listener sets none

	DisableMlock bool // accepted; this server never locks memory
	DisableCache bool // answer every read from storage
	CacheSize    int  // in rows; 0 leaves the choice to the server
	UI           bool // serve /ui/
	PIDFile      string

	LogLevel          string        // trace, debug, info, warn or error; "" is info
	LogFormat         string        // standard or json; "" is standard
	LogFile           string        // "" logs to standard error only
	LogRotateDuration time.Duration // 0 is a day
	LogRotateBytes    int64         // 0 is no limit
	LogRotateMaxFiles int           // 0 keeps all, negative none
	LogRequestsLevel  string        // log every finished request at this level

	RawStorageEndpoint         bool // serve sys/raw
	IntrospectionEndpoint      bool // serve sys/internal/inspect
	ResponseHeaderHostname     bool // X-Vault-Hostname on every answer
	ResponseHeaderRaftNodeID   bool // X-Vault-Raft-Node-ID on every answer
	AllowAuditLogPrefixing     bool // an audit device may have a prefix
	ImpreciseLeaseRoleTracking bool
	UnauthenticatedAccess      []string // enable_unauthenticated_access: rekey, generate-root
	PluginDirectory            string
	PluginFileUID              int
	PluginFilePermissions      int
	PluginTmpdir               string
}

// Storage says where the data rests.
type Storage struct {
	Type string // raft, file or inmem

	Path   string // directory; raft and file
	NodeID string // raft: "" lets the server make one up and keep it

	PerformanceMultiplier int           // raft: election timing; 0 is the server's choice
	TrailingLogs          int64         // raft: entries kept after a snapshot; 0 is the server's choice
	SnapshotThreshold     int64         // raft: entries between snapshots; 0 is the server's choice
	SnapshotInterval      time.Duration // raft: 0 is the server's choice
	MaxEntrySize          int64         // raft: bytes; 0 is 1 MiB
	RetryJoin             []RetryJoin   // raft: leaders to ask at first start
	NonVoter              bool          // raft: retry_join_as_non_voter
}

// A RetryJoin is a leader that a new node may ask to be let in.
type RetryJoin struct {
	LeaderAPIAddr  string
	TLSServerName  string
	CACertFile     string
	ClientCertFile string
	ClientKeyFile  string
	CACert         string // PEM, instead of the file
	ClientCert     string // PEM, instead of the file
	ClientKey      string // PEM, instead of the file; it is never shown
}

// Telemetry says what is measured and where it is told.
type Telemetry struct {
	PrometheusRetention      time.Duration // negative switches Prometheus off
	DisableHostname          bool
	EnableHostnameLabel      bool
	MetricsPrefix            string
	UsageGaugePeriod         time.Duration
	MaximumGaugeCardinality  int
	LeaseMetricsEpsilon      time.Duration
	NumLeaseMetricsBuckets   int
	LeaseMetricsNamespaces   bool // add_lease_metrics_namespace_labels
	MountPointRollbackMetric bool // add_mount_point_rollback_metrics
	FilterDefault            *bool
	PrefixFilter             []string
}

// A UserLockout says when a login is refused after failures.
type UserLockout struct {
	Type         string        // all, userpass, ldap or approle
	Threshold    int           // failures; 0 is the default
	Duration     time.Duration // 0 is the default
	CounterReset time.Duration // 0 is the default
	Disable      bool
}

// LeaseTTLs are the default and maximum lifetimes that apply to the system.
func (c *Config) LeaseTTLs() (standard, ceiling time.Duration) {
	standard, ceiling = c.DefaultLeaseTTL, c.MaxLeaseTTL
	if ceiling == 0 {
		ceiling = max(DefaultLeaseTTL, standard)
	}
	if standard == 0 {
		standard = min(DefaultLeaseTTL, ceiling)
	}
	return standard, ceiling
}

// Level is the log level that applies.
func (c *Config) Level() string {
	if c.LogLevel == "" {
		return "info"
	}
	return c.LogLevel
}

// fields is the table of the top level.
func (c *Config) fields() fields {
	enterprise := unsupported("Fastness needs no licence; remove it")
	level := func(to *string) setter {
		return word(to, "trace", "debug", "info", "notice", "warn", "warning", "error", "err")
	}
	return fields{
		"listener":     c.addListeners,
		"storage":      c.setStorage,
		"backend":      c.setStorage,
		"ha_storage":   unsupported("a node keeps its data and its log in one place; use storage \"raft\""),
		"ha_backend":   unsupported("a node keeps its data and its log in one place; use storage \"raft\""),
		"seal":         c.addSeals,
		"hsm":          c.addSeals,
		"telemetry":    sub(c.Telemetry.fields),
		"user_lockout": c.addLockouts,

		"api_addr":              str(&c.APIAddr),
		"cluster_addr":          str(&c.ClusterAddr),
		"cluster_name":          str(&c.ClusterName),
		"disable_clustering":    sticky(&c.DisableClustering),
		"cluster_cipher_suites": str(&c.ClusterCiphers),

		"default_lease_ttl":            longest(&c.DefaultLeaseTTL),
		"max_lease_ttl":                longest(&c.MaxLeaseTTL),
		"default_max_request_duration": longest(&c.DefaultMaxRequestDuration),

		"disable_mlock": sticky(&c.DisableMlock),
		"disable_cache": sticky(&c.DisableCache),
		"cache_size":    integer(&c.CacheSize),
		"ui":            without(sticky(&c.UI), "there is no UI yet; use the command line or the API"),
		"pid_file":      str(&c.PIDFile),

		"log_level":            level(&c.LogLevel),
		"log_format":           word(&c.LogFormat, "standard", "json"),
		"log_file":             str(&c.LogFile),
		"log_rotate_duration":  duration(&c.LogRotateDuration),
		"log_rotate_bytes":     integer(&c.LogRotateBytes),
		"log_rotate_max_files": integer(&c.LogRotateMaxFiles),
		"log_requests_level":   word(&c.LogRequestsLevel, "trace", "debug", "info", "notice", "warn", "warning", "error", "err", "off"),

		"raw_storage_endpoint":                sticky(&c.RawStorageEndpoint),
		"introspection_endpoint":              without(sticky(&c.IntrospectionEndpoint), "sys/internal/inspect is not served"),
		"enable_response_header_hostname":     sticky(&c.ResponseHeaderHostname),
		"enable_response_header_raft_node_id": sticky(&c.ResponseHeaderRaftNodeID),
		"allow_audit_log_prefixing":           sticky(&c.AllowAuditLogPrefixing),
		"imprecise_lease_role_tracking":       without(sticky(&c.ImpreciseLeaseRoleTracking), "leases are not counted by role"),
		"enable_unauthenticated_access":       strs(&c.UnauthenticatedAccess),

		"plugin_directory":        without(str(&c.PluginDirectory), "external plugins are not served"),
		"plugin_file_uid":         without(integer(&c.PluginFileUID), "external plugins are not served"),
		"plugin_file_permissions": without(octal(&c.PluginFilePermissions), "external plugins are not served"),
		"plugin_tmpdir":           without(str(&c.PluginTmpdir), "external plugins are not served"),

		"service_registration": c.setRegistration,
		"audit":                unsupported("enable devices with `fastness audit enable`, or nothing is audited"),
		"initialize":           unsupported("initialise with `fastness operator init`"),
		"plugin":               unsupported("external plugins are not served"),
		"external_keys":        unsupported("external keys are not served"),

		"license_path":                    enterprise,
		"license_entitlement":             enterprise,
		"reporting":                       enterprise,
		"administrative_namespace_path":   enterprise,
		"entropy":                         unsupported("randomness always comes from the operating system"),
		"kms_library":                     unsupported("PKCS#11 keys are not served"),
		"sentinel":                        unsupported("Sentinel policies are not served; use ACL policies"),
		"adaptive_overload_protection":    unsupported("use quotas"),
		"observations":                    unsupported("use the audit log"),
		"remove_irrevocable_lease_after":  unsupported("irrevocable leases are kept until revoked by force"),
		"enable_post_unseal_trace":        unsupported("remove it"),
		"post_unseal_trace_directory":     unsupported("remove it"),
		"detect_deadlocks":                unsupported("remove it"),
		"plugin_auto_download":            unsupported("external plugins are not served"),
		"plugin_auto_register":            unsupported("external plugins are not served"),
		"plugin_download_behavior":        unsupported("external plugins are not served"),
		"plugin_download_max_size":        unsupported("external plugins are not served"),
		"allow_unauthenticated_workflows": unsupported("workflows are not served"),
		"unsafe_relative_paths":           unsupported("paths with . or .. segments are always refused"),
		"disable_standby_reads":           unsupported("reads on every node are linearizable"),
		"experiments":                     unsupported("remove it"),
		"feature_flags":                   unsupported("remove it"),

		"unsafe_allow_api_audit_creation": ignored,
		"disable_performance_standby":     ignored,
		"disable_sealwrap":                ignored,
		"disable_sentinel_trace":          ignored,
		"disable_printable_check":         ignored,
		"disable_indexing":                ignored,
		"request_limiter":                 ignored,
	}
}

// manyTop are the top-level stanzas that may be given more than once in a file.
func manyTop() repeats {
	return repeats{
		"listener": true, "seal": true, "hsm": true, "user_lockout": true, "kms_library": true,
		"audit": true, "initialize": true, "plugin": true, "external_keys": true, "entropy": true,
	}
}
