// Package ocikms is a seal whose key is kept by a vault of Oracle Cloud
// Infrastructure. OCI's client is of the size of this server, so requests are
// signed here: by an API key out of its configuration file, or as the instance
// that the server runs on.
package ocikms

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fastness-dev/fastness/storage/seal"
)

const apiVersion = "20180608"

// Kind is the seal "ocikms".
func Kind() seal.Kind {
	return seal.Kind{Type: "ocikms", Open: open}
}

type wrapper struct {
	http     *http.Client
	endpoint string
	key      string
	now      func() time.Time

	mu     sync.Mutex
	signer signer
}

// A signer gives what requests are signed by; it may ask for a new token.
type signer interface {
	identity(ctx context.Context) (*identity, error)
}

func open(s *seal.Settings, _ *slog.Logger) (seal.Wrapper, error) {
	w := &wrapper{http: &http.Client{}, now: time.Now,
		key:      s.Need("key_id", "VAULT_OCIKMS_SEAL_KEY_ID"),
		endpoint: strings.TrimRight(s.Need("crypto_endpoint", "VAULT_OCIKMS_CRYPTO_ENDPOINT"), "/")}
	byKey := s.Flag("auth_type_api_key")
	file, profile := s.Default("config_file", defaultFile(), "OCI_CONFIG_FILE"), s.Default("config_profile", "DEFAULT", "OCI_CONFIG_PROFILE")
	if err := s.Err(); err != nil {
		return nil, err
	}
	if !byKey {
		w.signer = &instance{http: w.http, metadata: metadata, now: time.Now}
		return w, nil
	}
	id, err := readProfile(file, profile)
	if err != nil {
		return nil, fmt.Errorf("read the API key of profile %s in %s: %w", profile, file, err)
	}
	w.signer = id
	return w, nil
}

func defaultFile() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".oci", "config")
}

func (w *wrapper) Type() string   { return "ocikms" }
func (w *wrapper) Target() string { return w.endpoint + " " + w.key }
func (w *wrapper) Close() error   { return nil }

type request struct {
	KeyID      string `json:"keyId"`
	Plaintext  string `json:"plaintext,omitempty"` // base64
	Ciphertext string `json:"ciphertext,omitempty"`
}

type answer struct {
	Plaintext    string `json:"plaintext"`
	Ciphertext   string `json:"ciphertext"`
	KeyVersionID string `json:"keyVersionId"`
}

func (w *wrapper) Encrypt(ctx context.Context, key []byte) (seal.Blob, error) {
	got, err := w.ask(ctx, "encrypt", request{KeyID: w.key, Plaintext: base64.StdEncoding.EncodeToString(key)})
	if err != nil {
		return seal.Blob{}, err
	}
	if got.Ciphertext == "" {
		return seal.Blob{}, errors.New("OCI answered without a ciphertext: is crypto_endpoint right?")
	}
	return seal.Blob{KeyID: got.KeyVersionID, Data: []byte(got.Ciphertext)}, nil
}

func (w *wrapper) Decrypt(ctx context.Context, b seal.Blob) ([]byte, error) {
	got, err := w.ask(ctx, "decrypt", request{KeyID: w.key, Ciphertext: string(b.Data)})
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(got.Plaintext)
	if err != nil || len(key) == 0 {
		return nil, errors.New("OCI answered without a plaintext: is crypto_endpoint right?")
	}
	return key, nil
}

func (w *wrapper) ask(ctx context.Context, what string, in request) (got answer, err error) {
	c := seal.Call{Method: http.MethodPost, URL: w.endpoint + "/" + apiVersion + "/" + what, Body: in, Sign: w.sign}
	err = seal.Ask(ctx, w.http, c, &got)
	var refused *seal.Refusal
	if errors.As(err, &refused) {
		return got, fmt.Errorf("%s by %s: %s", what, w.key, explain(refused))
	}
	if err != nil {
		return got, fmt.Errorf("%s by %s: %w", what, w.key, err)
	}
	return got, nil
}

func (w *wrapper) sign(ctx context.Context, r *http.Request, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	id, err := w.signer.identity(ctx)
	if err != nil {
		return err
	}
	return id.sign(r, body, w.now())
}

func explain(r *seal.Refusal) string {
	var said struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(r.Body, &said) // what is no JSON says nothing
	switch r.Status {
	case http.StatusUnauthorized:
		return said.Code + ": the signature was refused: do user, fingerprint and key_file belong together, and is the clock right?"
	case http.StatusNotFound:
		return said.Code + ": there is no such key, or no policy lets this user or dynamic group use keys in its compartment"
	case http.StatusBadRequest:
		return said.Code + ": " + said.Message + "; is key_id the key that sealed this cluster?"
	case http.StatusConflict:
		return said.Code + ": the key is disabled or being deleted: enable it"
	}
	return fmt.Sprintf("status %d %s: %s", r.Status, said.Code, said.Message)
}
