package seal

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// The lengths of a share in bytes. 33 is a share of a 32-byte key; 32 the key
// itself when there is a single share; 16 a key of AES-128.
const (
	MinShare = 16
	MaxShare = 33
)

// ErrShareEncoding says that a share is neither hex nor base64.
var ErrShareEncoding = errors.New("'key' must be a valid hex or base64 string")

// ErrShareLength says that a share cannot be one by its length.
var ErrShareLength = errors.New("invalid key")

// ParseShare reads a share as people type it. Base64 may happen to look like
// hex, so hex is taken only when it has the length of a share. The length of
// what was base64 is not checked here but by [Ceremony.Add].
func ParseShare(s string) ([]byte, error) {
	share, err := hex.DecodeString(s)
	if err == nil && CheckShare(share) == nil {
		return share, nil
	}
	share, err = base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, ErrShareEncoding // the cause would quote the input
	}
	return share, nil
}

// CheckShare returns an [ErrShareLength] that says what is wrong.
func CheckShare(share []byte) error {
	switch {
	case len(share) < MinShare:
		return fmt.Errorf("%w: key is shorter than minimum %d bytes", ErrShareLength, MinShare)
	case len(share) > MaxShare:
		return fmt.Errorf("%w: key is longer than maximum %d bytes", ErrShareLength, MaxShare)
	}
	return nil
}
