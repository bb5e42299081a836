package listener

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/fastness-dev/fastness/server/config"
)

// credentials are a listener's TLS settings, replaced as a whole: a handshake
// sees the old certificate with the old client CA or the new with the new.
// Session tickets belong to one tls.Config, so that no session made under an
// old client CA is resumed after a reload.
type credentials struct {
	cfg     config.Listener
	current atomic.Pointer[tls.Config]
}

func loadCredentials(cfg config.Listener) (*credentials, error) {
	c := &credentials{cfg: cfg}
	return c, c.reload()
}

func (c *credentials) reload() error {
	fresh, err := loadTLS(c.cfg)
	if err != nil {
		return err
	}
	c.current.Store(fresh)
	return nil
}

// serverConfig is what http.Server holds; each handshake asks it anew.
func (c *credentials) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current.Load(), nil
		},
	}
}

func loadTLS(cfg config.Listener) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cfg.TLSCertFile, cfg.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", cfg.TLSCertFile, cfg.TLSKeyFile, err)
	}
	suites, err := config.CipherSuites(cfg.TLSCipherSuites)
	if err != nil {
		return nil, fmt.Errorf("tls_cipher_suites: %w", err)
	}
	t := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   version(cfg.TLSMinVersion, tls.VersionTLS12),
		MaxVersion:   version(cfg.TLSMaxVersion, 0),
		CipherSuites: suites,
		NextProtos:   []string{"h2", "http/1.1"},
		ClientAuth:   clientAuth(cfg),
	}
	if cfg.TLSClientCAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(cfg.TLSClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("read tls_client_ca_file: %w", err)
	}
	t.ClientCAs = x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_client_ca_file %s holds no PEM certificate", cfg.TLSClientCAFile)
	}
	return t, nil
}

// clientAuth asks for a certificate without judging it unless told otherwise,
// since the cert auth method judges it by its own CAs.
func clientAuth(cfg config.Listener) tls.ClientAuthType {
	switch {
	case cfg.TLSRequireClientCert:
		return tls.RequireAndVerifyClientCert
	case cfg.TLSDisableClientCert:
		return tls.NoClientCert
	}
	return tls.RequestClientCert
}

func version(name string, unset uint16) uint16 {
	switch name {
	case "tls12":
		return tls.VersionTLS12
	case "tls13":
		return tls.VersionTLS13
	}
	return unset
}
