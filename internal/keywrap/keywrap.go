// Package keywrap wraps keys for other servers, as Vault's import takes them: an
// AES key of this moment, encrypted with RSA-OAEP, and behind it the secret,
// wrapped with that by AES-KWP (RFC 5649).
//
// It promises that what was wrapped is unwrapped whole or not at all.
package keywrap

import (
	"crypto"
	"crypto/aes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	_ "crypto/sha1" //nolint:gosec // what Hash names: OAEP does not need it to resist collisions
	_ "crypto/sha256"
	_ "crypto/sha512"
)

// ErrUnwrap says that something was not wrapped with this key.
var ErrUnwrap = errors.New("the wrapped key cannot be unwrapped")

// kwpHead is what AES-KWP puts before what it wraps, and its length in bits 32
// to 63.
const kwpHead = 0xA65959A6

// Wrap is AES key wrap with padding (RFC 5649).
func Wrap(kek, secret []byte) ([]byte, error) {
	c, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	n := (len(secret) + 7) / 8
	out := make([]byte, 8*(n+1))
	binary.BigEndian.PutUint32(out, kwpHead)
	binary.BigEndian.PutUint32(out[4:], uint32(len(secret)))
	copy(out[8:], secret)
	if n == 1 {
		c.Encrypt(out, out)
		return out, nil
	}
	var b [16]byte
	copy(b[:8], out)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(b[8:], out[8*i:])
			c.Encrypt(b[:], b[:])
			t := binary.BigEndian.Uint64(b[:8]) ^ uint64(n*j+i)
			binary.BigEndian.PutUint64(b[:8], t)
			copy(out[8*i:8*i+8], b[8:])
		}
	}
	copy(out, b[:8])
	return out, nil
}

// Unwrap undoes Wrap, or says that nothing was wrapped with this key.
func Unwrap(kek, wrapped []byte) ([]byte, error) {
	c, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	if len(wrapped) < 16 || len(wrapped)%8 != 0 {
		return nil, ErrUnwrap
	}
	n := len(wrapped)/8 - 1
	out := append([]byte(nil), wrapped...)
	if n == 1 {
		c.Decrypt(out, out)
		return unpadded(out)
	}
	var b [16]byte
	copy(b[:8], out)
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			t := binary.BigEndian.Uint64(b[:8]) ^ uint64(n*j+i)
			binary.BigEndian.PutUint64(b[:8], t)
			copy(b[8:], out[8*i:8*i+8])
			c.Decrypt(b[:], b[:])
			copy(out[8*i:8*i+8], b[8:])
		}
	}
	copy(out, b[:8])
	return unpadded(out)
}

// unpadded checks what stands before and behind an unwrapped key.
func unpadded(b []byte) ([]byte, error) {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], kwpHead)
	size := int(binary.BigEndian.Uint32(b[4:8]))
	room := len(b) - 8
	if subtle.ConstantTimeCompare(b[:4], head[:]) != 1 || size > room || size <= room-8 {
		return nil, ErrUnwrap
	}
	var zero [8]byte
	if subtle.ConstantTimeCompare(b[8+size:], zero[:room-size]) != 1 {
		return nil, ErrUnwrap
	}
	return b[8 : 8+size], nil
}

// Hash is the hash of OAEP by the names that imports use.
func Hash(name string) (crypto.Hash, bool) {
	switch name {
	case "", "SHA256":
		return crypto.SHA256, true
	case "SHA1":
		return crypto.SHA1, true
	case "SHA224":
		return crypto.SHA224, true
	case "SHA384":
		return crypto.SHA384, true
	case "SHA512":
		return crypto.SHA512, true
	}
	return 0, false
}

// For is what import takes: an AES key of this moment, for an RSA key, and
// behind it the secret, wrapped with that.
func For(to *rsa.PublicKey, h crypto.Hash, secret []byte) ([]byte, error) {
	ephemeral := make([]byte, 32)
	rand.Read(ephemeral)
	first, err := rsa.EncryptOAEP(h.New(), rand.Reader, to, ephemeral, nil)
	if err != nil {
		return nil, fmt.Errorf("wrap the ephemeral key: %w", err)
	}
	second, err := Wrap(ephemeral, secret)
	if err != nil {
		return nil, fmt.Errorf("wrap the key: %w", err)
	}
	return append(first, second...), nil
}

// Open undoes For.
func Open(k *rsa.PrivateKey, h crypto.Hash, wrapped []byte) ([]byte, error) {
	n := k.Size()
	if len(wrapped) <= n {
		return nil, errors.New("provided ciphertext is too short")
	}
	ephemeral, err := rsa.DecryptOAEP(h.New(), nil, k, wrapped[:n], nil)
	if err != nil {
		return nil, err
	}
	if len(ephemeral) != 32 {
		return nil, ErrUnwrap
	}
	return Unwrap(ephemeral, wrapped[n:])
}
