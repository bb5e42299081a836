package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestCeremony runs the stories of testdata/ceremony. Shares are called by
// letter: a to e are five shares of which three restore the secret, w is a
// share of something else.
func TestCeremony(t *testing.T) {
	secret := []byte("a key that is thirty-two bytes l")
	letters := map[string][]byte{"short": []byte("fifteen bytes l"), "long": make([]byte, 34), "whole": secret}
	shares, err := Split(secret, 5, 3, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i, share := range shares {
		letters[string(rune('a'+i))] = share
	}
	letters["w"] = append(bytes.Repeat([]byte{7}, 32), unusedPlace(shares))

	var c *Ceremony
	datadriven.RunTest(t, "testdata/ceremony", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		switch d.Cmd {
		case "new":
			var required, count int
			d.ScanArgs(t, "required", &required)
			c = NewCeremony(required, func() string { count++; return fmt.Sprint("nonce-", count) })
		case "start":
			c.Start()
		case "add":
			for _, letter := range strings.Fields(d.Input) {
				known := c.Has(letters[letter])
				done, err := c.Add(letters[letter])
				fmt.Fprintf(&out, "%s known=%v done=%v", letter, known, done)
				if err != nil {
					fmt.Fprintf(&out, " error: %v", err)
				}
				out.WriteByte('\n')
			}
		case "secret":
			got, err := c.Secret()
			switch {
			case err != nil:
				return fmt.Sprintf("error: %v\n", err)
			case bytes.Equal(got, secret):
				return "the secret\n"
			}
			return "something else\n"
		case "nonce":
			for _, nonce := range strings.Fields(d.Input) {
				fmt.Fprintf(&out, "%s %v\n", nonce, c.IsNonce(strings.Trim(nonce, `"`)))
			}
			return out.String()
		case "reset":
			c.Reset()
		case "clear":
			c.Clear()
		}
		p := c.Progress()
		fmt.Fprintf(&out, "progress %d of %d nonce %q\n", p.Progress, p.Required, p.Nonce)
		return out.String()
	})
}

func unusedPlace(shares [][]byte) byte {
	for x := byte(1); ; x++ {
		free := true
		for _, s := range shares {
			free = free && s[len(s)-1] != x
		}
		if free {
			return x
		}
	}
}

func TestCeremonyWipesItsShares(t *testing.T) {
	c := NewCeremony(2, func() string { return "n" })
	mine := bytes.Repeat([]byte{9}, 33)
	for _, wipe := range []func(){c.Reset, c.Clear} {
		if _, err := c.Add(mine); err != nil {
			t.Fatal(err)
		}
		held := c.shares[0]
		wipe()
		if !bytes.Equal(held, make([]byte, 33)) {
			t.Error("a dropped share is still in memory")
		}
	}
	if mine[0] != 9 {
		t.Error("the caller's share was wiped")
	}
}

func TestCeremonyOfManyHands(t *testing.T) {
	secret := []byte("sixteen byte key")
	shares, err := Split(secret, 8, 8, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCeremony(8, func() string { return "n" })
	var wg sync.WaitGroup
	for _, share := range shares {
		wg.Go(func() {
			for range 3 {
				if _, err := c.Add(share); err != nil {
					t.Error(err)
				}
				c.Progress()
			}
		})
	}
	wg.Wait()
	if got, err := c.Secret(); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestParseShare(t *testing.T) {
	share := bytes.Repeat([]byte{0xab}, 33)
	// 44 digits of hex are also base64 of 33 bytes; as hex they are 22 bytes,
	// a legal length, so hex wins, as in Vault. 24 digits are 12 bytes: no.
	looksLikeHex := strings.Repeat("abcd", 6)
	fromBase64, _ := base64.StdEncoding.DecodeString(looksLikeHex)
	for _, test := range []struct {
		in   string
		want []byte
		err  error
	}{
		{hex.EncodeToString(share), share, nil},
		{strings.ToUpper(hex.EncodeToString(share)), share, nil},
		{base64.StdEncoding.EncodeToString(share), share, nil},
		{looksLikeHex, fromBase64, nil},
		{strings.Repeat("ab", 22), bytes.Repeat([]byte{0xab}, 22), nil},
		{"00ff", []byte{0xd3, 0x47, 0xdf}, nil}, // too short, says Add
		{"00", nil, ErrShareEncoding},
		{"zz", nil, ErrShareEncoding},
		{"zz not a key", nil, ErrShareEncoding},
	} {
		got, err := ParseShare(test.in)
		if !errors.Is(err, test.err) || !bytes.Equal(got, test.want) {
			t.Errorf("%s: %x, %v; want %x, %v", test.in, got, err, test.want, test.err)
		}
	}
}
