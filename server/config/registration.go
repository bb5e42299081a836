package config

import "time"

// A Registration is a directory of services that is told how this node stands.
type Registration struct {
	Type string // consul or kubernetes; "" is none

	// Of kubernetes; "" is what the environment of the pod says.
	Namespace string
	PodName   string

	// Of consul.
	Address        string // of its agent, host:port or URL; "" is http://127.0.0.1:8500
	Scheme         string // http or https; "" is that of Address
	Service        string // "" is vault
	ServiceTags    []string
	ServiceAddress *string       // nil is the host of api_addr, "" leaves it to the agent
	Token          string        // never shown
	CheckTimeout   time.Duration // 0 is 5 s
	TLSCAFile      string
	TLSCertFile    string
	TLSKeyFile     string
	TLSSkipVerify  bool
}

func (c *Config) setRegistration(d *decoder, e entry) {
	found := d.labels(e.key, e)
	if len(found) > 1 {
		d.fail(found[1].pos, "only one %q stanza is possible", e.key)
		return
	}
	for _, l := range found {
		r, off := Registration{Type: l.label}, false
		switch l.label {
		case "kubernetes":
			d.stanza("service_registration \"kubernetes\"", l.body, fields{"namespace": str(&r.Namespace), "pod_name": str(&r.PodName)}, nil)
		case "consul":
			d.stanza("service_registration \"consul\"", l.body, fields{
				"address": str(&r.Address), "scheme": word(&r.Scheme, "http", "https"), "service": str(&r.Service), "service_tags": strs(&r.ServiceTags),
				"service_address": func(d *decoder, e entry) {
					r.ServiceAddress = new(string)
					str(r.ServiceAddress)(d, e)
				},
				"service_meta": unsupported("tag the service instead"),
				"token":        str(&r.Token), "check_timeout": duration(&r.CheckTimeout), "disable_registration": boolean(&off),
				"tls_ca_file": str(&r.TLSCAFile), "tls_cert_file": str(&r.TLSCertFile), "tls_key_file": str(&r.TLSKeyFile),
				"tls_min_version": ignored, "tls_skip_verify": boolean(&r.TLSSkipVerify),
			}, nil)
		default:
			d.fail(l.pos, "service_registration %q is not served: use consul or kubernetes", l.label)
			continue
		}
		if off {
			r = Registration{}
		}
		c.Registration = r
	}
}
