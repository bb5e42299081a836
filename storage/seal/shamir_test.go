package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// slowMul multiplies as one does on paper: all partial products first, then
// long division by 0x11b. It shares nothing with the code under test.
func slowMul(a, b byte) byte {
	p := 0
	for i := range 8 {
		if b>>i&1 == 1 {
			p ^= int(a) << i
		}
	}
	for bit := 15; bit >= 8; bit-- {
		if p>>bit&1 == 1 {
			p ^= 0x11b << (bit - 8)
		}
	}
	return byte(p)
}

func slowInverse(a byte) byte {
	for b := range 256 {
		if slowMul(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	return 0
}

func TestFieldIsThatOfAES(t *testing.T) {
	if got := mul(0x57, 0x83); got != 0xc1 { // FIPS 197, section 4.2
		t.Errorf("57*83 = %02x, want c1", got)
	}
	for a := range 256 {
		if got, want := inverse(byte(a)), slowInverse(byte(a)); got != want {
			t.Errorf("1/%02x = %02x, want %02x", a, got, want)
		}
		for b := range 256 {
			if got, want := mul(byte(a), byte(b)), slowMul(byte(a), byte(b)); got != want {
				t.Fatalf("%02x*%02x = %02x, want %02x", a, b, got, want)
			}
		}
	}
}

// Shares written down here, with x last, combine to the secret: this is the
// format that Vault's shares have, and it must never change.
func TestCombineOfSharesOnPaper(t *testing.T) {
	// f1 = 66 + 94x + 17x², f2 = 61 + 01x + fex², f3 = 73 + 00x + 80x²
	secret, polys := []byte("fas"), [][2]byte{{0x94, 0x17}, {0x01, 0xfe}, {0x00, 0x80}}
	share := func(x byte) []byte {
		var s []byte
		for i, p := range polys {
			s = append(s, secret[i]^slowMul(p[0], x)^slowMul(p[1], slowMul(x, x)))
		}
		return append(s, x)
	}
	for x, want := range map[byte]string{1: "e59ef301", 2: "09b64502"} {
		if got := hex.EncodeToString(share(x)); got != want {
			t.Errorf("share at %02x is %s, want %s", x, got, want)
		}
	}
	got, err := Combine([][]byte{share(1), share(2), share(0xff)})
	if err != nil || !bytes.Equal(got, secret) {
		t.Errorf("combined to %q, %v", got, err)
	}
}

func TestSplitEvaluatesPolynomials(t *testing.T) {
	// 3 bytes choose the places: 0 swaps each with itself, so x = 1, 2, 3.
	// Then two coefficients for each byte of the secret.
	random := []byte{0, 0, 0, 0x94, 0x17, 0x01, 0xfe}
	shares, err := Split([]byte("fa"), 3, 3, bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	for i, share := range shares {
		x := byte(i + 1)
		want := []byte{
			'f' ^ slowMul(0x94, x) ^ slowMul(0x17, slowMul(x, x)),
			'a' ^ slowMul(0x01, x) ^ slowMul(0xfe, slowMul(x, x)),
			x,
		}
		if !bytes.Equal(share, want) {
			t.Errorf("share %d is %x, want %x", i, share, want)
		}
	}
}

// Any threshold of shares, in any order, and any more of them, restore the
// secret; one share fewer does not.
func TestAnyThresholdOfShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 16, 40).Draw(t, "secret")
		parts := rapid.IntRange(2, 24).Draw(t, "parts")
		threshold := rapid.IntRange(2, parts).Draw(t, "threshold")
		shares, err := Split(secret, parts, threshold, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, share := range shares {
			if len(share) != len(secret)+1 {
				t.Fatalf("share of %d bytes for a secret of %d", len(share), len(secret))
			}
		}
		chosen := rapid.Permutation(shares).Draw(t, "order")
		n := rapid.IntRange(threshold, parts).Draw(t, "given")
		got, err := Combine(chosen[:n])
		if err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%d of %d shares: %x, %v", n, parts, got, err)
		}
		got, err = Combine(chosen[:threshold-1])
		if err == nil && bytes.Equal(got, secret) {
			t.Fatalf("%d shares restored a secret of threshold %d", threshold-1, threshold)
		}
	})
}

// With one share short, every value of the secret is equally likely: for each
// guess there is exactly one missing share that would make it true.
func TestOneShareShortSaysNothing(t *testing.T) {
	shares, err := Split([]byte{0x42}, 3, 3, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := shares[2][1]
	var seen [256]int
	for y := range 256 {
		got, err := Combine([][]byte{shares[0], shares[1], {byte(y), x}})
		if err != nil {
			t.Fatal(err)
		}
		seen[got[0]]++
	}
	for secret, n := range seen {
		if n != 1 {
			t.Errorf("secret %02x follows from %d third shares", secret, n)
		}
	}
}

func TestLargestSplit(t *testing.T) {
	secret := []byte("sixteen byte key")
	shares, err := Split(secret, 255, 255, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Combine(shares); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("combined to %q, %v", got, err)
	}
	if got, _ := Combine(shares[:254]); bytes.Equal(got, secret) {
		t.Error("254 of 255 shares restored the secret")
	}
}

func TestSingleShareIsTheSecret(t *testing.T) {
	secret := []byte("sixteen byte key")
	shares, err := Split(secret, 1, 1, rand.Reader)
	if err != nil || len(shares) != 1 || !bytes.Equal(shares[0], secret) {
		t.Fatalf("got %q, %v", shares, err)
	}
	clear(shares[0])
	if secret[0] == 0 {
		t.Error("the share is the caller's own memory")
	}
}

func TestSplitRefuses(t *testing.T) {
	secret := []byte("sixteen byte key")
	for _, test := range []struct {
		secret           []byte
		parts, threshold int
		want             error
	}{
		{nil, 3, 2, errSecretEmpty},
		{secret, 0, 0, errSharesRange},
		{secret, -1, 2, errSharesRange},
		{secret, 256, 2, errSharesRange},
		{secret, 1, 2, errThresholdSingle},
		{secret, 3, 1, errThresholdRange},
		{secret, 3, 0, errThresholdRange},
		{secret, 2, 3, errThresholdRange},
	} {
		if _, err := Split(test.secret, test.parts, test.threshold, rand.Reader); !errors.Is(err, test.want) {
			t.Errorf("%d of %d: %v, want %v", test.threshold, test.parts, err, test.want)
		}
	}
	broken := errors.New("no entropy")
	for n := range 5 { // in choosing places and in drawing coefficients
		r := iotest.DataErrReader(bytes.NewReader(make([]byte, n)))
		if _, err := Split(secret, 3, 2, r); err == nil {
			t.Errorf("split with %d bytes of randomness", n)
		}
	}
	if _, err := Split(secret, 3, 2, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error of the reader is lost: %v", err)
	}
}

func TestCombineRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		shares [][]byte
		want   error
	}{
		{"nothing", nil, ErrTooFewShares},
		{"one share", [][]byte{{1, 2, 3}}, ErrTooFewShares},
		{"empty shares", [][]byte{{}, {}}, ErrShareMalformed},
		{"shares of nothing", [][]byte{{1}, {2}}, ErrShareMalformed},
		{"different lengths", [][]byte{{1, 2, 3}, {1, 2}}, ErrShareMismatch},
		{"the same x twice", [][]byte{{1, 2, 3}, {4, 5, 3}}, ErrDuplicateShare},
		{"x of zero", [][]byte{{1, 2, 3}, {4, 5, 0}}, ErrShareMalformed},
	} {
		if got, err := Combine(test.shares); !errors.Is(err, test.want) {
			t.Errorf("%s: %x, %v; want %v", test.name, got, err, test.want)
		}
	}
}

// Combine agrees with interpolation done by slow math, or refuses.
func FuzzCombine(f *testing.F) {
	f.Add([]byte{5, 1, 7, 2}, 2)
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, 3)
	f.Add([]byte{0, 0}, 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		if size < 1 || size > 64 || len(data) > 1024 {
			return
		}
		var shares [][]byte
		for ; len(data) > 0; data = data[min(size, len(data)):] {
			shares = append(shares, data[:min(size, len(data))])
		}
		got, err := Combine(shares)
		if err != nil {
			return
		}
		want := make([]byte, size-1)
		for i, share := range shares {
			weight := byte(1)
			for j, other := range shares {
				if i != j {
					x, y := share[size-1], other[size-1]
					weight = slowMul(weight, slowMul(y, slowInverse(x^y)))
				}
			}
			for at := range want {
				want[at] ^= slowMul(share[at], weight)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("combined to %x, want %x", got, want)
		}
	})
}
