package mfa

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238: what authenticators know
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

// A TOTP is the settings of a method of codes by time (RFC 6238). It is answered
// as it stands.
type TOTP struct {
	Algorithm   string `json:"algorithm"` // SHA1, SHA256 or SHA512
	Digits      int    `json:"digits"`    // 6 or 8
	SelfEnrol   bool   `json:"enable_self_enrollment"`
	Issuer      string `json:"issuer"`
	KeySize     int    `json:"key_size"` // bytes
	MaxAttempts int    `json:"max_validation_attempts"`
	Period      int    `json:"period"`  // seconds
	QRSize      int    `json:"qr_size"` // pixels; 0 makes no picture
	Skew        int    `json:"skew"`    // periods before and after that are taken too
}

type shownTOTP struct {
	shown
	TOTP
}

// totpFields are what can be set. What is absent stays, or is the default.
type totpFields struct {
	Issuer      *string          `json:"issuer" doc:"Name of who issues the keys; required."`
	Period      *engine.Duration `json:"period" doc:"How long a code is good for; 30 seconds by default."`
	KeySize     *int             `json:"key_size" doc:"Bytes of a key, 16 to 128; 20 by default."`
	QRSize      *int             `json:"qr_size" doc:"Pixels of the picture's side, 0 for none; 200 by default."`
	Algorithm   *string          `json:"algorithm" doc:"SHA1 (by default), SHA256 or SHA512."`
	Digits      *int             `json:"digits" doc:"Digits of a code: 6 (by default) or 8."`
	Skew        *int             `json:"skew" doc:"Periods before and after that are taken too: 0 or 1 (by default)."`
	MaxAttempts *int             `json:"max_validation_attempts" doc:"Wrong codes in a row after which none is looked at for a while; 5 by default."`
	SelfEnrol   *bool            `json:"enable_self_enrollment" doc:"Whether who has no key yet gets one at their login."`
}

type (
	totpRequest struct {
		common
		totpFields
	}
	totpByID struct {
		Path string `path:"method_id"`
		totpRequest
	}
)

func (s *Store) changeTOTP(v engine.Tx, q totpByID) (*madeMethod, error) {
	return s.writeTOTP(v, q.Path, q.totpRequest)
}

func (s *Store) writeTOTP(v engine.Tx, inPath string, q totpRequest) (*madeMethod, error) {
	m, err := s.open(v, inPath, q.common, typeTOTP)
	if err != nil {
		return nil, err
	}
	old := m.TOTP
	t := TOTP{Algorithm: "SHA1", Digits: 6, KeySize: 20, MaxAttempts: 5, Period: 30, QRSize: 200, Skew: 1}
	if old != nil {
		t = *old
	}
	if err := t.set(q.totpFields); err != nil {
		return nil, err
	}
	m.TOTP = &t
	return s.store(v, m, old != nil)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (t *TOTP) set(f totpFields) error {
	set(&t.Issuer, f.Issuer)
	set(&t.KeySize, f.KeySize)
	set(&t.QRSize, f.QRSize)
	set(&t.Algorithm, f.Algorithm)
	set(&t.Digits, f.Digits)
	set(&t.Skew, f.Skew)
	set(&t.MaxAttempts, f.MaxAttempts)
	set(&t.SelfEnrol, f.SelfEnrol)
	if f.Period != nil {
		t.Period = int(f.Period.Seconds())
	}
	switch {
	case t.Issuer == "":
		return engine.Bad("issuer must be set")
	case strings.Contains(t.Issuer, ":"): // what ends it in the URL
		return engine.Bad("'issuer' cannot contain a colon")
	case t.Period < 1 || t.Period > 3600:
		return engine.Bad("'period' must be between one second and one hour")
	case t.KeySize < 16 || t.KeySize > 128:
		return engine.Bad("'key_size' must be between 16 and 128 bytes")
	case t.QRSize < 0 || t.QRSize > 2048:
		return engine.Bad("'qr_size' must be between 0 and 2048 pixels")
	case t.QRSize > 0 && t.QRSize < 100:
		return engine.Bad("'qr_size' must be 0 or at least 100 pixels")
	case t.Digits != 6 && t.Digits != 8:
		return engine.Bad("digits can only be 6 or 8")
	case t.Skew != 0 && t.Skew != 1:
		return engine.Bad("skew must be 0 or 1")
	case t.MaxAttempts < 1 || t.MaxAttempts > 100:
		return engine.Bad("'max_validation_attempts' must be between 1 and 100")
	case hashes(t.Algorithm) == nil:
		return engine.Bad("'algorithm' must be SHA1, SHA256 or SHA512")
	}
	return checkName("issuer", t.Issuer)
}

func hashes(name string) func() hash.Hash {
	switch name {
	case "SHA1":
		return sha1.New
	case "SHA256":
		return sha256.New
	case "SHA512":
		return sha512.New
	}
	return nil
}

// A Secret is the key of an entity, with the settings that its authenticator was
// given. The settings of the method may have changed since.
type Secret struct {
	Key       []byte `json:"key"`
	Algorithm string `json:"algorithm"`
	Digits    int    `json:"digits"`
	Period    int    `json:"period"`
	// Last is the period of the last code that was taken. No code of that one or
	// an earlier one is taken again: that is what makes a code good for once.
	Last int64 `json:"last"`
}

// wellFormed says whether a code is the digits of one, and nothing else: neither
// spaces nor the digits of other scripts.
func (k *Secret) wellFormed(code string) bool {
	if len(code) != k.Digits {
		return false
	}
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return false
		}
	}
	return true
}

// find gives the period that a code is of, within skew periods of now. It takes
// as long whichever that is, and if there is none.
func (k *Secret) find(code string, skew int, now time.Time) (period int64, ok bool) {
	at := now.Unix() / int64(k.Period)
	for p := at - int64(skew); p <= at+int64(skew); p++ {
		if subtle.ConstantTimeCompare([]byte(k.code(p)), []byte(code)) == 1 {
			period, ok = p, true
		}
	}
	return period, ok && k.wellFormed(code)
}

// code is the code of one period (RFC 4226).
func (k *Secret) code(period int64) string {
	mac := hmac.New(hashes(k.Algorithm), k.Key)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(period))
	mac.Write(b[:])
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0xf:]) & 0x7fffffff
	mod := uint32(1_000_000)
	if k.Digits == 8 {
		mod = 100_000_000
	}
	return fmt.Sprintf("%0*d", k.Digits, n%mod)
}

// nobodys is the secret that codes for who has none are looked up in.
func (t *TOTP) nobodys() *Secret {
	return &Secret{Key: make([]byte, t.KeySize), Algorithm: t.Algorithm, Digits: t.Digits, Period: t.Period}
}
