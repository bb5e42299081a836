package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

func TestConfigSaysWhatIsWrongInVaultsWords(t *testing.T) {
	_, good := newKey(t, "a")
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{Shares: 5, Threshold: 3}, ""},
		{Config{Shares: 1, Threshold: 1}, ""},
		{Config{Shares: 255, Threshold: 255}, ""},
		{Config{Shares: 2, Threshold: 3}, "threshold cannot be larger than shares"},
		{Config{Shares: 3, Threshold: 1}, "threshold must be greater than one for multiple shares"},
		{Config{Shares: 3}, "threshold must be at least one"},
		{Config{Shares: -1, Threshold: -1}, "shares must be at least one"},
		{Config{Shares: 256, Threshold: 3}, "shares must be less than 256"},
		{Config{Shares: 3, Threshold: 256}, "threshold must be less than 256"},
		{Config{Shares: 3, Threshold: 2, PGPKeys: []string{"a"}}, "count mismatch between number of provided PGP keys and number of shares"},
		{Config{Shares: 3, Threshold: 2, Backup: true}, "cannot request a backup of the new keys without providing PGP keys for encryption"},
		{Config{Shares: 2, Threshold: 2, PGPKeys: []string{good, "?"}}, "PGP key 2 of 2: is neither armored nor base64"},
		{Config{Shares: 2, Threshold: 2, PGPKeys: []string{good, good}, Backup: true}, ""},
	} {
		got := ""
		if err := test.config.Validate(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%d of %d: %q, want %q", test.config.Threshold, test.config.Shares, got, test.want)
		}
	}
}

func newKey(t *testing.T, name string) (*openpgp.Entity, string) {
	t.Helper()
	entity, err := openpgp.NewEntity(name, "", name+"@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	if err := entity.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	return entity, base64.StdEncoding.EncodeToString(public.Bytes())
}

func armored(t *testing.T, key string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(raw)
	w.Close()
	return out.String()
}

func decrypt(t *testing.T, holder *openpgp.Entity, message []byte) (string, error) {
	t.Helper()
	details, err := openpgp.ReadMessage(bytes.NewReader(message), openpgp.EntityList{holder}, nil, nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(details.UnverifiedBody)
	return string(text), err
}

// Each holder opens the own share, in hex, and nobody else's; the key may
// have been given in any of the usual forms.
func TestSharesForTheirHolders(t *testing.T) {
	alice, forAlice := newKey(t, "alice")
	bob, forBob := newKey(t, "bob")
	carol, forCarol := newKey(t, "carol")
	shares, err := Split([]byte("sixteen byte key"), 3, 2, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{
		forAlice[:20] + "\n" + forAlice[20:] + "\n",
		armored(t, forBob),
		base64.StdEncoding.EncodeToString([]byte(armored(t, forCarol))),
	}
	fingerprints, encrypted, err := EncryptShares(keys, shares)
	if err != nil {
		t.Fatal(err)
	}
	for i, holder := range []*openpgp.Entity{alice, bob, carol} {
		if want := fmt.Sprintf("%x", holder.PrimaryKey.Fingerprint); fingerprints[i] != want {
			t.Errorf("fingerprint %d is %s, want %s", i, fingerprints[i], want)
		}
		for j, message := range encrypted {
			got, err := decrypt(t, holder, message)
			switch {
			case i != j && err == nil:
				t.Errorf("holder %d opened share %d", i, j)
			case i == j && (err != nil || got != fmt.Sprintf("%x", shares[i])):
				t.Errorf("holder %d got %q, %v", i, got, err)
			}
		}
	}
	same, err := Fingerprints(keys)
	if err != nil || strings.Join(same, " ") != strings.Join(fingerprints, " ") {
		t.Errorf("fingerprints %v, %v; want %v", same, err, fingerprints)
	}
}

func TestTokenForItsHolder(t *testing.T) {
	alice, key := newKey(t, "alice")
	fingerprint, message, err := EncryptText(key, "hvs.token")
	if err != nil || fingerprint == "" {
		t.Fatal(fingerprint, err)
	}
	if got, err := decrypt(t, alice, message); err != nil || got != "hvs.token" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, _, err := EncryptText("", "hvs.token"); err == nil || strings.Contains(err.Error(), "hvs") {
		t.Errorf("an empty key: %v", err)
	}
}

func TestErrorsNameTheBadKey(t *testing.T) {
	_, good := newKey(t, "alice")
	share := bytes.Repeat([]byte{1}, 33)
	for _, test := range []struct{ name, key, want string }{
		{"empty", " ", "PGP key 2 of 2: is empty"},
		{"neither form", "§", "PGP key 2 of 2: is neither armored nor base64"},
		{"base64 of noise", "bm8gcGdwIGtleQ==", "PGP key 2 of 2: read public key: .*"},
		{"armored noise", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "PGP key 2 of 2: read public key: .*"},
		{"base64 of nothing", "====", "PGP key 2 of 2: is neither armored nor base64"},
	} {
		_, _, err := EncryptShares([]string{good, test.key}, [][]byte{share, share})
		if err == nil || !regexp.MustCompile("^"+test.want+"$").MatchString(err.Error()) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	if _, _, err := EncryptShares([]string{good}, [][]byte{share, share}); err == nil || err.Error() != "1 PGP keys for 2 shares" {
		t.Errorf("a key too few: %v", err)
	}
	both, _ := base64.StdEncoding.DecodeString(good)
	both = append(both, both...)
	if _, err := Fingerprints([]string{base64.StdEncoding.EncodeToString(both)}); err == nil {
		t.Error("two keys in one were accepted")
	}
}

func TestOneTimePassword(t *testing.T) {
	const token = "hvs.abcdefghijklmnopqrstuvwx"
	otp, err := NewOTP(len(token), rand.Reader)
	if err != nil || !regexp.MustCompile(`^[0-9A-Za-z]{28}$`).MatchString(otp) {
		t.Fatalf("otp %q, %v", otp, err)
	}
	encoded, err := EncodeToken(token, otp)
	if err != nil || strings.ContainsAny(encoded, "=") {
		t.Fatalf("encoded %q, %v", encoded, err)
	}
	for _, form := range []string{encoded, encoded + "=="} {
		if got, err := DecodeToken(form, otp); err != nil || got != token {
			t.Errorf("decoded %q, %v", got, err)
		}
	}
	if got, _ := EncodeToken("ab", "AB"); got != "ICA" { // 0x20 0x20
		t.Errorf("ab XOR AB is %s, want ICA", got)
	}
	if _, err := EncodeToken(token, "short"); !errors.Is(err, ErrOTPLength) {
		t.Errorf("short otp: %v", err)
	}
	if _, err := DecodeToken(encoded, "short"); !errors.Is(err, ErrOTPLength) {
		t.Errorf("short otp: %v", err)
	}
	if _, err := DecodeToken("?", otp); !errors.Is(err, ErrTokenEncoding) {
		t.Errorf("no base64: %v", err)
	}
}

// 256 is no multiple of 62: the first characters must not be likelier.
func TestOTPCharactersAreUniform(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	otp, err := NewOTP(248, bytes.NewReader(every)) // 4*62 of 256 are used
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range base62 {
		if n := strings.Count(otp, string(c)); n != 4 {
			t.Errorf("%c came %d times, want 4", c, n)
		}
	}
}
