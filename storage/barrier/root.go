package barrier

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/fastness-dev/fastness/storage"
)

// An envelope holds a few keys under another key, at rest:
//
//	version 1 = 1 | header length 2 | header | nonce 12 | AES-256-GCM | crc32c 4
//
// The associated data is a label, which says what is inside, and all bytes
// before the nonce. Nonces are random: each key seals a handful of envelopes.
// The checksum only serves to tell damage from a wrong key; it may be public.
const (
	envelopeVersion = 1
	envelopeFixed   = 1 + 2 + nonceSize + tagSize + 4
	rootLabel       = "fastness root key"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WrapRoot seals the root key under the seal key, which has 32 bytes.
func WrapRoot(sealKey, rootKey []byte) ([]byte, error) {
	if len(rootKey) != KeySize {
		return nil, fmt.Errorf("wrap root key: it has %d bytes instead of %d", len(rootKey), KeySize)
	}
	wrapped, err := sealEnvelope(sealKey, rootLabel, nil, rootKey, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("wrap root key: %w", err)
	}
	return wrapped, nil
}

// UnwrapRoot opens what WrapRoot sealed. It returns [ErrWrongKey], or a
// [storage.ErrCorrupt] when wrapped is not what was written.
func UnwrapRoot(sealKey, wrapped []byte) ([]byte, error) {
	_, root, err := openEnvelope(sealKey, rootLabel, wrapped)
	if err != nil {
		return nil, fmt.Errorf("unwrap root key: %w", err)
	}
	if len(root) != KeySize {
		return nil, fmt.Errorf("unwrap root key: %w: it has %d bytes", storage.ErrCorrupt, len(root))
	}
	return root, nil
}

func sealEnvelope(key []byte, label string, header, plain []byte, rand io.Reader) ([]byte, error) {
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	out := []byte{envelopeVersion}
	out = binary.BigEndian.AppendUint16(out, uint16(len(header)))
	out = append(out, header...)
	ad := append([]byte(label), out...)
	nonce := make([]byte, nonceSize)
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	out = append(out, nonce...)
	out = aead.Seal(out, nonce, plain, ad)
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli)), nil
}

func openEnvelope(key []byte, label string, sealed []byte) (header, plain []byte, err error) {
	header, err = envelopeHeader(sealed)
	if err != nil {
		return nil, nil, err
	}
	aead, err := newGCM(key)
	if err != nil {
		return nil, nil, err
	}
	at := 3 + len(header)
	ad := append([]byte(label), sealed[:at]...)
	nonce, box := sealed[at:at+nonceSize], sealed[at+nonceSize:len(sealed)-4]
	plain, err = aead.Open(nil, nonce, box, ad)
	if err != nil {
		return nil, nil, ErrWrongKey
	}
	return header, plain, nil
}

// envelopeHeader checks the frame and returns the header, not yet
// authenticated.
func envelopeHeader(sealed []byte) ([]byte, error) {
	if len(sealed) < envelopeFixed {
		return nil, fmt.Errorf("%w: an envelope of %d bytes", storage.ErrCorrupt, len(sealed))
	}
	body, sum := sealed[:len(sealed)-4], sealed[len(sealed)-4:]
	if !bytes.Equal(binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli)), sum) {
		return nil, fmt.Errorf("%w: an envelope's checksum is wrong", storage.ErrCorrupt)
	}
	if sealed[0] != envelopeVersion {
		return nil, fmt.Errorf("%w: an envelope of version %d; this program knows %d", storage.ErrCorrupt, sealed[0], envelopeVersion)
	}
	n := int(binary.BigEndian.Uint16(sealed[1:]))
	if len(sealed) < envelopeFixed+n {
		return nil, fmt.Errorf("%w: an envelope's header is cut off", storage.ErrCorrupt)
	}
	return sealed[3 : 3+n], nil
}

// newGCM returns ErrWrongKey for a key of another length than ours: shares of
// something else combine to such.
func newGCM(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, ErrWrongKey
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
