package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Validate says all that would keep a server from starting on c or from doing
// what c means, each with what to do. It opens no files.
func (c *Config) Validate() error {
	v := &validator{}
	v.storage(c.Storage)
	v.joins(c.Storage)
	if len(c.Listeners) == 0 {
		v.fail(Position{}, "no listener: add listener \"tcp\" { address = \"127.0.0.1:8200\" … }")
	}
	seen := map[string]bool{}
	for _, l := range c.Listeners {
		v.listener(l)
		if seen[l.Type+l.Address] {
			v.fail(l.Pos, "two listeners have the address %s: give each its own", l.Address)
		}
		seen[l.Type+l.Address] = true
	}
	v.url("api_addr", c.APIAddr)
	v.url("cluster_addr", c.ClusterAddr)
	v.registration(c.Registration)
	v.times(c)
	v.seals(c.Seals)
	for _, access := range c.UnauthenticatedAccess {
		if access != "rekey" && access != "generate-root" {
			v.fail(Position{}, "enable_unauthenticated_access may hold \"rekey\" and \"generate-root\"")
		}
	}
	return errors.Join(v.errs...)
}

type validator struct{ errs []error }

func (v *validator) fail(pos Position, format string, args ...any) {
	v.errs = append(v.errs, &Error{pos, fmt.Sprintf(format, args...)})
}

func (v *validator) storage(s Storage) {
	switch s.Type {
	case "":
		v.fail(Position{}, "no storage: add storage \"raft\" { path = \"/var/lib/fastness\" }")
	case "raft", "file":
		if s.Path == "" {
			v.fail(Position{}, "storage %q needs a path: the directory that holds the data", s.Type)
		}
	}
	if s.PerformanceMultiplier < 0 || s.PerformanceMultiplier > 10 {
		v.fail(Position{}, "performance_multiplier must be from 0 to 10")
	}
	if s.TrailingLogs < 0 || s.SnapshotThreshold < 0 || s.SnapshotInterval < 0 || s.MaxEntrySize < 0 {
		v.fail(Position{}, "trailing_logs, snapshot_threshold, snapshot_interval and max_entry_size cannot be negative")
	}
}

// joins checks whom the node asks to be let in.
func (v *validator) joins(s Storage) {
	for _, j := range s.RetryJoin {
		v.url("leader_api_addr of retry_join", j.LeaderAPIAddr)
		for _, p := range [][3]string{{"leader_ca_cert", j.CACert, j.CACertFile}, {"leader_client_cert", j.ClientCert, j.ClientCertFile},
			{"leader_client_key", j.ClientKey, j.ClientKeyFile}} {
			if p[1] != "" && p[2] != "" {
				v.fail(Position{}, "retry_join %s: %s and %s_file say the same: keep one", j.LeaderAPIAddr, p[0], p[0])
			}
		}
		if (j.ClientCert+j.ClientCertFile == "") != (j.ClientKey+j.ClientKeyFile == "") {
			v.fail(Position{}, "retry_join %s: a client certificate and its key belong together: give both or none", j.LeaderAPIAddr)
		}
	}
}

func (v *validator) registration(r Registration) {
	if r.CheckTimeout < 0 {
		v.fail(Position{}, "check_timeout of service_registration cannot be negative")
	}
	if (r.TLSCertFile == "") != (r.TLSKeyFile == "") {
		v.fail(Position{}, "service_registration: tls_cert_file and tls_key_file belong together: give both or none")
	}
}

func (v *validator) listener(l Listener) {
	if l.Type == "unix" {
		if l.Address == "" {
			v.fail(l.Pos, "listener \"unix\" needs an address: the path of its socket")
		}
		if len(l.ForwardedAuthorized) > 0 || l.ProxyProtocolBehavior != "" {
			v.fail(l.Pos, "x_forwarded_for_authorized_addrs and proxy_protocol_behavior have no meaning on a unix socket, whose peers have no address")
		}
		return // a socket file has no TLS
	}
	v.hostPort(l.Pos, "address", l.Address)
	if l.ClusterAddress != "" {
		v.hostPort(l.Pos, "cluster_address", l.ClusterAddress)
	}
	v.tls(l)
	v.addresses(l.Pos, "x_forwarded_for_authorized_addrs", l.ForwardedAuthorized)
	v.addresses(l.Pos, "proxy_protocol_authorized_addrs", l.ProxyProtocolAuthorized)
	if l.ForwardedHopSkips < 0 {
		v.fail(l.Pos, "x_forwarded_for_hop_skips cannot be negative")
	}
	if l.ForwardedCertHeader != "" && len(l.ForwardedAuthorized) == 0 {
		v.fail(l.Pos, "x_forwarded_for_client_cert_header needs x_forwarded_for_authorized_addrs: without it anyone could show a certificate that is not theirs")
	}
	needs := l.ProxyProtocolBehavior == "allow_authorized" || l.ProxyProtocolBehavior == "deny_unauthorized"
	if needs && len(l.ProxyProtocolAuthorized) == 0 {
		v.fail(l.Pos, "proxy_protocol_behavior %q needs proxy_protocol_authorized_addrs", l.ProxyProtocolBehavior)
	}
}

func (v *validator) hostPort(pos Position, key, address string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		v.fail(pos, "%q %s must be host:port, such as \"127.0.0.1:8200\" or \"[::]:8200\"", key, address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		v.fail(pos, "%q %s has no valid port: it must be a number up to 65535", key, address)
	}
}

func (v *validator) tls(l Listener) {
	if l.TLSDisable {
		if l.TLSRequireClientCert {
			v.fail(l.Pos, "tls_require_and_verify_client_cert needs TLS: remove tls_disable")
		}
		return
	}
	if l.TLSCertFile == "" || l.TLSKeyFile == "" {
		v.fail(l.Pos, "this listener needs tls_cert_file and tls_key_file; to serve without TLS, set tls_disable = true")
	}
	if l.TLSMinVersion == "tls13" && l.TLSMaxVersion == "tls12" {
		v.fail(l.Pos, "tls_max_version is lower than tls_min_version")
	}
	if l.TLSRequireClientCert && l.TLSDisableClientCert {
		v.fail(l.Pos, "tls_require_and_verify_client_cert and tls_disable_client_certs contradict each other: keep one")
	}
	if l.TLSRequireClientCert && l.TLSClientCAFile == "" {
		v.fail(l.Pos, "tls_require_and_verify_client_cert needs tls_client_ca_file: the CA that client certificates are verified by")
	}
	if l.TLSClientCAFile != "" && l.TLSDisableClientCert {
		v.fail(l.Pos, "tls_client_ca_file has no meaning with tls_disable_client_certs: keep one")
	}
	if _, err := CipherSuites(l.TLSCipherSuites); err != nil {
		v.fail(l.Pos, "tls_cipher_suites: %v", err)
	}
}

// CipherSuites turns names into Go's numbers. Those of TLS 1.3 are accepted and
// have no effect, since Go always offers them.
func CipherSuites(names []string) ([]uint16, error) {
	var ids []uint16
	for _, name := range names {
		id, ok := cipherSuite(name)
		if !ok {
			return nil, fmt.Errorf("%q is not a cipher suite that is served: use names such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", name)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func cipherSuite(name string) (uint16, bool) {
	for _, s := range tls.CipherSuites() {
		// Go once spelt the ChaCha suites without the hash; files still do.
		if s.Name == name || strings.TrimSuffix(s.Name, "_SHA256") == name && strings.Contains(name, "CHACHA20") {
			return s.ID, true
		}
	}
	return 0, false
}

func (v *validator) addresses(pos Position, key string, list []string) {
	if _, err := ParsePrefixes(list); err != nil {
		v.fail(pos, "%s: %v", key, err)
	}
}

// ParsePrefixes reads addresses and CIDR blocks. A port after an address is
// accepted and has no effect, as clients' ports are arbitrary.
func ParsePrefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			ap, errPort := netip.ParseAddrPort(s)
			if errPort != nil {
				return nil, fmt.Errorf("%q is neither an address nor a CIDR block", s)
			}
			a = ap.Addr()
		}
		a = a.Unmap().WithZone("")
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

func (v *validator) url(key, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		v.fail(Position{}, "%s must be a URL such as \"https://vault.example.com:8200\"", key)
	}
}

func (v *validator) times(c *Config) {
	for key, d := range map[string]int64{
		"default_lease_ttl": int64(c.DefaultLeaseTTL), "max_lease_ttl": int64(c.MaxLeaseTTL),
		"default_max_request_duration": int64(c.DefaultMaxRequestDuration),
	} {
		if d < 0 {
			v.fail(Position{}, "%s cannot be negative", key)
		}
	}
	if standard, ceiling := c.LeaseTTLs(); standard > ceiling {
		v.fail(Position{}, "default_lease_ttl %s is longer than max_lease_ttl %s: raise the one or lower the other", standard, ceiling)
	}
}
