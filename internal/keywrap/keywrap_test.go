package keywrap_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"testing"

	"github.com/fastness-dev/fastness/internal/keywrap"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 5649, section 6.
func TestKeyWrapVectors(t *testing.T) {
	kek := unhex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	for _, c := range []struct{ plain, wrapped string }{
		{"c37b7e6492584340bed12207808941155068f738", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
		{"466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
	} {
		got, err := keywrap.Wrap(kek, unhex(t, c.plain))
		if err != nil || hex.EncodeToString(got) != c.wrapped {
			t.Errorf("wrapped to %x, %v", got, err)
		}
		for bit := range len(got) * 8 {
			bad := bytes.Clone(got)
			bad[bit/8] ^= 1 << (bit % 8)
			if _, err := keywrap.Unwrap(kek, bad); err == nil {
				t.Errorf("bit %d does not count", bit)
			}
		}
	}
	for n := 1; n < 70; n++ {
		secret := bytes.Repeat([]byte{7}, n)
		wrapped, err := keywrap.Wrap(kek, secret)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := keywrap.Unwrap(kek, wrapped); err != nil || !bytes.Equal(back, secret) {
			t.Errorf("%d bytes: %x, %v", n, back, err)
		}
	}
}

// What is wrapped for a key is opened by it alone, and whole.
func TestForAndOpen(t *testing.T) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("a key of some length")
	b, err := keywrap.For(&k.PublicKey, crypto.SHA256, secret)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keywrap.Open(k, crypto.SHA256, b); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("%q, %v", got, err)
	}
	for _, at := range []int{0, 255, 256, len(b) - 1} {
		bad := bytes.Clone(b)
		bad[at] ^= 1
		if _, err := keywrap.Open(k, crypto.SHA256, bad); err == nil {
			t.Errorf("byte %d does not count", at)
		}
	}
	if _, err := keywrap.Open(k, crypto.SHA1, b); err == nil {
		t.Error("the hash does not count")
	}
	for n := range len(b) {
		if n%8 == 0 {
			if _, err := keywrap.Open(k, crypto.SHA256, b[:n]); err == nil {
				t.Errorf("%d bytes are enough", n)
			}
		}
	}
}
