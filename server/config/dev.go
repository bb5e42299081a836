package config

import (
	"net"
	"net/url"
	"strconv"
)

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

// ClusterAddress is where the node listens for others: cluster_address of the
// first tcp listener, or the port above its own. It is "" when there is none, or
// with disable_clustering.
func (c *Config) ClusterAddress() string {
	if c.DisableClustering {
		return ""
	}
	for _, l := range c.Listeners {
		if l.Type == "tcp" && l.ClusterAddress != "" {
			return l.ClusterAddress
		}
		if l.Type == "tcp" {
			return portAbove(l.Address)
		}
	}
	return ""
}

// ClusterURL is where other nodes reach this one: cluster_addr, or the port above
// that of the URL that clients use.
func (c *Config) ClusterURL() string {
	if c.ClusterAddr != "" || c.DisableClustering {
		return c.ClusterAddr
	}
	api := c.APIAddr
	if api == "" {
		api = c.ListenerURL()
	}
	u, err := url.Parse(api)
	if err != nil || u.Host == "" {
		return ""
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	return "https://" + portAbove(host)
}

func portAbove(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	n, err := strconv.Atoi(port)
	if err != nil || n >= 65535 {
		return ""
	}
	if n > 0 { // 0 is any port, and so is the one of the cluster
		n++
	}
	return net.JoinHostPort(host, strconv.Itoa(n))
}
