package config

// DevOptions are what `server -dev` may be told.
type DevOptions struct {
	Address  string // "" is DefaultAddress
	CertFile string // with KeyFile, serves TLS
	KeyFile  string
}

// DevConfig is the configuration of a server to try things out on: in memory,
// on the loopback interface, with the UI on.
func DevConfig(o DevOptions) *Config {
	l := Listener{Type: "tcp", Address: o.Address, TLSCertFile: o.CertFile, TLSKeyFile: o.KeyFile, TLSDisable: o.CertFile == ""}
	if l.Address == "" {
		l.Address = DefaultAddress
	}
	c := &Config{Storage: Storage{Type: "inmem"}, Listeners: []Listener{l}, UI: true}
	c.APIAddr = c.ListenerURL()
	return c
}

// ListenerURL is the URL of the first tcp listener as this machine reaches it,
// or "" when there is none. It is what api_addr falls back to.
func (c *Config) ListenerURL() string {
	for _, l := range c.Listeners {
		if l.Type == "tcp" && l.TLSDisable {
			return "http://" + l.Address
		}
		if l.Type == "tcp" {
			return "https://" + l.Address
		}
	}
	return ""
}
