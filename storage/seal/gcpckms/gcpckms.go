// Package gcpckms is a seal whose key is kept by Google Cloud KMS: a symmetric
// key, asked over REST, since the service's own client is larger than this
// server. Credentials are found as Google's library finds them.
//
// Every message carries a checksum both ways: a bit that flips on the way to
// the service would otherwise seal a key that nobody has.
package gcpckms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"

	"github.com/fastness-dev/fastness/storage/seal"
)

const (
	scope    = "https://www.googleapis.com/auth/cloudkms"
	standard = "https://cloudkms.googleapis.com"
)

// purpose is authenticated with the ciphertext.
var purpose = []byte("fastness seal key")

// Kind is the seal "gcpckms".
func Kind() seal.Kind {
	return seal.Kind{Type: "gcpckms", Open: open}
}

type wrapper struct {
	http     *http.Client
	endpoint string
	key      string // projects/…/cryptoKeys/…
	file     string // of credentials

	mu     sync.Mutex
	tokens auth.TokenProvider
}

func open(s *seal.Settings, _ *slog.Logger) (seal.Wrapper, error) {
	w := &wrapper{
		http:     &http.Client{},
		endpoint: strings.TrimRight(s.Default("endpoint", standard), "/"),
		file:     s.Text("credentials", "GOOGLE_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS"),
	}
	w.key = "projects/" + s.Need("project", "GOOGLE_PROJECT") +
		"/locations/" + s.Need("region", "GOOGLE_REGION") +
		"/keyRings/" + s.Need("key_ring", "VAULT_GCPCKMS_SEAL_KEY_RING") +
		"/cryptoKeys/" + s.Need("crypto_key", "VAULT_GCPCKMS_SEAL_CRYPTO_KEY")
	if err := s.Err(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *wrapper) Type() string { return "gcpckms" }
func (w *wrapper) Close() error { return nil }

func (w *wrapper) Target() string {
	if w.endpoint != standard {
		return w.key + " " + w.endpoint
	}
	return w.key
}

type encrypted struct {
	Name             string   `json:"name"` // of the key's version
	Ciphertext       []byte   `json:"ciphertext"`
	CiphertextCRC    checksum `json:"ciphertextCrc32c"`
	VerifiedPlainCRC bool     `json:"verifiedPlaintextCrc32c"`
}

func (w *wrapper) Encrypt(ctx context.Context, key []byte) (seal.Blob, error) {
	var got encrypted
	err := w.ask(ctx, "encrypt", struct {
		Plaintext []byte   `json:"plaintext"`
		CRC       checksum `json:"plaintextCrc32c"`
		AAD       []byte   `json:"additionalAuthenticatedData"`
	}{key, sum(key), purpose}, &got)
	switch {
	case err != nil:
		return seal.Blob{}, err
	case !got.VerifiedPlainCRC || sum(got.Ciphertext) != got.CiphertextCRC:
		return seal.Blob{}, errDamaged
	}
	return seal.Blob{KeyID: got.Name, Data: got.Ciphertext}, nil
}

var errDamaged = errors.New("a message was damaged between here and Cloud KMS: try again")

func (w *wrapper) Decrypt(ctx context.Context, b seal.Blob) ([]byte, error) {
	var got struct {
		Plaintext []byte   `json:"plaintext"`
		CRC       checksum `json:"plaintextCrc32c"`
	}
	err := w.ask(ctx, "decrypt", struct {
		Ciphertext []byte   `json:"ciphertext"`
		CRC        checksum `json:"ciphertextCrc32c"`
		AAD        []byte   `json:"additionalAuthenticatedData"`
	}{b.Data, sum(b.Data), purpose}, &got)
	switch {
	case err != nil:
		return nil, err
	case sum(got.Plaintext) != got.CRC:
		return nil, errDamaged
	}
	return got.Plaintext, nil
}

func (w *wrapper) ask(ctx context.Context, what string, in, out any) error {
	err := seal.Ask(ctx, w.http, seal.Call{Method: http.MethodPost, URL: w.endpoint + "/v1/" + w.key + ":" + what, Body: in, Sign: w.sign}, out)
	var refused *seal.Refusal
	if errors.As(err, &refused) {
		return fmt.Errorf("%s by %s: %s", what, w.key, explain(refused))
	}
	if err != nil {
		return fmt.Errorf("%s by %s: %w", what, w.key, err)
	}
	return nil
}

// sign finds the credentials with the first request: that may dial.
func (w *wrapper) sign(ctx context.Context, r *http.Request, _ []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tokens == nil {
		//nolint:staticcheck // the file is the operator's own, and may be of any type
		found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{scope}, CredentialsFile: w.file})
		if err != nil {
			return fmt.Errorf("no credentials: set credentials, or GOOGLE_APPLICATION_CREDENTIALS, to a service account's file: %w", err)
		}
		w.tokens = found
	}
	token, err := w.tokens.Token(ctx)
	if err != nil {
		return fmt.Errorf("the credentials were not exchanged for a token: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token.Value)
	return nil
}

func explain(r *seal.Refusal) string {
	var said struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(r.Body, &said) // what is no JSON says nothing
	switch {
	case r.Status == http.StatusForbidden:
		return "the credentials may not use the key: give them roles/cloudkms.cryptoKeyEncrypterDecrypter on it (" + said.Error.Message + ")"
	case r.Status == http.StatusNotFound:
		return "there is no such key: are project, region, key_ring and crypto_key right?"
	case r.Status == http.StatusUnauthorized:
		return "the credentials were refused: were they deleted or replaced?"
	case said.Error.Status == "FAILED_PRECONDITION":
		return "the key or its version is disabled or destroyed: enable it (" + said.Error.Message + ")"
	case said.Error.Status == "INVALID_ARGUMENT":
		return "this is not the key that sealed this cluster, or the stored key is damaged: put the old key back, or unseal with recovery keys"
	}
	return fmt.Sprintf("status %d %s: %s", r.Status, said.Error.Status, said.Error.Message)
}

// A checksum is CRC32C. In JSON it is a text, as Google spells 64-bit numbers.
type checksum uint32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(b []byte) checksum { return checksum(crc32.Checksum(b, castagnoli)) }

func (c checksum) MarshalText() ([]byte, error) { return strconv.AppendUint(nil, uint64(c), 10), nil }

func (c *checksum) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 10, 32)
	*c = checksum(n)
	return err
}
