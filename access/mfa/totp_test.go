package mfa

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"pgregory.net/rapid"
)

// The vectors of RFC 6238, appendix B.
func TestCodesOfTheRFC(t *testing.T) {
	key := strings.Repeat("1234567890", 7)
	for _, alg := range []struct {
		name  string
		size  int
		codes [6]string
	}{
		{"SHA1", 20, [6]string{"94287082", "07081804", "14050471", "89005924", "69279037", "65353130"}},
		{"SHA256", 32, [6]string{"46119246", "68084774", "67062674", "91819424", "90698825", "77737706"}},
		{"SHA512", 64, [6]string{"90693936", "25091201", "99943326", "93441116", "38618901", "47863826"}},
	} {
		k := &Secret{Key: []byte(key[:alg.size]), Algorithm: alg.name, Digits: 8, Period: 30}
		for i, at := range []int64{59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000} {
			if got := k.code(at / 30); got != alg.codes[i] {
				t.Errorf("%s at %d: %s, want %s", alg.name, at, got, alg.codes[i])
			}
			if p, ok := k.find(alg.codes[i], 0, time.Unix(at, 0)); !ok || p != at/30 {
				t.Errorf("%s at %d is not found: %d", alg.name, at, p)
			}
		}
	}
}

// Another's authenticator shows the same codes, and each is found in its own
// period and the neighbours' only.
func TestCodesAreThoseOfOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Store{o: Options{Rand: strings.NewReader(string(rapid.SliceOfN(rapid.Byte(), 128, 128).Draw(t, "random")))}}
		set := TOTP{Issuer: "a b/c?", Algorithm: rapid.SampledFrom([]string{"SHA1", "SHA256", "SHA512"}).Draw(t, "algorithm"),
			Digits: rapid.SampledFrom([]int{6, 8}).Draw(t, "digits"), KeySize: rapid.IntRange(16, 128).Draw(t, "size"), Period: rapid.IntRange(1, 3600).Draw(t, "period")}
		k, e, err := s.draw(&Method{TOTP: &set}, "entity")
		if err != nil {
			t.Fatal(err)
		}
		key, err := otp.NewKeyFromURL(e.URL)
		if err != nil {
			t.Fatal(err)
		}
		if key.Issuer() != set.Issuer || key.AccountName() != "entity" || key.Period() != uint64(set.Period) {
			t.Fatalf("%s", e.URL)
		}
		at := time.Unix(rapid.Int64Range(1e9, 1e10).Draw(t, "time"), 0)
		code, err := totp.GenerateCodeCustom(key.Secret(), at, totp.ValidateOpts{Period: uint(set.Period), Digits: key.Digits(), Algorithm: key.Algorithm()})
		if err != nil {
			t.Fatal(err)
		}
		away := rapid.Int64Range(-3, 3).Draw(t, "periods away")
		skew := rapid.IntRange(0, 1).Draw(t, "skew")
		period, ok := k.find(code, skew, at.Add(time.Duration(away)*time.Duration(set.Period)*time.Second))
		near := max(away, -away) <= int64(skew)
		if ok && near && period != at.Unix()/int64(set.Period) && k.code(period) != code {
			t.Fatalf("%s is found at %d", code, period)
		}
		if near && !ok || !near && ok && k.code(period) != code {
			t.Fatalf("%d periods away, skew %d: found %t", away, skew, ok)
		}
	})
}

// Nothing but digits is a code.
func FuzzCode(f *testing.F) {
	k := &Secret{Key: make([]byte, 20), Algorithm: "SHA1", Digits: 6, Period: 30}
	at := time.Unix(1e9, 0)
	right := k.code(at.Unix() / 30)
	for _, s := range []string{right, " " + right, right + "\n", "０" + right[1:], ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, ok := k.find(s, 0, at); ok != (s == right) {
			t.Errorf("%q: %t", s, ok)
		}
	})
}
