package listener_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/server/listener"
)

var quiet = slog.New(slog.DiscardHandler)

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })

func serve(t *testing.T, conf config.Listener) *listener.Listener {
	t.Helper()
	l, err := listener.Open(conf, quiet)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Serve(hello) }()
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

func TestAClientCertificateCanBeRequired(t *testing.T) {
	ca, cert, key := certificate(t, t.TempDir())
	conf := config.Listener{Type: "tcp", Address: "127.0.0.1:0", TLSCertFile: cert, TLSKeyFile: key, TLSRequireClientCert: true}
	if _, err := listener.Open(conf, quiet); err == nil {
		t.Fatal("client certificates are required, and there is no CA to verify them by")
	}
	conf.TLSClientCAFile = ca
	l := serve(t, conf)
	if err := get(t, client(t, ca), "https://"+l.Addr().String()); err == nil {
		t.Error("served without a client certificate")
	}
}

// A socket has the mode that was asked for, whatever the umask; a stale one is
// replaced, one that somebody serves is not.
func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	serve(t, config.Listener{Type: "unix", Address: path, SocketMode: 0o640})
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if _, err := listener.Open(config.Listener{Type: "unix", Address: path}, quiet); err == nil {
		t.Error("took over a socket that is served")
	}
}

func TestForwardedAddresses(t *testing.T) {
	l := serve(t, config.Listener{Type: "tcp", Address: "127.0.0.1:0", TLSDisable: true,
		ForwardedAuthorized: []string{"10.0.0.0/8"}, ForwardedHopSkips: 1})
	for _, c := range []struct{ peer, header, want string }{
		{"10.1.1.1:5", "1.1.1.1, 2.2.2.2, 3.3.3.3", "2.2.2.2:5"},
		{"10.1.1.1:5", "1.1.1.1", "error"},
		{"10.1.1.1:5", "", "error"},
		{"10.1.1.1:5", "x, y", "error"},
		{"192.168.1.1:5", "1.1.1.1, 2.2.2.2", "error"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		if c.header != "" {
			r.Header.Set("X-Forwarded-For", c.header)
		}
		got, err := l.ClientAddr(r)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s via %q: %s (%v), want %s", c.peer, c.header, got, err, c.want)
		}
	}
}
