package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 30 * 24 * time.Hour
	// skew is how far a certificate reaches back, for nodes whose clocks are behind.
	skew = time.Hour

	certificateBlock = "CERTIFICATE"
	keyBlock         = "EC PRIVATE KEY"
)

// An Authority makes the certificates of a cluster's nodes. Its key belongs
// behind the barrier.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority draws one that is valid for ten years from now.
func NewAuthority(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw the key of the cluster's authority: %w", err)
	}
	serial, err := drawSerial()
	if err != nil {
		return nil, err
	}
	// Two authorities are trusted at once while one takes the other's place, so
	// their names differ.
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: fmt.Sprintf("fastness cluster %x", serial)},
		NotBefore:    now.Add(-skew), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of the cluster's authority: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of the cluster's authority: %w", err)
	}
	return &Authority{certificate, key}, nil
}

// DecodeAuthority is the inverse of EncodeCertificate and EncodeKey.
func DecodeAuthority(certificate, key []byte) (*Authority, error) {
	c, err := decodeCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of the cluster's authority: %w", err)
	}
	k, err := decodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("read the key of the cluster's authority: %w", err)
	}
	if !k.PublicKey.Equal(c.PublicKey) {
		return nil, errors.New("the certificate of the cluster's authority is for another key")
	}
	return &Authority{c, k}, nil
}

// Certificate is what nodes trust, in DER.
func (a *Authority) Certificate() []byte { return a.certificate.Raw }

// EncodeCertificate returns the certificate in PEM. It is no secret.
func (a *Authority) EncodeCertificate() []byte { return encodeCertificate(a.certificate) }

// EncodeKey returns the key in PEM. It is a secret.
func (a *Authority) EncodeKey() ([]byte, error) { return encodeKey(a.key) }

// Issue makes the certificate, in DER, of the node that raft knows as raftID and
// people as nodeID, for 30 days or what is left of the authority's own time. The
// public key is PKIX in DER, as [Identity.PublicKey] gives it. A node asks for
// another one at [Identity.Renewal].
func (a *Authority) Issue(publicKey []byte, nodeID string, raftID uint64, now time.Time) ([]byte, error) {
	if raftID == 0 {
		return nil, errors.New("raft id: 0 is nobody's")
	}
	public, err := parsePublicKey(publicKey)
	if err != nil {
		return nil, err
	}
	end := now.Add(leafLife)
	if last := a.certificate.NotAfter; end.After(last) {
		end = last
	}
	if !end.After(now) {
		return nil, fmt.Errorf("the cluster's authority ended on %s: replace it", end.Format(time.DateOnly))
	}
	begin := now.Add(-skew)
	if first := a.certificate.NotBefore; begin.Before(first) {
		begin = first
	}
	serial, err := drawSerial()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: nodeID},
		NotBefore:    begin, NotAfter: end,
		URIs:                  []*url.URL{nodeURI(raftID)},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, a.certificate, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of node %016x: %w", raftID, err)
	}
	return der, nil
}

// parsePublicKey takes the kind of key that nodes have and no other.
func parsePublicKey(der []byte) (*ecdsa.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errors.New("public key: it is not an ECDSA key on P-256")
	}
	return public, nil
}

// nodeURI is a certificate's only name that counts.
func nodeURI(id uint64) *url.URL {
	return &url.URL{Scheme: "fastness", Host: "node", Path: fmt.Sprintf("/%016x", id)}
}

// raftIDOf reads what nodeURI wrote, in the one way it writes it.
func raftIDOf(c *x509.Certificate) (uint64, error) {
	if len(c.URIs) != 1 {
		return 0, fmt.Errorf("the certificate has %d URIs and not the one of a node", len(c.URIs))
	}
	text := c.URIs[0].String()
	hex, ok := strings.CutPrefix(text, "fastness://node/")
	id, err := strconv.ParseUint(hex, 16, 64)
	if !ok || err != nil || id == 0 || nodeURI(id).String() != text {
		return 0, errors.New("the certificate's URI is not a node's")
	}
	return id, nil
}

// verify returns whose certificate the leaf is, if one of the trusted
// authorities made it, for this use, and now is within its time.
func verify(leaf *x509.Certificate, trusted []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) (uint64, error) {
	roots := x509.NewCertPool()
	for _, c := range trusted {
		roots.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return 0, err
	}
	return raftIDOf(leaf)
}

func drawSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw})
}

func decodeCertificate(b []byte) (*x509.Certificate, error) {
	block, err := onlyBlock(b, certificateBlock)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(block)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

func decodeKey(b []byte) (*ecdsa.PrivateKey, error) {
	block, err := onlyBlock(b, keyBlock)
	if err != nil {
		return nil, err
	}
	return x509.ParseECPrivateKey(block)
}

func onlyBlock(b []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != kind || strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Errorf("it is not one PEM block %s", kind)
	}
	return block.Bytes, nil
}
