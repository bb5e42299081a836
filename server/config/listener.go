package config

import (
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Listener is one place where the server takes requests. Zero values mean
// "not set"; Config.Limits and Timeouts give what then applies.
type Listener struct {
	Pos  Position // of the stanza, for errors
	Type string   // tcp or unix

	Address        string // host:port, or the path of the socket
	ClusterAddress string // host:port; "" is the port above Address's
	Role           string // "" or metrics_only

	// A unix socket's file. Zero values leave what the umask and the process give.
	SocketMode  int // octal permission bits
	SocketUser  string
	SocketGroup string

	TLSDisable           bool
	TLSCertFile          string
	TLSKeyFile           string
	TLSMinVersion        string   // tls12 or tls13; "" is tls12
	TLSMaxVersion        string   // tls12 or tls13; "" is the newest
	TLSCipherSuites      []string // for TLS 1.2 only, as in Go
	TLSClientCAFile      string
	TLSRequireClientCert bool // tls_require_and_verify_client_cert
	TLSDisableClientCert bool // do not even ask for one

	// As written: 0 is the default, negative no limit.
	MaxRequestSize             int64 // bytes
	MaxRequestDuration         time.Duration
	MaxTokenHeaderSize         int64 // bytes
	MaxJSONDepth               int64
	MaxJSONStringLength        int64 // bytes
	MaxJSONObjectEntryCount    int64
	MaxJSONArrayElementCount   int64
	MaxJSONTokens              int64
	RequireRequestHeader       bool
	DisableRequestLimiter      bool
	DisableUnauthedRekey       bool // disable_unauthed_rekey_endpoints
	DisableUnauthedGenRoot     bool // disable_unauthed_generate_root_endpoints
	DisableReplicationStatus   bool
	ReadHeaderTimeout          time.Duration // 0 is 10 s
	ReadTimeout                time.Duration // 0 is 30 s
	WriteTimeout               time.Duration // 0 is none
	IdleTimeout                time.Duration // 0 is 5 min
	ProxyProtocolBehavior      string        // "", use_always, allow_authorized or deny_unauthorized
	ProxyProtocolAuthorized    []string      // addresses or CIDR blocks
	ForwardedAuthorized        []string      // x_forwarded_for_authorized_addrs: empty switches it off
	ForwardedHopSkips          int64
	ForwardedAllowNotPresent   bool // x_forwarded_for_reject_not_present = false
	ForwardedAllowUnauthorized bool // x_forwarded_for_reject_not_authorized = false
	ForwardedCertHeader        string
	ForwardedCertDecoders      []string // BASE64, DER or URL, in order

	UnauthenticatedMetrics  bool // telemetry.unauthenticated_metrics_access
	DisallowMetrics         bool // telemetry.disallow_metrics
	MetricsOnly             bool // telemetry.metrics_only
	UnauthenticatedPprof    bool // profiling.unauthenticated_pprof_access
	UnauthenticatedInFlight bool // inflight_requests_logging.unauthenticated_in_flight_requests_access

	RedactAddresses   bool
	RedactClusterName bool
	RedactVersion     bool

	ResponseHeaders []ResponseHeader // custom_response_headers
	ChrootNamespace string           // path without outer slashes, under which all requests here are; "" is the root
}

// A ResponseHeader is put on answers of some status.
type ResponseHeader struct {
	Status string // "default", a class such as "2xx", or a code such as "404"
	Name   string // canonical
	Value  string
}

// Limits bound what one request may cost. A negative one is no limit.
type Limits struct {
	RequestSize     int64 // bytes of body
	RequestDuration time.Duration
	TokenHeader     int64 // bytes
	JSONDepth       int64
	JSONString      int64 // bytes
	JSONObject      int64 // entries
	JSONArray       int64 // elements
	JSONTokens      int64
}

// Limits are those of l, with the server's defaults where it is silent.
func (c *Config) Limits(l Listener) Limits {
	return Limits{
		RequestSize:     or(l.MaxRequestSize, DefaultMaxRequestSize),
		RequestDuration: or(l.MaxRequestDuration, or(c.DefaultMaxRequestDuration, DefaultMaxRequestDuration)),
		TokenHeader:     or(l.MaxTokenHeaderSize, 8<<10),
		JSONDepth:       or(l.MaxJSONDepth, 500),
		JSONString:      or(l.MaxJSONStringLength, 1<<20),
		JSONObject:      or(l.MaxJSONObjectEntryCount, 10_000),
		JSONArray:       or(l.MaxJSONArrayElementCount, 10_000),
		JSONTokens:      or(l.MaxJSONTokens, 500_000),
	}
}

// or is v, or what applies where the file is silent.
func or[T int64 | time.Duration](v, unset T) T {
	if v == 0 {
		return unset
	}
	return v
}

// Timeouts bound how long a connection may take over its parts. 0 is none.
type Timeouts struct {
	ReadHeader, Read, Write, Idle time.Duration
}

// Timeouts are those that apply to l.
func (l Listener) Timeouts() Timeouts {
	return Timeouts{
		ReadHeader: max(0, or(l.ReadHeaderTimeout, 10*time.Second)),
		Read:       max(0, or(l.ReadTimeout, 30*time.Second)),
		Write:      max(0, l.WriteTimeout),
		Idle:       max(0, or(l.IdleTimeout, 5*time.Minute)),
	}
}

func (c *Config) addListeners(d *decoder, e entry) {
	for _, found := range d.labels(e.key, e) {
		l := Listener{Pos: found.pos, Type: found.label}
		if l.Type != "tcp" && l.Type != "unix" {
			d.fail(found.pos, "listener %q must be \"tcp\" or \"unix\"", l.Type)
			continue
		}
		d.stanza("listener \""+l.Type+"\"", found.body, l.fields(), nil)
		if l.Address == "" && l.Type == "tcp" {
			l.Address = DefaultAddress
		}
		c.Listeners = append(c.Listeners, l)
	}
}

func (l *Listener) fields() fields {
	acme := unsupported("get certificates with a tool of your own; SIGHUP reloads them")
	table := fields{
		"address":         str(&l.Address),
		"cluster_address": str(&l.ClusterAddress),
		"role":            word(&l.Role, "default", "metrics_only"),
		"purpose":         ignored,
		"socket_mode":     octal(&l.SocketMode),
		"socket_user":     str(&l.SocketUser),
		"socket_group":    str(&l.SocketGroup),

		"tls_disable":                        boolean(&l.TLSDisable),
		"tls_cert_file":                      str(&l.TLSCertFile),
		"tls_key_file":                       str(&l.TLSKeyFile),
		"tls_min_version":                    tlsVersion(&l.TLSMinVersion),
		"tls_max_version":                    tlsVersion(&l.TLSMaxVersion),
		"tls_cipher_suites":                  strs(&l.TLSCipherSuites),
		"tls_client_ca_file":                 str(&l.TLSClientCAFile),
		"tls_require_and_verify_client_cert": boolean(&l.TLSRequireClientCert),
		"tls_disable_client_certs":           boolean(&l.TLSDisableClientCert),
		"tls_prefer_server_cipher_suites":    ignored, // Go decides by itself
		"tls_key_exchange_preferences":       unsupported("Go's preferences apply"),
		"tls_auto_reload":                    unsupported("send SIGHUP to reload certificates"),
		"tls_auto_reload_interval":           ignored,

		"max_request_size":                         integer(&l.MaxRequestSize),
		"max_request_duration":                     duration(&l.MaxRequestDuration),
		"max_token_header_size":                    integer(&l.MaxTokenHeaderSize),
		"max_json_depth":                           integer(&l.MaxJSONDepth),
		"max_json_string_value_length":             integer(&l.MaxJSONStringLength),
		"max_json_object_entry_count":              integer(&l.MaxJSONObjectEntryCount),
		"max_json_array_element_count":             integer(&l.MaxJSONArrayElementCount),
		"max_json_token":                           integer(&l.MaxJSONTokens),
		"max_json_tokens":                          integer(&l.MaxJSONTokens), // as one would expect it after its siblings
		"max_request_json_memory":                  unsupported("use max_json_string_value_length and its like"),
		"max_request_json_strings":                 unsupported("use max_json_object_entry_count and its like"),
		"require_request_header":                   boolean(&l.RequireRequestHeader),
		"disable_request_limiter":                  boolean(&l.DisableRequestLimiter),
		"disable_replication_status_endpoints":     boolean(&l.DisableReplicationStatus),
		"disable_unauthed_rekey_endpoints":         boolean(&l.DisableUnauthedRekey),
		"disable_unauthed_generate_root_endpoints": boolean(&l.DisableUnauthedGenRoot),

		"http_read_header_timeout": duration(&l.ReadHeaderTimeout),
		"http_read_timeout":        duration(&l.ReadTimeout),
		"http_write_timeout":       duration(&l.WriteTimeout),
		"http_idle_timeout":        duration(&l.IdleTimeout),

		"proxy_protocol_behavior":         word(&l.ProxyProtocolBehavior, "use_always", "allow_authorized", "deny_unauthorized"),
		"proxy_protocol_authorized_addrs": strs(&l.ProxyProtocolAuthorized),

		"x_forwarded_for_authorized_addrs":            strs(&l.ForwardedAuthorized),
		"x_forwarded_for_hop_skips":                   integer(&l.ForwardedHopSkips),
		"x_forwarded_for_reject_not_present":          not(&l.ForwardedAllowNotPresent),
		"x_forwarded_for_reject_not_authorized":       not(&l.ForwardedAllowUnauthorized),
		"x_forwarded_for_client_cert_header":          str(&l.ForwardedCertHeader),
		"x_forwarded_for_client_cert_header_decoders": l.setCertDecoders,

		"telemetry": sub(func() fields {
			return fields{
				"unauthenticated_metrics_access": boolean(&l.UnauthenticatedMetrics),
				"disallow_metrics":               boolean(&l.DisallowMetrics),
				"metrics_only":                   boolean(&l.MetricsOnly),
				"metrics_path":                   unsupported("metrics are at /v1/sys/metrics"),
			}
		}),
		"profiling": sub(func() fields {
			return fields{"unauthenticated_pprof_access": boolean(&l.UnauthenticatedPprof)}
		}),
		"inflight_requests_logging": sub(func() fields {
			return fields{"unauthenticated_in_flight_requests_access": boolean(&l.UnauthenticatedInFlight)}
		}),

		"redact_addresses":        boolean(&l.RedactAddresses),
		"redact_cluster_name":     boolean(&l.RedactClusterName),
		"redact_version":          boolean(&l.RedactVersion),
		"custom_response_headers": l.setResponseHeaders,
		"chroot_namespace":        l.setChroot,
		"cors":                    unsupported("set it with sys/config/cors"),
		"agent_api":               unsupported("it belongs in the Agent's configuration"),
		"proxy_api":               unsupported("it belongs in the Proxy's configuration"),
	}
	for _, key := range strings.Fields(`ca_directory test_ca_directory cache_path ca_root eab_key_id
		eab_mac_key email domains disable_http_challenge disable_alpn_challenge key_type`) {
		table["tls_acme_"+key] = acme
	}
	return table
}

// setChroot keeps the path of a namespace as namespaces are named.
func (l *Listener) setChroot(d *decoder, e entry) {
	var ns string
	str(&ns)(d, e)
	if l.ChrootNamespace = strings.Trim(ns, "/"); l.ChrootNamespace == "root" {
		l.ChrootNamespace = ""
	}
}

// setCertDecoders keeps the words upper case, in their order.
func (l *Listener) setCertDecoders(d *decoder, e entry) {
	strs(&l.ForwardedCertDecoders)(d, e)
	for i, name := range l.ForwardedCertDecoders {
		l.ForwardedCertDecoders[i] = strings.ToUpper(name)
		if !slices.Contains([]string{"BASE64", "DER", "URL"}, l.ForwardedCertDecoders[i]) {
			d.fail(e.pos, "%q may hold BASE64, DER and URL", e.key)
		}
	}
}

// tlsVersion takes Vault's names. What is older than TLS 1.2 is raised to it,
// so that an old file starts us and an old client learns why it cannot.
func tlsVersion(to *string) setter {
	return func(d *decoder, e entry) {
		word(to, "tls10", "tls11", "tls12", "tls13")(d, e)
		if *to == "tls10" || *to == "tls11" {
			d.warn(e.pos, "%q is raised to tls12: older TLS is not served", e.key)
			*to = "tls12"
		}
	}
}

// not stores the opposite, for keys whose default is true.
func not(to *bool) setter {
	return func(d *decoder, e entry) {
		v := true
		boolean(&v)(d, e)
		*to = !v
	}
}

// setResponseHeaders reads {"default" = {"Name" = ["value"]}, "2xx" = {…}}.
func (l *Listener) setResponseHeaders(d *decoder, e entry) {
	for _, n := range blocksOf(e.value) {
		for _, status := range n.entries {
			if !validStatus(status.key) {
				d.fail(status.pos, "%q must be \"default\", a class such as \"2xx\" or a status such as \"404\"", status.key)
				continue
			}
			for _, headers := range blocksOf(status.value) {
				l.addHeaders(d, status, headers)
			}
		}
	}
}

func (l *Listener) addHeaders(d *decoder, status entry, headers *node) {
	if headers.kind != block {
		d.fail(status.pos, "%q must hold header names and values: %q = { \"X-Name\" = [\"value\"] }", status.key, status.key)
		return
	}
	for _, h := range headers.entries {
		name := textproto.CanonicalMIMEHeaderKey(h.key)
		value, ok := headerValue(h.value)
		switch {
		case strings.HasPrefix(name, "X-Vault-"):
			d.fail(h.pos, "header %q cannot be set here: X-Vault- headers are the server's own", name)
		case !ok || !validHeaderName(h.key):
			d.fail(h.pos, "header %q must be a header name with a string or a list of strings", h.key)
		default:
			l.ResponseHeaders = append(l.ResponseHeaders, ResponseHeader{strings.ToLower(status.key), name, value})
		}
	}
}

// headerValue is a string kept whole, commas and all, or a list, which becomes
// one value as in Vault: that of a header with parameters.
func headerValue(n *node) (value string, ok bool) {
	value = n.text
	if !scalar(n) {
		values, ok := parseList(n)
		if !ok {
			return "", false
		}
		value = strings.Join(values, "; ")
	}
	return value, !strings.ContainsAny(value, "\r\n\x00")
}

func validHeaderName(s string) bool {
	for _, c := range s {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune("()<>@,;:\\\"/[]?={}", c) {
			return false
		}
	}
	return s != ""
}

func validStatus(s string) bool {
	s = strings.ToLower(s)
	if s == "default" || len(s) == 3 && s[0] >= '1' && s[0] <= '5' && s[1:] == "xx" {
		return true
	}
	code, err := strconv.Atoi(s)
	return err == nil && code >= 100 && code < 600
}
