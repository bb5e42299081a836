// Package static is a seal whose key the operator hands to the server: in a
// file, in the environment or, for trying things out, in the configuration.
//
// It promises to tell a key that is not the right one from damage, and to open
// what the previous key sealed, so that keys can be replaced. It does not
// protect the key: whoever reads the file and the storage reads everything.
package static

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"

	"github.com/fastness-dev/fastness/storage/seal"
)

const keySize = 32

// Kind is the seal "static".
func Kind() seal.Kind {
	return seal.Kind{Type: "static", Open: open}
}

type wrapper struct {
	current string // id
	keys    map[string]cipher.AEAD
}

func open(s *seal.Settings, _ *slog.Logger) (seal.Wrapper, error) {
	w := &wrapper{current: s.Need("current_key_id", "VAULT_STATIC_SEAL_CURRENT_KEY_ID"), keys: map[string]cipher.AEAD{}}
	w.add(s, w.current, "current_key", s.Need("current_key", "VAULT_STATIC_SEAL_CURRENT_KEY"))
	id, key := s.Text("previous_key_id", "VAULT_STATIC_SEAL_PREVIOUS_KEY_ID"), s.Text("previous_key", "VAULT_STATIC_SEAL_PREVIOUS_KEY")
	switch {
	case (id == "") != (key == ""):
		s.Fail("previous_key", "and previous_key_id need each other")
	case id != "" && id == w.current:
		s.Fail("previous_key_id", "is the current one: a new key needs a new id")
	case id != "":
		w.add(s, id, "previous_key", key)
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *wrapper) add(s *seal.Settings, id, setting, text string) {
	if text == "" {
		return // Need has said so
	}
	key := decode(text)
	if key == nil {
		s.Fail(setting, "must be a key of 32 bytes: as they are, in hex or in base64; \"openssl rand -hex 32\" makes one")
		return
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err == nil {
		w.keys[id], err = cipher.NewGCM(block)
	}
	if err != nil {
		s.Fail(setting, "is no AES key")
	}
}

// decode is nil for what is not a key.
func decode(text string) []byte {
	if len(text) == keySize {
		return []byte(text)
	}
	if key, err := hex.DecodeString(text); err == nil && len(key) == keySize {
		return key
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if key, err := e.DecodeString(text); err == nil && len(key) == keySize {
			return key
		}
	}
	return nil
}

func (w *wrapper) Type() string   { return "static" }
func (w *wrapper) Target() string { return "static" }
func (w *wrapper) Close() error   { return nil }

func label(id string) []byte { return []byte("fastness static seal\x00" + id) }

// Encrypt returns nonce and ciphertext.
func (w *wrapper) Encrypt(_ context.Context, key []byte) (seal.Blob, error) {
	aead := w.keys[w.current]
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return seal.Blob{}, fmt.Errorf("draw nonce: %w", err)
	}
	return seal.Blob{KeyID: w.current, Data: aead.Seal(nonce, nonce, key, label(w.current))}, nil
}

func (w *wrapper) Decrypt(_ context.Context, b seal.Blob) ([]byte, error) {
	aead := w.keys[b.KeyID]
	if aead == nil {
		return nil, fmt.Errorf("the root key was sealed by the key %q, which is not configured: set it as previous_key with previous_key_id", b.KeyID)
	}
	if len(b.Data) < aead.NonceSize() {
		return nil, fmt.Errorf("the stored key is cut off: unseal with recovery keys, and it is stored anew")
	}
	key, err := aead.Open(nil, b.Data[:aead.NonceSize()], b.Data[aead.NonceSize():], label(b.KeyID))
	if err != nil {
		return nil, fmt.Errorf("the key %q is not the one that sealed the root key, though it has its id: put the right key back, or unseal with recovery keys", b.KeyID)
	}
	return key, nil
}
