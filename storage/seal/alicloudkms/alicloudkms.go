// Package alicloudkms is a seal whose key is kept by Alibaba Cloud KMS. The
// service's own clients are end-of-life or far larger than two calls need, so
// requests are signed here (ACS3-HMAC-SHA256).
package alicloudkms

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fastness-dev/fastness/storage/seal"
)

const (
	apiVersion = "2016-01-20"
	metadata   = "http://100.100.100.200"
	// purpose is told to KMS and must be told again to decrypt.
	purpose = `{"fastness":"seal key"}`
)

// Kind is the seal "alicloudkms".
func Kind() seal.Kind {
	return seal.Kind{Type: "alicloudkms", Open: open}
}

type wrapper struct {
	http     *http.Client
	endpoint string
	metadata string
	key      string
	role     string // of the ECS instance, where there are no keys
	now      func() time.Time

	mu    sync.Mutex
	creds credentials
}

type credentials struct {
	ID, Secret, Token string
	until             time.Time // zero is for ever
}

func open(s *seal.Settings, _ *slog.Logger) (seal.Wrapper, error) {
	w := &wrapper{http: &http.Client{}, metadata: metadata, now: time.Now,
		key:  s.Need("kms_key_id", "VAULT_ALICLOUDKMS_SEAL_KEY_ID"),
		role: s.Text("ecs_role"),
		creds: credentials{ID: s.Text("access_key", "ALICLOUD_ACCESS_KEY"), Secret: s.Text("secret_key", "ALICLOUD_SECRET_KEY"),
			Token: s.Text("security_token", "ALICLOUD_SECURITY_TOKEN")}}
	region, domain := s.Text("region", "ALICLOUD_REGION"), s.Text("domain", "ALICLOUD_DOMAIN")
	switch {
	case domain == "" && region == "":
		s.Fail("region", "is missing: set it, or domain")
	case domain == "":
		domain = "kms." + region + ".aliyuncs.com"
	}
	if (w.creds.ID == "") != (w.creds.Secret == "") {
		s.Fail("secret_key", "and access_key need each other")
	}
	if !strings.Contains(domain, "://") {
		domain = "https://" + domain
	}
	w.endpoint = strings.TrimRight(domain, "/")
	return w, s.Err()
}

func (w *wrapper) Type() string   { return "alicloudkms" }
func (w *wrapper) Target() string { return w.endpoint + " " + w.key }
func (w *wrapper) Close() error   { return nil }

type answer struct {
	CiphertextBlob string
	Plaintext      string // base64
	KeyID          string `json:"KeyId"`
	KeyVersionID   string `json:"KeyVersionId"`
}

func (w *wrapper) Encrypt(ctx context.Context, key []byte) (seal.Blob, error) {
	got, err := w.ask(ctx, "Encrypt", url.Values{"KeyId": {w.key}, "Plaintext": {base64.StdEncoding.EncodeToString(key)}, "EncryptionContext": {purpose}})
	if err != nil {
		return seal.Blob{}, err
	}
	return seal.Blob{KeyID: strings.TrimSpace(got.KeyID + " " + got.KeyVersionID), Data: []byte(got.CiphertextBlob)}, nil
}

// Decrypt checks under which key the service decrypted: its call does not name
// one, and storage must not choose it. An alias hides its key's id.
func (w *wrapper) Decrypt(ctx context.Context, b seal.Blob) ([]byte, error) {
	got, err := w.ask(ctx, "Decrypt", url.Values{"CiphertextBlob": {string(b.Data)}, "EncryptionContext": {purpose}})
	if err != nil {
		return nil, err
	}
	if got.KeyID != w.key && !strings.HasPrefix(w.key, "alias/") {
		return nil, fmt.Errorf("kms_key_id is not the key that sealed this cluster, which is %s: put it back, or unseal with recovery keys", got.KeyID)
	}
	key, err := base64.StdEncoding.DecodeString(got.Plaintext)
	if err != nil || len(key) == 0 {
		return nil, errors.New("KMS answered without a plaintext")
	}
	return key, nil
}

func (w *wrapper) ask(ctx context.Context, action string, form url.Values) (got answer, err error) {
	creds, err := w.credentials(ctx)
	if err != nil {
		return got, err
	}
	sign := func(_ context.Context, r *http.Request, body []byte) error {
		return sign(r, action, body, creds, w.now())
	}
	err = seal.Ask(ctx, w.http, seal.Call{Method: http.MethodPost, URL: w.endpoint + "/", Body: []byte(form.Encode()), Sign: sign}, &got)
	var refused *seal.Refusal
	if errors.As(err, &refused) {
		return got, fmt.Errorf("%s by %s: %s", action, w.key, explain(refused))
	}
	if err != nil {
		return got, fmt.Errorf("%s by %s: %w", action, w.key, err)
	}
	return got, nil
}

// sign adds the headers of signature version 3. The seal key is in the body, so
// that no log of addresses on the way shows it.
func sign(r *http.Request, action string, body []byte, c credentials, now time.Time) error {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return fmt.Errorf("draw nonce: %w", err)
	}
	hash := sha256.Sum256(body)
	signed := map[string]string{
		"host": r.URL.Host, "content-type": "application/x-www-form-urlencoded",
		"x-acs-action": action, "x-acs-version": apiVersion,
		"x-acs-date": now.UTC().Format("2006-01-02T15:04:05Z"), "x-acs-signature-nonce": hex.EncodeToString(nonce),
		"x-acs-content-sha256": hex.EncodeToString(hash[:]),
	}
	if c.Token != "" {
		signed["x-acs-security-token"] = c.Token
	}
	var names []string
	for name, value := range signed {
		names = append(names, name)
		r.Header.Set(name, value)
	}
	slices.Sort(names)
	var canonical strings.Builder
	canonical.WriteString("POST\n/\n\n")
	for _, name := range names {
		canonical.WriteString(name + ":" + signed[name] + "\n")
	}
	list := strings.Join(names, ";")
	canonical.WriteString("\n" + list + "\n" + hex.EncodeToString(hash[:]))
	sum := sha256.Sum256([]byte(canonical.String()))
	mac := hmac.New(sha256.New, []byte(c.Secret))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(sum[:])))
	r.Header.Set("Authorization", "ACS3-HMAC-SHA256 Credential="+c.ID+",SignedHeaders="+list+",Signature="+hex.EncodeToString(mac.Sum(nil)))
	return nil
}

// credentials are those configured, or those of the instance's role, which the
// metadata service gives for some hours.
func (w *wrapper) credentials(ctx context.Context) (credentials, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.creds
	if c.ID != "" && (c.until.IsZero() || w.now().Before(c.until.Add(-5*time.Minute))) {
		return c, nil
	}
	if w.role == "" {
		return c, errors.New("no credentials: set access_key and secret_key, or ecs_role to the RAM role of this instance")
	}
	var got struct {
		Code, AccessKeyID, AccessKeySecret, SecurityToken string
		Expiration                                        time.Time
	}
	at := w.metadata + "/latest/meta-data/ram/security-credentials/" + url.PathEscape(w.role)
	if err := seal.Ask(ctx, w.http, seal.Call{Method: http.MethodGet, URL: at}, &got); err != nil {
		return c, fmt.Errorf("credentials of the role %s from the instance's metadata: %w", w.role, err)
	}
	if got.AccessKeyID == "" {
		return c, fmt.Errorf("the instance's metadata has no credentials for the role %s: is it attached?", w.role)
	}
	w.creds = credentials{got.AccessKeyID, got.AccessKeySecret, got.SecurityToken, got.Expiration}
	return w.creds, nil
}

func explain(r *seal.Refusal) string {
	var said struct{ Code, Message string }
	_ = json.Unmarshal(r.Body, &said) // what is no JSON says nothing
	switch {
	case strings.HasPrefix(said.Code, "Forbidden.KeyNotFound"), strings.HasPrefix(said.Code, "Forbidden.AliasNotFound"):
		return said.Code + ": there is no such key: are kms_key_id and region right?"
	case strings.HasPrefix(said.Code, "Rejected"):
		return said.Code + ": the key is disabled or being deleted: enable it"
	case strings.HasPrefix(said.Code, "Forbidden"):
		return said.Code + ": the credentials may not use the key: allow kms:Encrypt and kms:Decrypt on it"
	case strings.HasPrefix(said.Code, "InvalidAccessKeyId"), strings.HasPrefix(said.Code, "SignatureDoesNotMatch"), said.Code == "IncompleteSignature":
		return said.Code + ": the access key is unknown, or the secret key does not fit it"
	}
	return fmt.Sprintf("status %d %s: %s", r.Status, said.Code, said.Message)
}
