package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

const hashPrefix = "hmac-sha256:"

// A Hasher turns strings into `hmac-sha256:<hex>` under one salt. It keeps its
// state between calls so that hashing allocates nothing; one goroutine may use
// it at a time.
type Hasher struct {
	mac     hash.Hash
	sum     [sha256.Size]byte
	scratch []byte // a decoded string, wiped after use
}

// NewHasher returns a hasher keyed by salt, which is the device's secret.
func NewHasher(salt []byte) *Hasher {
	return &Hasher{mac: hmac.New(sha256.New, salt)}
}

// Append appends the hash of data to dst.
func (h *Hasher) Append(dst, data []byte) []byte {
	h.mac.Reset()
	h.mac.Write(data)
	dst = append(dst, hashPrefix...)
	return hex.AppendEncode(dst, h.mac.Sum(h.sum[:0]))
}

// AppendString appends the hash of s to dst.
func (h *Hasher) AppendString(dst []byte, s string) []byte {
	h.scratch = append(h.scratch[:0], s...)
	dst = h.Append(dst, h.scratch)
	h.wipe()
	return dst
}

// wipe forgets the last string, and its room if that grew large.
func (h *Hasher) wipe() {
	clear(h.scratch)
	if cap(h.scratch) > 64<<10 {
		h.scratch = nil
	}
}
