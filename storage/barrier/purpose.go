package barrier

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/fastness-dev/fastness/storage"
)

// What is sealed for a purpose, all big-endian:
//
//	version 1 = 1 | key id 4 | nonce 24 | ciphertext | tag 16
//
// Any unlocked node may seal so, a standby too, and standbys share the data
// key with the active node: no counter can tell them apart. So the nonce is
// random, and with 24 bytes of it (XAES-256-GCM) the number of messages needs
// no limit; with the 12 of plain GCM, 2^32 tokens would be too many.
const (
	purposeVersion = 1
	purposeHead    = 1 + 4 + xaesNonceSize

	// PurposeOverhead is by how much SealWithAD lengthens, in bytes.
	PurposeOverhead = purposeHead + tagSize
)

// adToken is the purpose of batch tokens, adRoot that of the root key which
// lies in a keyring's header.
var (
	adToken = []byte("token")
	adRoot  = []byte("root key")
)

// SealWithAD appends to dst the sealed form of plaintext, which opens with
// the same ad on every node of the cluster. It works on any unlocked node.
// ad names the purpose; each kind of caller must have its own.
func (b *Barrier) SealWithAD(dst, ad, plaintext []byte) ([]byte, error) {
	st := b.state.Load()
	if st == nil {
		return nil, storage.ErrSealed
	}
	return st.sealFor(dst, ad, plaintext, b.rand)
}

// OpenWithAD appends to dst what SealWithAD sealed with the same ad. Anything
// else is [ErrNotSealedHere]: such bytes come from clients, so they are no
// sign that storage is corrupt.
func (b *Barrier) OpenWithAD(dst, ad, sealed []byte) ([]byte, error) {
	st := b.state.Load()
	if st == nil {
		return nil, storage.ErrSealed
	}
	return st.openFor(dst, ad, sealed)
}

// SealToken seals a batch token: SealWithAD for the purpose "token".
func (b *Barrier) SealToken(dst, plaintext []byte) ([]byte, error) {
	return b.SealWithAD(dst, adToken, plaintext)
}

// OpenToken opens what SealToken sealed, or returns [ErrNotSealedHere].
func (b *Barrier) OpenToken(dst, sealed []byte) ([]byte, error) {
	return b.OpenWithAD(dst, adToken, sealed)
}

func (st *state) sealFor(dst, ad, plaintext []byte, rand io.Reader) ([]byte, error) {
	k := st.active
	dst = slices.Grow(dst, len(plaintext)+PurposeOverhead)
	dst = append(dst, purposeVersion)
	dst = binary.BigEndian.AppendUint32(dst, k.id)
	at := len(dst)
	dst = dst[:at+xaesNonceSize]
	nonce := dst[at:]
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	aead, err := k.purpose.aead(nonce)
	if err != nil {
		return nil, err
	}
	k.other.Add(1)
	return aead.Seal(dst, nonce[xaesNonceSize-nonceSize:], plaintext, ad), nil
}

func (st *state) openFor(dst, ad, sealed []byte) ([]byte, error) {
	if len(sealed) < PurposeOverhead || sealed[0] != purposeVersion {
		return nil, ErrNotSealedHere
	}
	k := st.keys[binary.BigEndian.Uint32(sealed[1:])]
	if k == nil {
		return nil, ErrNotSealedHere
	}
	nonce := sealed[purposeHead-xaesNonceSize : purposeHead]
	aead, err := k.purpose.aead(nonce)
	if err != nil {
		return nil, err
	}
	out, err := aead.Open(dst, nonce[xaesNonceSize-nonceSize:], sealed[purposeHead:], ad)
	if err != nil {
		return nil, ErrNotSealedHere
	}
	return out, nil
}

// xaes is XAES-256-GCM (https://c2sp.org/XAES-256-GCM): the first half of a
// 24-byte nonce derives a key for AES-256-GCM, whose nonce is the other half.
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // CMAC's subkey for whole blocks
}

const xaesNonceSize = 24

func newXAES(key []byte) (*xaes, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	x := &xaes{block: block}
	block.Encrypt(x.k1[:], x.k1[:])
	// Double it in GF(2^128), without a branch on the bit that falls out.
	carry := byte(0)
	for i := len(x.k1) - 1; i >= 0; i-- {
		top := x.k1[i] >> 7
		x.k1[i] = x.k1[i]<<1 | carry
		carry = top
	}
	x.k1[len(x.k1)-1] ^= 0x87 & -carry
	return x, nil
}

// aead returns the cipher of one message.
func (x *xaes) aead(nonce []byte) (cipher.AEAD, error) {
	key := make([]byte, 2*aes.BlockSize)
	defer clear(key)
	for i := range 2 {
		half := key[i*aes.BlockSize:][:aes.BlockSize]
		half[1], half[2] = byte(i+1), 'X'
		copy(half[4:], nonce[:nonceSize])
		for j := range half {
			half[j] ^= x.k1[j]
		}
		x.block.Encrypt(half, half)
	}
	return newGCM(key)
}
