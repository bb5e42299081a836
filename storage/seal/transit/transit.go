// Package transit is a seal whose key is kept by the transit engine of another
// server: a Fastness or a Vault.
//
// It promises to keep its token alive for as long as the server runs, unless
// told not to, and never to show the token.
package transit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
	"github.com/fastness-dev/fastness/storage/seal"
)

// Kind is the seal "transit".
func Kind() seal.Kind {
	return seal.Kind{Type: "transit", Open: open}
}

type wrapper struct {
	client     *client.Client
	mount, key string
	target     string
	logger     *slog.Logger

	renewing sync.Once // begins with the first use
	renew    bool
	after    func(time.Duration) <-chan time.Time
	end      context.Context
	stop     context.CancelFunc
	ended    sync.WaitGroup
}

func open(s *seal.Settings, logger *slog.Logger) (seal.Wrapper, error) {
	c := client.Config{
		Address:    s.Fallback("address", "VAULT_ADDR"),
		Token:      s.Fallback("token", "VAULT_TOKEN"),
		Namespace:  s.Fallback("namespace", "VAULT_NAMESPACE"),
		CACert:     s.Fallback("tls_ca_cert", "VAULT_CACERT"),
		ClientCert: s.Fallback("tls_client_cert", "VAULT_CLIENT_CERT"),
		ClientKey:  s.Fallback("tls_client_key", "VAULT_CLIENT_KEY"),
		ServerName: s.Fallback("tls_server_name", "VAULT_TLS_SERVER_NAME"),
		SkipVerify: s.Flag("tls_skip_verify", "VAULT_SKIP_VERIFY"),
	}
	if c.Address == "" {
		s.Fail("address", "is missing: set it to the URL of the server whose transit engine holds the key")
	}
	if c.Token == "" {
		s.Fail("token", "is missing: set it, or VAULT_TOKEN in the environment, to a token that may update MOUNT/encrypt/KEY and MOUNT/decrypt/KEY")
	}
	w := &wrapper{
		key:    s.Need("key_name", "VAULT_TRANSIT_SEAL_KEY_NAME"),
		mount:  strings.Trim(s.Default("mount_path", "transit", "VAULT_TRANSIT_SEAL_MOUNT_PATH"), "/"),
		renew:  !s.Flag("disable_renewal", "VAULT_TRANSIT_SEAL_DISABLE_RENEWAL"),
		logger: logger, after: time.After,
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	var err error
	if w.client, err = client.New(c); err != nil {
		return nil, err
	}
	w.target = strings.Join([]string{c.Address, c.Namespace, w.mount, w.key}, " ")
	w.end, w.stop = context.WithCancel(context.Background())
	return w, nil
}

func (w *wrapper) Type() string   { return "transit" }
func (w *wrapper) Target() string { return w.target }

func (w *wrapper) Close() error {
	w.stop()
	w.ended.Wait()
	return nil
}

// A message is what encrypt and decrypt take and answer.
type message struct {
	Plaintext  string `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
}

func (w *wrapper) Encrypt(ctx context.Context, key []byte) (seal.Blob, error) {
	got, err := w.ask(ctx, "encrypt", message{Plaintext: base64.StdEncoding.EncodeToString(key)})
	if err != nil {
		return seal.Blob{}, err
	}
	if got.Ciphertext == "" {
		return seal.Blob{}, errors.New("the server answered without a ciphertext: is something else mounted there?")
	}
	return seal.Blob{KeyID: w.key + " " + version(got.Ciphertext), Data: []byte(got.Ciphertext)}, nil
}

// version is "v3" in vault:v3:…
func version(ciphertext string) string {
	parts := strings.SplitN(ciphertext, ":", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}

func (w *wrapper) Decrypt(ctx context.Context, b seal.Blob) ([]byte, error) {
	got, err := w.ask(ctx, "decrypt", message{Ciphertext: string(b.Data)})
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(got.Plaintext)
	if err != nil || len(key) == 0 {
		return nil, errors.New("the server answered without a plaintext: is something else mounted there?")
	}
	return key, nil
}

func (w *wrapper) ask(ctx context.Context, what string, m message) (got message, err error) {
	body, err := json.Marshal(m)
	if err != nil {
		return got, err
	}
	path := w.mount + "/" + what + "/" + w.key
	a, err := w.client.Write(ctx, path, body)
	switch {
	case err != nil:
		return got, w.explain(path, err)
	case a == nil || json.Unmarshal(a.Data, &got) != nil:
		return got, fmt.Errorf("%s answered something else than transit does: is mount_path right?", path)
	}
	if w.renew {
		w.renewing.Do(func() { w.ended.Go(w.keepToken) })
	}
	return got, nil
}

// explain makes one sentence of a refusal, with what to do.
func (w *wrapper) explain(path string, err error) error {
	at := w.client.Config().Address
	var refused *api.Error
	if !errors.As(err, &refused) {
		reason, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("%s does not answer: %s", at, reason)
	}
	said := strings.Join(refused.Errors, "; ")
	switch refused.Status {
	case http.StatusForbidden:
		return fmt.Errorf("%s refuses the token at %s (%s): it may have expired, or lacks the right to update that path; give the seal a new one", at, path, said)
	case http.StatusNotFound:
		return fmt.Errorf("%s has nothing at %s: are mount_path and namespace right, and is transit mounted there?", at, path)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%s is sealed or has no active node: unseal it first", at)
	case http.StatusBadRequest:
		return fmt.Errorf("%s refuses %s: %s; is key_name the key that sealed this cluster, and is its min_decryption_version low enough?", at, path, said)
	}
	return fmt.Errorf("%s answers %s with status %d: %s", at, path, refused.Status, said)
}
