package transit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/fastness-dev/fastness/engine"
)

// A sealer encrypts and decrypts with one version of a key. It is used by many
// at once. What open refuses is the caller's fault.
type sealer interface {
	seal(o sealOptions, plaintext []byte) ([]byte, error)
	open(o sealOptions, ciphertext []byte) ([]byte, error)
}

type sealOptions struct {
	data  []byte // associated, as the caller sent it
	pkcs1 bool   // of RSA: the old padding
}

type aeadMaker func(key []byte) (cipher.AEAD, error)

func newGCM(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

func newChaCha(key []byte) (cipher.AEAD, error) { return chacha20poly1305.New(key) }

func newXChaCha(key []byte) (cipher.AEAD, error) { return chacha20poly1305.NewX(key) }

// symmetric is the family of keys that are some random bytes.
type symmetric struct {
	size int // in bytes; 0 is what the key says
	aead aeadMaker
}

// Sizes of hmac keys, in bytes.
const (
	minHMAC = 32
	maxHMAC = 512
)

func (f symmetric) generate(size int) (material, error) {
	if f.size > 0 {
		size = f.size
	}
	b := make([]byte, size)
	rand.Read(b)
	return material{Secret: b}, nil
}

func (f symmetric) parse(secret []byte) (material, error) {
	if f.size == 0 && (len(secret) < minHMAC || len(secret) > maxHMAC) || f.size > 0 && len(secret) != f.size {
		return material{}, errSize(len(secret))
	}
	return material{Secret: secret}, nil
}

// errSize is the length in bytes of imported material that is not the kind's.
type errSize int

func (e errSize) Error() string { return fmt.Sprintf("invalid key size %d bytes", int(e)) }

func (f symmetric) sealer(m material) (sealer, error) {
	if f.aead == nil {
		return nil, fmt.Errorf("no cipher")
	}
	a, err := f.aead(m.Secret)
	if err != nil {
		return nil, err
	}
	return aeadSealer{a}, nil
}

// derive is HKDF with SHA-256, without salt, and the context for info. A
// convergent key takes 32 bytes more, for nonces.
func (f symmetric) derive(m material, context []byte, convergent bool) (material, error) {
	n := f.size
	if convergent {
		n += sha256.Size
	}
	b, err := hkdf.Key(sha256.New, m.Secret, nil, string(context), n)
	return material{Secret: b}, err
}

// An aeadSealer puts a random nonce before what it encrypts.
type aeadSealer struct{ cipher.AEAD }

func (s aeadSealer) seal(o sealOptions, plaintext []byte) ([]byte, error) {
	n := s.NonceSize()
	out := make([]byte, n, n+len(plaintext)+s.Overhead())
	rand.Read(out)
	return s.Seal(out, out, plaintext, o.data), nil
}

func (s aeadSealer) open(o sealOptions, ciphertext []byte) ([]byte, error) {
	n := s.NonceSize()
	if len(ciphertext) < n+s.Overhead() {
		return nil, engine.Bad("invalid ciphertext length")
	}
	plaintext, err := s.Open(nil, ciphertext[:n], ciphertext[n:], o.data)
	if err != nil {
		return nil, engine.Bad("cipher: message authentication failed")
	}
	return plaintext, nil
}

// A convergentSealer makes the nonce of the plaintext, so that one plaintext has
// one ciphertext (the third version of Vault's format). Associated data counts
// for the nonce too, where there is some: GCM with one nonce and two of them
// would give its key for tags away.
type convergentSealer struct {
	aeadSealer
	nonceKey []byte
}

func convergentOf(f sealing, m material) (sealer, error) {
	cut := len(m.Secret) - sha256.Size
	s, err := f.sealer(material{Secret: m.Secret[:cut]})
	if err != nil {
		return nil, err
	}
	a, ok := s.(aeadSealer)
	if !ok {
		return nil, fmt.Errorf("no convergent encryption with a %T", s)
	}
	return convergentSealer{a, m.Secret[cut:]}, nil
}

func (s convergentSealer) seal(o sealOptions, plaintext []byte) ([]byte, error) {
	mac := hmac.New(sha256.New, s.nonceKey)
	mac.Write(plaintext)
	if len(o.data) > 0 {
		sum := mac.Sum(nil)
		mac.Reset()
		mac.Write(sum)
		mac.Write(o.data)
	}
	n := s.NonceSize()
	out := make([]byte, 0, max(n, sha256.Size)+len(plaintext)+s.Overhead())
	nonce := mac.Sum(out)[:n]
	return s.Seal(nonce, nonce, plaintext, o.data), nil
}
