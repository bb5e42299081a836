package listener_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/server/listener"
)

func opened(t *testing.T, conf config.Listener) *listener.Listener {
	t.Helper()
	conf.Type, conf.Address, conf.TLSDisable = "tcp", "127.0.0.1:0", true
	l, err := listener.Open(conf, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestForwardedAddresses(t *testing.T) {
	proxies := config.Listener{ForwardedAuthorized: []string{"10.0.0.0/8", "fd00::1"}}
	with := func(set func(*config.Listener)) config.Listener {
		l := proxies
		set(&l)
		return l
	}
	skips := with(func(l *config.Listener) { l.ForwardedHopSkips = 1 })
	missing := with(func(l *config.Listener) { l.ForwardedAllowNotPresent = true })
	strangers := with(func(l *config.Listener) { l.ForwardedAllowUnauthorized = true })
	for name, c := range map[string]struct {
		conf               config.Listener
		peer, header, want string // want begins with ! for what the refusal says
	}{
		"no proxies are named":   {config.Listener{}, "10.1.1.1:5", "1.1.1.1", "10.1.1.1:5"},
		"the last hop":           {proxies, "10.1.1.1:5", "1.1.1.1, 2.2.2.2", "2.2.2.2:5"},
		"a proxy over IPv6":      {proxies, "[fd00::1]:5", "2001:db8::1", "[2001:db8::1]:5"},
		"a mapped peer":          {proxies, "[::ffff:10.1.1.1]:5", "1.1.1.1", "1.1.1.1:5"},
		"a hop with a port":      {proxies, "10.1.1.1:5", "[2001:db8::1]:99", "[2001:db8::1]:5"},
		"two headers":            {proxies, "10.1.1.1:5", "1.1.1.1|2.2.2.2", "2.2.2.2:5"},
		"one hop is skipped":     {skips, "10.1.1.1:5", "1.1.1.1, 2.2.2.2, 3.3.3.3", "2.2.2.2:5"},
		"too few to skip":        {skips, "10.1.1.1:5", "1.1.1.1", "!hops to skip (1) would skip before earliest chain link (chain length 1)"},
		"no address":             {proxies, "10.1.1.1:5", "x", "!it names no address"},
		"missing":                {proxies, "10.1.1.1:5", "", "!missing x-forwarded-for header"},
		"missing, allowed":       {missing, "10.1.1.1:5", "", "10.1.1.1:5"},
		"a stranger's, missing":  {missing, "192.168.1.1:5", "", "192.168.1.1:5"},
		"a stranger's":           {proxies, "192.168.1.1:5", "1.1.1.1", "!client address not authorized for x-forwarded-for"},
		"a stranger's, ignored":  {strangers, "192.168.1.1:5", "1.1.1.1", "192.168.1.1:5"},
		"a peer with no address": {proxies, "@", "1.1.1.1", "!client address not authorized"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		for h := range strings.SplitSeq(c.header, "|") {
			if h != "" {
				r.Header.Add("X-Forwarded-For", h)
			}
		}
		got, err := opened(t, c.conf).Client(r)
		said, refusal := strings.CutPrefix(c.want, "!")
		switch {
		case refusal && (err == nil || !strings.Contains(err.Error(), said)):
			t.Errorf("%s: %v, want a refusal with %q", name, err, said)
		case !refusal && (err != nil || got.RemoteAddr != c.want):
			t.Errorf("%s: %v, %v, want %s", name, got, err, c.want)
		}
	}
}

// A proxy that is trusted says which certificate its client showed. Nobody else
// does, and no proxy passes for its client with its own.
func TestForwardedClientCertificates(t *testing.T) {
	_, file, _ := certificate(t, t.TempDir())
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	der, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	inBase64 := base64.StdEncoding.EncodeToString(block.Bytes)
	conf := func(decoders ...string) config.Listener {
		return config.Listener{ForwardedAuthorized: []string{"10.0.0.0/8"}, ForwardedAllowUnauthorized: true, ForwardedAllowNotPresent: true,
			ForwardedCertHeader: "X-Client-Cert", ForwardedCertDecoders: decoders}
	}
	for name, c := range map[string]struct {
		conf               config.Listener
		peer, header, want string // want: client, none, proxy or refused
	}{
		"as Traefik sends it": {conf("BASE64"), "10.1.1.1:5", inBase64, "client"},
		"as nginx sends it":   {conf("URL", "DER"), "10.1.1.1:5", url.PathEscape(string(text)), "client"},
		"none":                {conf("BASE64"), "10.1.1.1:5", "", "none"},
		"rubbish":             {conf("BASE64"), "10.1.1.1:5", "%%%", "refused"},
		"not decoded":         {conf(), "10.1.1.1:5", inBase64, "refused"},
		"of a stranger":       {conf("BASE64"), "192.168.1.1:5", inBase64, "proxy"},
		"no such option":      {config.Listener{ForwardedAuthorized: []string{"10.0.0.0/8"}}, "10.1.1.1:5", inBase64, "proxy"},
	} {
		own := &x509.Certificate{Raw: []byte("the proxy's own")}
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}, TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{own}}}
		r.Header.Set("X-Forwarded-For", "1.1.1.1")
		if c.header != "" {
			r.Header.Set("X-Client-Cert", c.header)
		}
		got, err := opened(t, c.conf).Client(r)
		is := "none"
		switch {
		case err != nil:
			is = "refused"
		case len(got.TLS.PeerCertificates) == 1 && got.TLS.PeerCertificates[0].Equal(der):
			is = "client"
		case len(got.TLS.PeerCertificates) == 1:
			is = "proxy"
		}
		if is != c.want {
			t.Errorf("%s: %s (%v), want %s", name, is, err, c.want)
		}
		if c.conf.ForwardedCertHeader != "" && err == nil && got.Header.Get("X-Client-Cert") != "" {
			t.Errorf("%s: the header went on", name)
		}
	}
}
