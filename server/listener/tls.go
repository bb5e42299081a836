package listener

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/fastness-dev/fastness/server/config"
)

// loadTLS reads a listener's TLS settings as a whole: a handshake sees the old
// certificate with the old client CAs or the new with the new. Session tickets
// belong to one tls.Config, so that no session made under old client CAs is
// resumed under new ones.
func loadTLS(conf config.Listener) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(conf.TLSCertFile, conf.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", conf.TLSCertFile, conf.TLSKeyFile, err)
	}
	suites, err := config.CipherSuites(conf.TLSCipherSuites)
	if err != nil {
		return nil, fmt.Errorf("tls_cipher_suites: %w", err)
	}
	t := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   version(conf.TLSMinVersion, tls.VersionTLS12),
		MaxVersion:   version(conf.TLSMaxVersion, 0),
		CipherSuites: suites,
		NextProtos:   []string{"h2", "http/1.1"},
		ClientAuth:   clientAuth(conf),
	}
	if conf.TLSClientCAFile == "" {
		if conf.TLSRequireClientCert {
			return nil, fmt.Errorf("tls_require_and_verify_client_cert needs tls_client_ca_file")
		}
		return t, nil
	}
	pem, err := os.ReadFile(conf.TLSClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("read tls_client_ca_file: %w", err)
	}
	t.ClientCAs = x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_client_ca_file %s holds no PEM certificate", conf.TLSClientCAFile)
	}
	return t, nil
}

// clientAuth asks for a certificate without judging it unless told otherwise,
// since the cert auth method judges it by its own CAs.
func clientAuth(conf config.Listener) tls.ClientAuthType {
	switch {
	case conf.TLSRequireClientCert:
		return tls.RequireAndVerifyClientCert
	case conf.TLSDisableClientCert:
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
