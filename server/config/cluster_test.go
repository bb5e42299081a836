package config

import "testing"

func TestWhereOtherNodesReachThisOne(t *testing.T) {
	for _, c := range []struct{ listener, cluster, api, url, address string }{
		{"127.0.0.1:8200", "", "", "https://127.0.0.1:8201", "127.0.0.1:8201"},
		{"[::]:8200", "", "https://a.example", "https://a.example:444", "[::]:8201"},
		{"127.0.0.1:8200", "127.0.0.1:9000", "http://a.example:8200", "https://a.example:8201", "127.0.0.1:9000"},
		{"127.0.0.1:0", "", "", "https://127.0.0.1:0", "127.0.0.1:0"},
	} {
		conf := &Config{APIAddr: c.api, Listeners: []Listener{{Type: "tcp", Address: c.listener, ClusterAddress: c.cluster, TLSDisable: true}}}
		if got := conf.ClusterURL(); got != c.url {
			t.Errorf("%+v: others reach it at %q", c, got)
		}
		if got := conf.ClusterAddress(); got != c.address {
			t.Errorf("%+v: it listens at %q", c, got)
		}
		if conf.DisableClustering = true; conf.ClusterURL() != "" || conf.ClusterAddress() != "" {
			t.Errorf("%+v: it is reached although it does not listen", c)
		}
	}
}
