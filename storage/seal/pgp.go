package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
)

const armorStart = "-----BEGIN PGP"

// EncryptShares encrypts each share to the public key at its place and
// returns the keys' fingerprints (lower-case hex) and the messages (binary).
//
// What a holder decrypts is the share in lower-case hex, ready to be typed
// in: Vault does so and every guide tells people to pipe it into unseal.
func EncryptShares(pgpKeys []string, shares [][]byte) (fingerprints []string, encrypted [][]byte, err error) {
	if len(pgpKeys) != len(shares) {
		return nil, nil, fmt.Errorf("%d PGP keys for %d shares", len(pgpKeys), len(shares))
	}
	for i, key := range pgpKeys {
		text := make([]byte, hex.EncodedLen(len(shares[i])))
		hex.Encode(text, shares[i])
		fingerprint, message, err := encryptTo(key, text)
		clear(text)
		if err != nil {
			return nil, nil, fmt.Errorf("PGP key %d of %d: %w", i+1, len(pgpKeys), err)
		}
		fingerprints = append(fingerprints, fingerprint)
		encrypted = append(encrypted, message)
	}
	return fingerprints, encrypted, nil
}

// EncryptText encrypts a text as it is: a root token.
func EncryptText(pgpKey, text string) (fingerprint string, encrypted []byte, err error) {
	fingerprint, encrypted, err = encryptTo(pgpKey, []byte(text))
	if err != nil {
		return "", nil, fmt.Errorf("PGP key: %w", err)
	}
	return fingerprint, encrypted, nil
}

// Fingerprints returns those of the public keys, in lower-case hex.
func Fingerprints(pgpKeys []string) ([]string, error) {
	var fingerprints []string
	for i, key := range pgpKeys {
		entity, err := parsePublicKey(key)
		if err != nil {
			return nil, fmt.Errorf("PGP key %d of %d: %w", i+1, len(pgpKeys), err)
		}
		fingerprints = append(fingerprints, hex.EncodeToString(entity.PrimaryKey.Fingerprint))
	}
	return fingerprints, nil
}

func encryptTo(pgpKey string, text []byte) (fingerprint string, message []byte, err error) {
	entity, err := parsePublicKey(pgpKey)
	if err != nil {
		return "", nil, err
	}
	var out bytes.Buffer
	w, err := openpgp.Encrypt(&out, []*openpgp.Entity{entity}, nil, nil, nil)
	if err != nil {
		return "", nil, fmt.Errorf("encrypt: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return "", nil, fmt.Errorf("encrypt: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", nil, fmt.Errorf("encrypt: %w", err)
	}
	return hex.EncodeToString(entity.PrimaryKey.Fingerprint), out.Bytes(), nil
}

// parsePublicKey reads one public key, armored, or in base64 with either the
// binary or the armored form inside.
func parsePublicKey(key string) (*openpgp.Entity, error) {
	key = strings.TrimSpace(key)
	if key == "" {
		return nil, errors.New("is empty")
	}
	raw := []byte(key)
	if !strings.HasPrefix(key, armorStart) {
		var err error
		raw, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(key), ""))
		if err != nil {
			return nil, errors.New("is neither armored nor base64")
		}
	}
	read := func(r io.Reader) (openpgp.EntityList, error) { return openpgp.ReadKeyRing(r) }
	if bytes.HasPrefix(raw, []byte(armorStart)) {
		read = openpgp.ReadArmoredKeyRing
	}
	entities, err := read(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	if len(entities) != 1 {
		return nil, fmt.Errorf("holds %d keys instead of one", len(entities))
	}
	return entities[0], nil
}
