package seal

import (
	"encoding/base64"
	"errors"
	"io"
	"strings"
)

// A new root token leaves the server XORed with a one-time password, so that
// neither the answer nor its log is enough to use it.

// ErrOTPLength says that a one-time password is not as long as the token.
var ErrOTPLength = errors.New("OTP string has incorrect length")

// ErrTokenEncoding says that an encoded token is not base64.
var ErrTokenEncoding = errors.New("encoded token is not valid base64")

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewOTP returns length random characters out of 0-9, A-Z and a-z.
func NewOTP(length int, rand io.Reader) (string, error) {
	otp := make([]byte, length)
	for i := range otp {
		n, err := below(len(base62), rand)
		if err != nil {
			return "", err
		}
		otp[i] = base62[n]
	}
	return string(otp), nil
}

// EncodeToken returns token XOR otp in base64 without padding. Both must have
// the same length.
func EncodeToken(token, otp string) (string, error) {
	mixed, err := xor([]byte(token), otp)
	if err != nil {
		return "", err
	}
	return base64.RawStdEncoding.EncodeToString(mixed), nil
}

// DecodeToken undoes EncodeToken. Padding is accepted, as older clients add it.
func DecodeToken(encoded, otp string) (string, error) {
	mixed, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return "", ErrTokenEncoding
	}
	token, err := xor(mixed, otp)
	return string(token), err
}

func xor(a []byte, b string) ([]byte, error) {
	if len(a) != len(b) {
		return nil, ErrOTPLength
	}
	for i := range a {
		a[i] ^= b[i]
	}
	return a, nil
}
