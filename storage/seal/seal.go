// Package seal owns what happens around the seal key: sharing it out among
// people, collecting shares again, and handing shares and root tokens over in
// a form that only their owner can read.
//
// It promises: any threshold of shares restores the secret and fewer say
// nothing about it; arithmetic on secrets takes the same time and touches the
// same memory whatever the secret is; shares made by Vault combine here and
// ours combine there; no error holds a share, a key or a token.
//
// It does not keep keys (package barrier does) and stores nothing.
package seal

import (
	"errors"
	"fmt"
)

// Shamir is the Type of a seal whose key people hold in shares.
const Shamir = "shamir"

// MaxShares is the largest number of shares of one secret: every share needs
// an x of its own out of the 255 that are not zero.
const MaxShares = 255

// ErrBackupWithoutPGP says that a backup was asked for of shares that would
// lie in the clear.
var ErrBackupWithoutPGP = errors.New("cannot request a backup of the new keys without providing PGP keys for encryption")

// A Config says how a secret is shared out. It is stored beside the wrapped
// root key, readable before anything is unsealed, so it holds no secret. It
// also describes a rekey on its way, where Nonce names the ceremony.
type Config struct {
	// Type is the kind of seal: [Shamir], or the name of a key service.
	Type string `json:"type"`
	// Shares is how many shares are made, Threshold how many restore the key.
	Shares    int `json:"secret_shares"`
	Threshold int `json:"secret_threshold"`
	// PGPKeys are the public keys that the shares are encrypted to, one each,
	// in base64 or armored; none leaves the shares in the clear.
	PGPKeys []string `json:"pgp_keys,omitempty"`
	// PGPFingerprints are those of PGPKeys, in the same order.
	PGPFingerprints []string `json:"pgp_fingerprints,omitempty"`
	// Nonce names the ceremony that this configuration belongs to.
	Nonce string `json:"nonce,omitempty"`
	// Backup keeps a copy of the encrypted shares in the store.
	Backup bool `json:"backup,omitempty"`
	// VerificationRequired makes new shares take effect only after a
	// threshold of them was given back.
	VerificationRequired bool `json:"verification_required,omitempty"`
	// VerificationNonce names the ceremony in which they are given back.
	VerificationNonce string `json:"verification_nonce,omitempty"`
}

// Validate says what is wrong with the numbers and the PGP keys, in Vault's
// words: a client sees them behind "invalid seal configuration: ".
func (c *Config) Validate() error {
	switch {
	case c.Shares < 1:
		return errors.New("shares must be at least one")
	case c.Threshold < 1:
		return errors.New("threshold must be at least one")
	case c.Shares > 1 && c.Threshold == 1:
		return errors.New("threshold must be greater than one for multiple shares")
	case c.Shares > MaxShares:
		return errors.New("shares must be less than 256")
	case c.Threshold > MaxShares:
		return errors.New("threshold must be less than 256")
	case c.Threshold > c.Shares:
		return errors.New("threshold cannot be larger than shares")
	case len(c.PGPKeys) > 0 && len(c.PGPKeys) != c.Shares:
		return errors.New("count mismatch between number of provided PGP keys and number of shares")
	case c.Backup && len(c.PGPKeys) == 0:
		return ErrBackupWithoutPGP
	}
	for i, key := range c.PGPKeys {
		if _, err := parsePublicKey(key); err != nil {
			return fmt.Errorf("PGP key %d of %d: %w", i+1, len(c.PGPKeys), err)
		}
	}
	return nil
}
