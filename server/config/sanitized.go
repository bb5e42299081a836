package config

// Sanitized is what sys/config/state/sanitized shows: the configuration as it
// was read, without anything secret. Durations are in seconds; 0 and "" mean
// that the file was silent.
type Sanitized struct {
	AllowAuditLogPrefixing     bool                `json:"allow_audit_log_prefixing"`
	APIAddr                    string              `json:"api_addr"`
	CacheSize                  int                 `json:"cache_size"`
	ClusterAddr                string              `json:"cluster_addr"`
	ClusterCipherSuites        string              `json:"cluster_cipher_suites"`
	ClusterName                string              `json:"cluster_name"`
	DefaultLeaseTTL            int64               `json:"default_lease_ttl"`
	DefaultMaxRequestDuration  int64               `json:"default_max_request_duration"`
	DetectDeadlocks            string              `json:"detect_deadlocks"`
	DisableCache               bool                `json:"disable_cache"`
	DisableClustering          bool                `json:"disable_clustering"`
	DisableIndexing            bool                `json:"disable_indexing"`
	DisableMlock               bool                `json:"disable_mlock"`
	DisablePerformanceStandby  bool                `json:"disable_performance_standby"`
	DisablePrintableCheck      bool                `json:"disable_printable_check"`
	DisableSealwrap            bool                `json:"disable_sealwrap"`
	DisableSentinelTrace       bool                `json:"disable_sentinel_trace"`
	ResponseHeaderHostname     bool                `json:"enable_response_header_hostname"`
	ResponseHeaderRaftNodeID   bool                `json:"enable_response_header_raft_node_id"`
	EnableUI                   bool                `json:"enable_ui"`
	ImpreciseLeaseRoleTracking bool                `json:"imprecise_lease_role_tracking"`
	IntrospectionEndpoint      bool                `json:"introspection_endpoint"`
	Listeners                  []SanitizedListener `json:"listeners"`
	LogFormat                  string              `json:"log_format"`
	LogLevel                   string              `json:"log_level"`
	LogRequestsLevel           string              `json:"log_requests_level"`
	MaxLeaseTTL                int64               `json:"max_lease_ttl"`
	PIDFile                    string              `json:"pid_file"`
	PluginDirectory            string              `json:"plugin_directory"`
	PluginFilePermissions      int                 `json:"plugin_file_permissions"`
	PluginFileUID              int                 `json:"plugin_file_uid"`
	RawStorageEndpoint         bool                `json:"raw_storage_endpoint"`
	Seals                      []SanitizedSeal     `json:"seals"`
	Storage                    SanitizedStorage    `json:"storage"`
	Telemetry                  SanitizedTelemetry  `json:"telemetry"`
}

// SanitizedListener is one listener, with the keys that its stanza set.
type SanitizedListener struct {
	Config SanitizedListenerConfig `json:"config"`
	Type   string                  `json:"type"`
}

// SanitizedListenerConfig is an allow-list: a key that is not here is not shown.
type SanitizedListenerConfig struct {
	Address              string   `json:"address"`
	ClusterAddress       string   `json:"cluster_address,omitempty"`
	MaxRequestDuration   int64    `json:"max_request_duration,omitempty"`
	MaxRequestSize       int64    `json:"max_request_size,omitempty"`
	ProxyAuthorized      []string `json:"proxy_protocol_authorized_addrs,omitempty"`
	ProxyBehavior        string   `json:"proxy_protocol_behavior,omitempty"`
	TLSCertFile          string   `json:"tls_cert_file,omitempty"`
	TLSCipherSuites      []string `json:"tls_cipher_suites,omitempty"`
	TLSClientCAFile      string   `json:"tls_client_ca_file,omitempty"`
	TLSDisable           bool     `json:"tls_disable"`
	TLSKeyFile           string   `json:"tls_key_file,omitempty"`
	TLSMaxVersion        string   `json:"tls_max_version,omitempty"`
	TLSMinVersion        string   `json:"tls_min_version,omitempty"`
	TLSRequireClientCert bool     `json:"tls_require_and_verify_client_cert,omitempty"`
	ForwardedAuthorized  []string `json:"x_forwarded_for_authorized_addrs,omitempty"`
	ForwardedHopSkips    int64    `json:"x_forwarded_for_hop_skips,omitempty"`
}

// SanitizedSeal is one seal without its settings.
type SanitizedSeal struct {
	Disabled bool   `json:"disabled"`
	Name     string `json:"name,omitempty"`
	Priority int    `json:"priority,omitempty"`
	Type     string `json:"type"`
}

// SanitizedStorage is the storage without its settings.
type SanitizedStorage struct {
	ClusterAddr       string `json:"cluster_addr"`
	DisableClustering bool   `json:"disable_clustering"`
	RedirectAddr      string `json:"redirect_addr"`
	Type              string `json:"type"`
}

// SanitizedTelemetry is the telemetry without its sinks.
type SanitizedTelemetry struct {
	LeaseMetricsNamespaces  bool     `json:"add_lease_metrics_namespace_labels"`
	RollbackMetrics         bool     `json:"add_mount_point_rollback_metrics"`
	DisableHostname         bool     `json:"disable_hostname"`
	EnableHostnameLabel     bool     `json:"enable_hostname_label"`
	LeaseMetricsEpsilon     int64    `json:"lease_metrics_epsilon"`
	MaximumGaugeCardinality int      `json:"maximum_gauge_cardinality"`
	MetricsPrefix           string   `json:"metrics_prefix"`
	NumLeaseMetricsBuckets  int      `json:"num_lease_metrics_buckets"`
	PrefixFilter            []string `json:"prefix_filter,omitempty"`
	PrometheusRetention     int64    `json:"prometheus_retention_time"`
	UsageGaugePeriod        int64    `json:"usage_gauge_period"`
}

// Sanitized is c without anything secret.
func (c *Config) Sanitized() Sanitized {
	s := Sanitized{
		AllowAuditLogPrefixing:     c.AllowAuditLogPrefixing,
		APIAddr:                    c.APIAddr,
		CacheSize:                  c.CacheSize,
		ClusterAddr:                c.ClusterAddr,
		ClusterCipherSuites:        c.ClusterCiphers,
		ClusterName:                c.ClusterName,
		DefaultLeaseTTL:            int64(c.DefaultLeaseTTL.Seconds()),
		DefaultMaxRequestDuration:  int64(c.DefaultMaxRequestDuration.Seconds()),
		DisableCache:               c.DisableCache,
		DisableClustering:          c.DisableClustering,
		DisableMlock:               c.DisableMlock,
		ResponseHeaderHostname:     c.ResponseHeaderHostname,
		ResponseHeaderRaftNodeID:   c.ResponseHeaderRaftNodeID,
		EnableUI:                   c.UI,
		ImpreciseLeaseRoleTracking: c.ImpreciseLeaseRoleTracking,
		IntrospectionEndpoint:      c.IntrospectionEndpoint,
		Listeners:                  []SanitizedListener{},
		LogFormat:                  c.LogFormat,
		LogLevel:                   c.LogLevel,
		LogRequestsLevel:           c.LogRequestsLevel,
		MaxLeaseTTL:                int64(c.MaxLeaseTTL.Seconds()),
		PIDFile:                    c.PIDFile,
		PluginDirectory:            c.PluginDirectory,
		PluginFilePermissions:      c.PluginFilePermissions,
		PluginFileUID:              c.PluginFileUID,
		RawStorageEndpoint:         c.RawStorageEndpoint,
		Storage:                    SanitizedStorage{ClusterAddr: c.ClusterAddr, DisableClustering: c.DisableClustering, RedirectAddr: c.APIAddr, Type: c.Storage.Type},
		Telemetry:                  c.Telemetry.sanitized(),
	}
	for _, l := range c.Listeners {
		s.Listeners = append(s.Listeners, l.sanitized())
	}
	for _, seal := range c.Seals {
		s.Seals = append(s.Seals, SanitizedSeal{seal.Disabled, seal.Name, seal.Priority, seal.Type})
	}
	if len(s.Seals) == 0 {
		s.Seals = []SanitizedSeal{{Type: "shamir"}}
	}
	return s
}

func (l Listener) sanitized() SanitizedListener {
	return SanitizedListener{Type: l.Type, Config: SanitizedListenerConfig{
		Address:              l.Address,
		ClusterAddress:       l.ClusterAddress,
		MaxRequestDuration:   int64(l.MaxRequestDuration.Seconds()),
		MaxRequestSize:       l.MaxRequestSize,
		ProxyAuthorized:      l.ProxyProtocolAuthorized,
		ProxyBehavior:        l.ProxyProtocolBehavior,
		TLSCertFile:          l.TLSCertFile,
		TLSCipherSuites:      l.TLSCipherSuites,
		TLSClientCAFile:      l.TLSClientCAFile,
		TLSDisable:           l.TLSDisable,
		TLSKeyFile:           l.TLSKeyFile,
		TLSMaxVersion:        l.TLSMaxVersion,
		TLSMinVersion:        l.TLSMinVersion,
		TLSRequireClientCert: l.TLSRequireClientCert,
		ForwardedAuthorized:  l.ForwardedAuthorized,
		ForwardedHopSkips:    l.ForwardedHopSkips,
	}}
}

func (t Telemetry) sanitized() SanitizedTelemetry {
	return SanitizedTelemetry{
		LeaseMetricsNamespaces:  t.LeaseMetricsNamespaces,
		RollbackMetrics:         t.MountPointRollbackMetric,
		DisableHostname:         t.DisableHostname,
		EnableHostnameLabel:     t.EnableHostnameLabel,
		LeaseMetricsEpsilon:     int64(t.LeaseMetricsEpsilon.Seconds()),
		MaximumGaugeCardinality: t.MaximumGaugeCardinality,
		MetricsPrefix:           t.MetricsPrefix,
		NumLeaseMetricsBuckets:  t.NumLeaseMetricsBuckets,
		PrefixFilter:            t.PrefixFilter,
		PrometheusRetention:     int64(max(0, t.PrometheusRetention).Seconds()),
		UsageGaugePeriod:        int64(t.UsageGaugePeriod.Seconds()),
	}
}
