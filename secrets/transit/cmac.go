package transit

import (
	"crypto/aes"
	"crypto/subtle"
)

// cmacSize is the length of a whole CMAC in bytes, minCMAC that of the shortest
// that is given out and taken: 64 bits, as SP 800-38B advises.
const (
	cmacSize = aes.BlockSize
	minCMAC  = 8
)

// cmacOf is AES-CMAC (NIST SP 800-38B, RFC 4493).
func cmacOf(key, message []byte) ([]byte, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	var last, x [cmacSize]byte
	c.Encrypt(last[:], last[:])
	double(&last)
	n := len(message) / cmacSize * cmacSize
	rest := message[n:]
	if len(rest) == 0 && n > 0 {
		n -= cmacSize
		rest = message[n:]
	} else {
		double(&last)
		last[len(rest)] ^= 0x80
	}
	for block := range n / cmacSize {
		subtle.XORBytes(x[:], x[:], message[block*cmacSize:][:cmacSize])
		c.Encrypt(x[:], x[:])
	}
	subtle.XORBytes(last[:], last[:], rest)
	subtle.XORBytes(x[:], x[:], last[:])
	c.Encrypt(x[:], x[:])
	return x[:], nil
}

// double multiplies by x in GF(2^128), in constant time.
func double(b *[cmacSize]byte) {
	carry := byte(0)
	for i := cmacSize - 1; i >= 0; i-- {
		next := b[i] >> 7
		b[i] = b[i]<<1 | carry
		carry = next
	}
	b[cmacSize-1] ^= 0x87 & -carry
}
