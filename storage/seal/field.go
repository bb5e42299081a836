package seal

// Arithmetic in GF(2^8) as AES defines it: polynomials over GF(2) modulo
// x^8 + x^4 + x^3 + x + 1. Every operand may be secret, so nothing here
// branches on a value or uses one as an index; masks choose instead. (Tables
// of logarithms leak the share through the cache: CVE-2023-25000.)

// reduce is the field's polynomial without its x^8.
const reduce = 0x1b

// mul returns a*b.
func mul(a, b byte) byte {
	var product byte
	for range 8 {
		product ^= a & -(b & 1)
		a = a<<1 ^ reduce&-(a>>7)
		b >>= 1
	}
	return product
}

// inverse returns 1/a, and 0 for 0: a^254, since a^255 is 1.
func inverse(a byte) byte {
	result := byte(1)
	for range 7 { // 254 is 11111110 in binary
		result = mul(mul(result, result), a)
	}
	return mul(result, result)
}
