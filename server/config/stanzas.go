package config

import (
	"strconv"
	"strings"
)

// The stanzas but for the listener, which has its own file.

func (c *Config) setStorage(d *decoder, e entry) {
	found := d.labels(e.key, e)
	if len(found) > 1 {
		d.fail(found[1].pos, "only one %q stanza is possible in a file", e.key)
		return
	}
	for _, l := range found {
		s := Storage{Type: l.label}
		switch l.label {
		case "raft":
			d.stanza("storage \"raft\"", l.body, s.raftFields(), repeats{"retry_join": true})
		case "file":
			d.stanza("storage \"file\"", l.body, fields{"path": str(&s.Path)}, nil)
		case "inmem", "inmem_ha", "inmem_transactional":
			s.Type = "inmem"
			d.stanza("storage \"inmem\"", l.body, fields{}, nil)
		default:
			d.fail(l.pos, "storage %q is not served by this build: use raft or file with a path, or inmem", l.label)
			continue
		}
		c.Storage = s
	}
}

func (s *Storage) raftFields() fields {
	return fields{
		"path":                    str(&s.Path),
		"node_id":                 str(&s.NodeID),
		"performance_multiplier":  integer(&s.PerformanceMultiplier),
		"trailing_logs":           without(integer(&s.TrailingLogs), "the log is cut by its size"),
		"snapshot_threshold":      without(integer(&s.SnapshotThreshold), "the log is cut by its size"),
		"snapshot_interval":       without(duration(&s.SnapshotInterval), "the log is cut by its size"),
		"max_entry_size":          without(integer(&s.MaxEntrySize), "a transaction may take 64 MiB, and a request what max_request_size says"),
		"retry_join":              s.addRetryJoin,
		"retry_join_as_non_voter": boolean(&s.NonVoter),
		"max_mount_and_namespace_table_entry_size": ignored, // mounts are rows of their own here
		"max_transaction_size":                     ignored,
		"autopilot_reconcile_interval":             ignored,
		"autopilot_update_interval":                ignored,
		"autopilot_redundancy_zone":                unsupported("any node may lead and vote; set retry_join_as_non_voter for one that shall not"),
		"autopilot_upgrade_version":                unsupported("upgrade one node after the other"),
		"raft_wal":                                 ignored, // our log has its own format
		"raft_log_verifier_enabled":                ignored, // our log is always verified
		"raft_log_verification_interval":           ignored,
	}
}

const noAutoJoin = "nodes are not looked for: give leader_api_addr, with one retry_join for each node that may be there"

func (s *Storage) addRetryJoin(d *decoder, e entry) {
	if len(s.RetryJoin) == 0 {
		d.warn(e.pos, "%q is not acted on by this build: run \"fastness operator raft join\" on this node", e.key)
	}
	for _, n := range blocksOf(e.value) {
		var j RetryJoin
		d.stanza("retry_join", n, fields{
			"leader_api_addr":         str(&j.LeaderAPIAddr),
			"leader_tls_servername":   str(&j.TLSServerName),
			"leader_ca_cert_file":     str(&j.CACertFile),
			"leader_client_cert_file": str(&j.ClientCertFile),
			"leader_client_key_file":  str(&j.ClientKeyFile),
			"leader_ca_cert":          str(&j.CACert),
			"leader_client_cert":      str(&j.ClientCert),
			"leader_client_key":       str(&j.ClientKey),
			"auto_join":               unsupported(noAutoJoin),
			"auto_join_scheme":        unsupported(noAutoJoin),
			"auto_join_port":          unsupported(noAutoJoin),
			"retry":                   ignored, // these are always retried
		}, nil)
		if j.LeaderAPIAddr != "" { // else it was auto_join, which has warned
			s.RetryJoin = append(s.RetryJoin, j)
		}
	}
}

func (c *Config) addLockouts(d *decoder, e entry) {
	for _, l := range d.labels(e.key, e) {
		u := UserLockout{Type: l.label}
		if !strings.Contains(" all userpass ldap approle ", " "+l.label+" ") {
			d.fail(l.pos, "user_lockout %q must be one of all, userpass, ldap, approle", l.label)
		}
		d.stanza("user_lockout", l.body, fields{
			"lockout_threshold":     integer(&u.Threshold),
			"lockout_duration":      duration(&u.Duration),
			"lockout_counter_reset": duration(&u.CounterReset),
			"disable_lockout":       boolean(&u.Disable),
		}, nil)
		c.UserLockouts = append(c.UserLockouts, u)
	}
}

func (t *Telemetry) fields() fields {
	table := fields{
		"prometheus_retention_time": t.setRetention,
		"disable_hostname":          boolean(&t.DisableHostname),
		"enable_hostname_label":     boolean(&t.EnableHostnameLabel),
		"metrics_prefix":            t.setMetricsPrefix,
		"filter_default":            t.setFilterDefault,
		"prefix_filter":             t.setPrefixFilter,
		"usage_gauge_period":        duration(&t.UsageGaugePeriod),
	}
	for key, set := range map[string]setter{
		"maximum_gauge_cardinality":          integer(&t.MaximumGaugeCardinality),
		"lease_metrics_epsilon":              duration(&t.LeaseMetricsEpsilon),
		"num_lease_metrics_buckets":          integer(&t.NumLeaseMetricsBuckets),
		"add_lease_metrics_namespace_labels": boolean(&t.LeaseMetricsNamespaces),
		"add_mount_point_rollback_metrics":   boolean(&t.MountPointRollbackMetric),
	} {
		table[key] = func(d *decoder, e entry) {
			unsupported("gauges of leases by time and of rollbacks are not measured")(d, e)
			set(d, e)
		}
	}
	sinks := false
	for _, key := range strings.Fields(`statsite_address statsd_address dogstatsd_addr dogstatsd_tags
		circonus_api_token circonus_api_app circonus_api_url circonus_submission_interval circonus_submission_url
		circonus_check_id circonus_check_force_metric_activation circonus_check_instance_id circonus_check_search_tag
		circonus_check_tags circonus_check_display_name circonus_broker_id circonus_broker_select_tag
		stackdriver_project_id stackdriver_location stackdriver_namespace stackdriver_debug_logs`) {
		table[key] = func(d *decoder, e entry) {
			if !sinks { // once for all keys of all sinks
				d.warn(e.pos, "%q and the like have no effect in this build: metrics are not pushed; scrape sys/metrics instead", e.key)
			}
			sinks = true
		}
	}
	return table
}

// setRetention keeps whether metrics are told in Prometheus' format: how long
// it keeps them is Prometheus' own affair.
func (t *Telemetry) setRetention(d *decoder, e entry) {
	duration(&t.PrometheusRetention)(d, e)
	if t.PrometheusRetention == 0 && e.value.text != "" {
		t.PrometheusRetention = -1
	}
}

func (t *Telemetry) setMetricsPrefix(d *decoder, e entry) {
	str(&t.MetricsPrefix)(d, e)
	letter := func(r rune) bool { return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	for i, r := range t.MetricsPrefix {
		if !letter(r) && (i == 0 || r < '0' || r > '9') {
			d.fail(e.pos, "%q must be letters, digits and underscores, and not begin with a digit", e.key)
			return
		}
	}
}

func (t *Telemetry) setPrefixFilter(d *decoder, e entry) {
	strs(&t.PrefixFilter)(d, e)
	for _, f := range t.PrefixFilter {
		if len(f) < 2 || f[0] != '+' && f[0] != '-' {
			d.fail(e.pos, "%q must hold prefixes of names, each after a + to tell or a - to hide them", e.key)
		}
	}
}

func (t *Telemetry) setFilterDefault(d *decoder, e entry) {
	t.FilterDefault = new(bool)
	boolean(t.FilterDefault)(d, e)
}

// octal is a file mode: "0640", "640" or the number 0640.
func octal(to *int) setter {
	return func(d *decoder, e entry) {
		if e.value.text == "" && e.value.kind == text {
			return
		}
		v, err := strconv.ParseUint(strings.TrimPrefix(e.value.text, "0o"), 8, 12)
		if err != nil {
			d.fail(e.pos, "%q must be a file mode in octal, such as \"0640\"", e.key)
			return
		}
		*to = int(v)
	}
}
