package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// identityFile is the node's own file beside its log.
const identityFile = "node.json"

// An Identity is a node's own key, its certificate, and the authorities whose
// certificates it takes. It never changes; a renewed one is another.
type Identity struct {
	key         *ecdsa.PrivateKey
	public      []byte
	id          uint64
	certificate *x509.Certificate // nil until the node is a member
	trusted     []*x509.Certificate
}

// NewIdentity draws a key. The identity has no certificate yet; With gives it one.
func NewIdentity() (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw the node's key: %w", err)
	}
	return identityOf(key)
}

func identityOf(key *ecdsa.PrivateKey) (*Identity, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the node's public key: %w", err)
	}
	return &Identity{key: key, public: public}, nil
}

// PublicKey is what [Authority.Issue] takes, PKIX in DER.
func (i *Identity) PublicKey() []byte { return i.public }

// ID is the node's raft id, 0 before it has a certificate.
func (i *Identity) ID() uint64 { return i.id }

// Trusted returns the authorities' certificates in DER.
func (i *Identity) Trusted() [][]byte {
	der := make([][]byte, len(i.trusted))
	for n, c := range i.trusted {
		der[n] = c.Raw
	}
	return der
}

// Renewal is when to ask for another certificate: a third of its life is left.
// It is zero before there is one.
func (i *Identity) Renewal() time.Time {
	if i.certificate == nil {
		return time.Time{}
	}
	life := i.certificate.NotAfter.Sub(i.certificate.NotBefore)
	return i.certificate.NotAfter.Add(-life / 3)
}

// With is i with this certificate and these authorities, in DER. It refuses a
// certificate for another key, one that none of them made, and no authority.
func (i *Identity) With(certificate []byte, trusted [][]byte) (*Identity, error) {
	leaf, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("read the node's certificate: %w", err)
	}
	next := &Identity{key: i.key, public: i.public, certificate: leaf}
	for n, der := range trusted {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("read trusted authority %d: %w", n+1, err)
		}
		next.trusted = append(next.trusted, c)
	}
	if !i.key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the node's certificate is for another key")
	}
	// Whether it is valid now is asked at each handshake; here, whether it ever was.
	next.id, err = verify(leaf, next.trusted, x509.ExtKeyUsageServerAuth, leaf.NotBefore)
	if err != nil {
		return nil, fmt.Errorf("the node's certificate is not of this cluster: %w", err)
	}
	return next, nil
}

// tls is what a handshake shows.
func (i *Identity) tls() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{i.certificate.Raw}, PrivateKey: i.key, Leaf: i.certificate}
}

// storedIdentity is what the file holds: PEM, so that people can look at it with
// the tools they have.
type storedIdentity struct {
	RaftID      string   `json:"raft_id,omitempty"` // 16 hex digits
	Key         string   `json:"key"`
	Certificate string   `json:"certificate,omitempty"`
	Trusted     []string `json:"trusted,omitempty"`
}

// Save writes the file of the folder, readable by its owner alone. After a crash
// it holds the identity of before or this one.
func (i *Identity) Save(dir string) error {
	key, err := encodeKey(i.key)
	if err != nil {
		return err
	}
	s := storedIdentity{Key: string(key)}
	if i.certificate != nil {
		s.RaftID = fmt.Sprintf("%016x", i.id)
		s.Certificate = string(encodeCertificate(i.certificate))
	}
	for _, c := range i.trusted {
		s.Trusted = append(s.Trusted, string(encodeCertificate(c)))
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the node's identity: %w", err)
	}
	if err := replaceFile(dir, identityFile, append(b, '\n')); err != nil {
		return fmt.Errorf("save the node's identity: %w", err)
	}
	return nil
}

// LoadIdentity reads what Save wrote. A folder without one is [fs.ErrNotExist].
func LoadIdentity(dir string) (*Identity, error) {
	name := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the node's identity: %w", err)
	}
	i, err := parseIdentity(b)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w: bring it back from a copy, or remove the node from the cluster and let it join anew with an empty folder", name, err)
	}
	return i, nil
}

func parseIdentity(b []byte) (*Identity, error) {
	var s storedIdentity
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	key, err := decodeKey([]byte(s.Key))
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	i, err := identityOf(key)
	if err != nil || s.Certificate == "" {
		return i, err
	}
	leaf, err := decodeCertificate([]byte(s.Certificate))
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	var trusted [][]byte
	for _, text := range s.Trusted {
		c, err := decodeCertificate([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("trusted: %w", err)
		}
		trusted = append(trusted, c.Raw)
	}
	if i, err = i.With(leaf.Raw, trusted); err != nil {
		return nil, err
	}
	if got := fmt.Sprintf("%016x", i.id); got != s.RaftID {
		return nil, fmt.Errorf("raft_id is %q and the certificate says %s", s.RaftID, got)
	}
	return i, nil
}

// replaceFile puts data in place of dir's file, whole or not at all.
func replaceFile(dir, name string, data []byte) (err error) {
	f, err := os.CreateTemp(dir, name+".*") // its mode is 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close %s: %w", name, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
