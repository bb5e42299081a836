package listener_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/server/listener"
)

var quiet = slog.New(slog.DiscardHandler)

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })

func serve(t *testing.T, conf config.Listener) *listener.Listener {
	t.Helper()
	return serveWith(t, conf, hello)
}

// serveWith serves what the listener says a request is.
func serveWith(t *testing.T, conf config.Listener, h http.HandlerFunc) *listener.Listener {
	t.Helper()
	l, err := listener.Open(conf, quiet)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Serve(h); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		if err := l.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l
}

func certificate(t *testing.T, dir string) (ca, cert, key string) {
	t.Helper()
	ca, cert, key, err := listener.SelfSigned(dir, []string{"127.0.0.1", "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return ca, cert, key
}

func client(t *testing.T, ca string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func get(t *testing.T, c *http.Client, url string) error {
	t.Helper()
	r, err := c.Get(url)
	if err == nil {
		err = r.Body.Close()
	}
	return err
}

// body is what the server answers, or "refused".
func body(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		return "refused"
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return "refused"
	}
	return string(b)
}

// A new certificate is taken over while the listener serves; a broken one is
// told, and the old one stays in use.
func TestCertificatesAreReplacedWhileServing(t *testing.T) {
	dir := t.TempDir()
	first, cert, key := certificate(t, dir)
	l := serve(t, config.Listener{Type: "tcp", Address: "127.0.0.1:0", TLSCertFile: cert, TLSKeyFile: key})
	url := "https://" + l.Addr().String()
	old := client(t, first)
	if err := get(t, old, url); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(); err == nil {
		t.Error("a broken certificate was taken over")
	}
	if err := get(t, old, url); err != nil {
		t.Errorf("after a broken reload: %v", err)
	}
	second, _, _ := certificate(t, dir)
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := get(t, client(t, second), url); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	if err := get(t, old, url); err == nil {
		t.Error("the old certificate is still served")
	}
}

// Only the versions and suites that the file allows are spoken.
func TestTLSVersionsAndSuites(t *testing.T) {
	ca, cert, key := certificate(t, t.TempDir())
	for name, c := range map[string]struct {
		conf   config.Listener
		client *tls.Config
		spoken bool
	}{
		"1.2 by default":         {config.Listener{}, &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"below tls_min_version":  {config.Listener{TLSMinVersion: "tls13"}, &tls.Config{MaxVersion: tls.VersionTLS12}, false},
		"at tls_min_version":     {config.Listener{TLSMinVersion: "tls13"}, &tls.Config{}, true},
		"above tls_max_version":  {config.Listener{TLSMaxVersion: "tls12"}, &tls.Config{MinVersion: tls.VersionTLS13}, false},
		"a suite that is listed": {config.Listener{TLSCipherSuites: []string{suite}}, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, true},
		"one that is not":        {config.Listener{TLSCipherSuites: []string{suite}}, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.conf.Type, c.conf.Address, c.conf.TLSCertFile, c.conf.TLSKeyFile = "tcp", "127.0.0.1:0", cert, key
			l := serve(t, c.conf)
			asks := client(t, ca)
			conf := asks.Transport.(*http.Transport).TLSClientConfig
			conf.MinVersion, conf.MaxVersion, conf.CipherSuites = c.client.MinVersion, c.client.MaxVersion, c.client.CipherSuites
			if err := get(t, asks, "https://"+l.Addr().String()); (err == nil) != c.spoken {
				t.Errorf("answer: %v", err)
			}
		})
	}
}

const suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"

func TestOldTLSIsRefused(t *testing.T) {
	ca, cert, key := certificate(t, t.TempDir())
	l := serve(t, config.Listener{Type: "tcp", Address: "127.0.0.1:0", TLSCertFile: cert, TLSKeyFile: key})
	c := client(t, ca)
	c.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	c.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS10
	if err := get(t, c, "https://"+l.Addr().String()); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
}

// A client's certificate is asked for and shown to the handler, unless that is
// switched off; one that is required must be of the CA that the file names.
func TestClientCertificates(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	ca, cert, key := certificate(t, dir)
	otherCA, _, _ := certificate(t, other)
	base := config.Listener{Type: "tcp", Address: "127.0.0.1:0", TLSCertFile: cert, TLSKeyFile: key}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set   func(*config.Listener)
		shows bool // the client has a certificate
		want  string
	}{
		"asked for":              {func(*config.Listener) {}, true, "1"},
		"none is needed":         {func(*config.Listener) {}, false, "0"},
		"not asked for":          {func(l *config.Listener) { l.TLSDisableClientCert = true }, true, "0"},
		"required and shown":     {func(l *config.Listener) { l.TLSRequireClientCert, l.TLSClientCAFile = true, ca }, true, "1"},
		"required and missing":   {func(l *config.Listener) { l.TLSRequireClientCert, l.TLSClientCAFile = true, ca }, false, "refused"},
		"required of another CA": {func(l *config.Listener) { l.TLSRequireClientCert, l.TLSClientCAFile = true, otherCA }, true, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := base
			c.set(&conf)
			l := serveWith(t, conf, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, len(r.TLS.PeerCertificates)) })
			asks := client(t, ca)
			if c.shows {
				// Even if its issuer is none that the server names.
				asks.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			if got := body(t, asks, "https://"+l.Addr().String()); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	base.TLSRequireClientCert = true
	if _, err := listener.Open(base, quiet); err == nil {
		t.Error("client certificates are required, and there is no CA to verify them by")
	}
}

// Each time limit of the file is one of HTTP's; a negative one is none.
func TestTimeLimits(t *testing.T) {
	unset := config.Timeouts{ReadHeader: 10 * time.Second, Read: 30 * time.Second, Idle: 5 * time.Minute}
	for name, c := range map[string]struct {
		conf config.Listener
		want config.Timeouts
	}{
		"unset":    {config.Listener{}, unset},
		"set":      {config.Listener{ReadHeaderTimeout: 1, ReadTimeout: 2, WriteTimeout: 3, IdleTimeout: 4}, config.Timeouts{ReadHeader: 1, Read: 2, Write: 3, Idle: 4}},
		"negative": {config.Listener{ReadHeaderTimeout: -1, ReadTimeout: -1, WriteTimeout: -1, IdleTimeout: -1}, config.Timeouts{}},
	} {
		if got := opened(t, c.conf).Times(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// HTTP/2 is spoken over TLS, before and after a reload, to whoever knows it.
func TestHTTP2OverTLS(t *testing.T) {
	ca, cert, key := certificate(t, t.TempDir())
	l := serveWith(t, config.Listener{Type: "tcp", Address: "127.0.0.1:0", TLSCertFile: cert, TLSKeyFile: key},
		func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	for _, c := range []struct {
		http2 bool
		want  string
	}{{true, "HTTP/2.0"}, {false, "HTTP/1.1"}, {true, "HTTP/2.0"}} {
		asks := client(t, ca)
		tr := asks.Transport.(*http.Transport)
		tr.ForceAttemptHTTP2, tr.DisableKeepAlives = c.http2, !c.http2
		if got := body(t, asks, "https://"+l.Addr().String()); got != c.want {
			t.Errorf("spoke %s, want %s", got, c.want)
		}
		tr.CloseIdleConnections()
		if err := l.Reload(); err != nil {
			t.Fatal(err)
		}
	}
}
