package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A ring is the key pairs of a key, in its row of their own:
//
//	Next ──turn──▶ Now ──turn──▶ Old ──until──▶ gone
//
// All are published, Next so that who verifies knows it before it signs.
type ring struct {
	Now     pair      `json:"now"`
	Next    pair      `json:"next"`
	Old     []pair    `json:"old,omitempty"` // by age; without their private keys
	Rotates time.Time `json:"rotates"`       // when Next takes over
}

type pair struct {
	ID        string    `json:"id"` // kid
	Algorithm string    `json:"algorithm"`
	Private   []byte    `json:"private,omitempty"` // PKCS #8
	Public    []byte    `json:"public"`            // PKIX
	Until     time.Time `json:"until,omitzero"`    // of an old one: when nothing that it signed is valid
}

func rings(v engine.View) storage.Table[ring] { return engine.Table[ring](v, "oidc/ring/") }

// rsaBits is the size of RSA keys. Tokens live for hours.
const rsaBits = 2048

// An algorithm makes key pairs for one way to sign.
type algorithm struct {
	name   jose.SignatureAlgorithm
	hash   crypto.Hash // of at_hash and c_hash
	create func() (crypto.Signer, error)
}

func rsaKey() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, rsaBits) }

func curveKey(c elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
}

func edKey() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// algorithms are all that are known. Each pair is used with its own alone,
// whatever a token says of itself.
var algorithms = []algorithm{
	{jose.RS256, crypto.SHA256, rsaKey},
	{jose.RS384, crypto.SHA384, rsaKey},
	{jose.RS512, crypto.SHA512, rsaKey},
	{jose.ES256, crypto.SHA256, curveKey(elliptic.P256())},
	{jose.ES384, crypto.SHA384, curveKey(elliptic.P384())},
	{jose.ES512, crypto.SHA512, curveKey(elliptic.P521())},
	{jose.EdDSA, crypto.SHA512, edKey},
}

var algorithmNames = func() (names []string) {
	for _, a := range algorithms {
		names = append(names, string(a.name))
	}
	return names
}()

func algorithmOf(name string) (*algorithm, error) {
	i := slices.Index(algorithmNames, name)
	if i < 0 {
		return nil, fmt.Errorf("no algorithm %q", name)
	}
	return &algorithms[i], nil
}

func (s *Store) newPair(name string) (p pair, err error) {
	a, err := algorithmOf(name)
	if err != nil {
		return p, err
	}
	key, err := a.create()
	if err != nil {
		return p, fmt.Errorf("make a key pair: %w", err)
	}
	p.ID, p.Algorithm = s.o.NewID(), name
	if p.Private, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return p, fmt.Errorf("encode a private key: %w", err)
	}
	if p.Public, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return p, fmt.Errorf("encode a public key: %w", err)
	}
	return p, nil
}

// ensure is the ring of a key, made if there is none.
func (s *Store) ensure(tx engine.Tx, name string, k *Key) (*ring, error) {
	r, err := rings(tx).Get(name)
	if err != nil || r != nil {
		return r, err
	}
	if err := s.newRing(tx, name, k); err != nil {
		return nil, err
	}
	return rings(tx).Get(name)
}

func (s *Store) newRing(tx engine.Tx, name string, k *Key) error {
	return s.replaceRing(tx, name, k, &ring{})
}

// replaceRing has two new pairs take over at once, for a change of algorithm.
func (s *Store) replaceRing(tx engine.Tx, name string, k *Key, r *ring) (err error) {
	r.retire(tx.Now().Add(time.Duration(k.VerificationTTL)))
	if r.Now, err = s.newPair(k.Algorithm); err != nil {
		return err
	}
	if r.Next, err = s.newPair(k.Algorithm); err != nil {
		return err
	}
	r.Rotates = tx.Now().Add(time.Duration(k.RotationPeriod))
	r.put(tx, name)
	return nil
}

// turn has the next pair sign. The one before is published for keep.
func (s *Store) turn(tx engine.Tx, name string, k *Key, r *ring, keep time.Duration) (err error) {
	r.retire(tx.Now().Add(keep))
	r.Now = r.Next
	if r.Next, err = s.newPair(k.Algorithm); err != nil {
		return err
	}
	r.Rotates = tx.Now().Add(time.Duration(k.RotationPeriod))
	r.put(tx, name)
	return nil
}

// retire puts the pair that signs among the old ones, and drops its private key.
func (r *ring) retire(until time.Time) {
	if r.Now.ID == "" {
		return
	}
	old := r.Now
	old.Private, old.Until = nil, until
	r.Old = append(r.Old, old)
}

// put stores a ring without what has ended, and sees to it that it is looked at
// again when something is due.
func (r *ring) put(tx engine.Tx, name string) {
	r.Old = slices.DeleteFunc(r.Old, func(p pair) bool { return !tx.Now().Before(p.Until.Add(-time.Millisecond)) })
	due := r.Rotates
	for i := range r.Old {
		if r.Old[i].Until.Before(due) {
			due = r.Old[i].Until
		}
	}
	rings(tx).Put(name, r)
	tx.At(due, jobKey, name)
}

// published are the pairs that may have signed something valid, or are about
// to.
func (r *ring) published(now time.Time) []pair {
	var all []pair
	for _, p := range r.Old {
		if now.Before(p.Until) {
			all = append(all, p)
		}
	}
	return append(all, r.Now, r.Next)
}

// jwk is the public half of a pair.
func (p *pair) jwk() (jose.JSONWebKey, error) {
	key, err := x509.ParsePKIXPublicKey(p.Public)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("decode a public key: %w", err)
	}
	return jose.JSONWebKey{Key: key, KeyID: p.ID, Algorithm: p.Algorithm, Use: "sig"}, nil
}

// sign makes a compact JWS of claims.
func (p *pair) sign(claims []byte) (string, error) {
	key, err := x509.ParsePKCS8PrivateKey(p.Private)
	if err != nil {
		return "", fmt.Errorf("decode a private key: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.Algorithm),
		Key: jose.JSONWebKey{Key: key, KeyID: p.ID}}, nil)
	if err != nil {
		return "", fmt.Errorf("make a signer: %w", err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signed.CompactSerialize()
}

// verify is what a token signed by one of the keys of the namespace says, or
// nil when none signed it.
func verify(v engine.View, token *jose.JSONWebSignature) ([]byte, error) {
	if len(token.Signatures) != 1 {
		return nil, nil
	}
	h := token.Signatures[0].Header
	names, err := rings(v).Names("", "")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		r, err := rings(v).Peek(name)
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue
		}
		for _, p := range r.published(v.Now()) {
			if p.ID != h.KeyID || p.Algorithm != h.Algorithm {
				continue
			}
			key, err := p.jwk()
			if err != nil {
				return nil, err
			}
			if claims, err := token.Verify(key.Key); err == nil {
				return claims, nil
			}
		}
	}
	return nil, nil
}
