package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// endpoint reads an address. For unix:// the socket is dialled whatever the
// request's host, which is then localhost.
func endpoint(address string) (base *url.URL, socket string, err error) {
	if address == "" {
		address = DefaultAddress
	}
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		return &url.URL{Scheme: "http", Host: "localhost"}, path, nil
	}
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, "", fmt.Errorf("address %q: want http://HOST:PORT, https://HOST:PORT or unix:///PATH", address)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, "", nil
}

// transport dials as the configuration says.
func transport(c Config, socket string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	if c.Proxy != "" {
		u, err := url.Parse(c.Proxy)
		if err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		t.Proxy = http.ProxyURL(u)
	}
	if socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}
	}
	var err error
	t.TLSClientConfig, err = tlsConfig(c)
	return t, err
}

func tlsConfig(c Config) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.SkipVerify} //nolint:gosec // the caller asked
	if (c.ClientCert == "") != (c.ClientKey == "") {
		return nil, errors.New("a client certificate needs both its certificate file and its key file")
	}
	if c.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		// Sent whatever authorities the server names: it may name none that we know.
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	var err error
	t.RootCAs, err = authorities(c)
	return t, err
}

// authorities is nil for the system's own.
func authorities(c Config) (*x509.CertPool, error) {
	switch {
	case c.CACertBytes != "":
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(c.CACertBytes)) {
			return nil, errors.New("no certificate in the authorities given as text")
		}
		return pool, nil
	case c.CACert != "":
		pool := x509.NewCertPool()
		return pool, addAuthority(pool, c.CACert)
	case c.CAPath != "":
		return authoritiesIn(c.CAPath)
	}
	return nil, nil
}

func authoritiesIn(dir string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return addAuthority(pool, path)
	})
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	return pool, nil
}

func addAuthority(pool *x509.CertPool, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("certificate authority: no PEM certificate in %s", file)
	}
	return nil
}
