package listener

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// SelfSigned writes a fresh CA and a server certificate for hosts (names and
// addresses) into dir, for development: vault-ca.pem, vault-cert.pem and
// vault-key.pem, mode 0600. The CA's key is not kept. Files of an earlier run
// are replaced.
func SelfSigned(dir string, hosts []string) (caFile, certFile, keyFile string, err error) {
	caFile, certFile, keyFile = filepath.Join(dir, "vault-ca.pem"), filepath.Join(dir, "vault-cert.pem"), filepath.Join(dir, "vault-key.pem")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", "", fmt.Errorf("make certificate directory: %w", err)
	}
	files, err := selfSigned(hosts)
	if err != nil {
		return "", "", "", fmt.Errorf("make development certificates: %w", err)
	}
	for i, path := range []string{caFile, certFile, keyFile} {
		if err := writePrivate(path, files[i]); err != nil {
			return "", "", "", err
		}
	}
	return caFile, certFile, keyFile, nil
}

// selfSigned returns CA, certificate and key in PEM.
func selfSigned(hosts []string) (files [3][]byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, err
	}
	ca := template("Fastness development CA")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return files, err
	}
	// The authority key id is taken from the parsed parent.
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		return files, err
	}
	leaf := template("Fastness development server")
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else if h != "" {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return files, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return files, err
	}
	return [3][]byte{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

func template(name string) *x509.Certificate {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial)       // never fails
	serial[0] = serial[0]&0x7f | 1 // positive, as RFC 5280 asks
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Minute), // clocks differ
		NotAfter:     now.AddDate(0, 1, 0),
	}
}

// writePrivate replaces a file whole, so that a reader sees the old or the new.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
