package transit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

// A server speaks the few calls of another server that the seal makes. Its key
// is a sealtest.Service.
type server struct {
	*httptest.Server
	key *sealtest.Service

	mu      sync.Mutex
	status  int // what everything is answered with; 0 works
	token   string
	ttl     int // of the token, in seconds
	renewed chan struct{}
}

func newServer(t *testing.T) *server {
	s := &server{key: sealtest.New("key"), token: "good", ttl: 60, renewed: make(chan struct{}, 16)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) settings() map[string]string {
	return map[string]string{"address": s.URL, "token": "good", "key_name": "unseal", "mount_path": "seals/", "namespace": "team"}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(status int, why string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"errors":[%q]}`, why)
	}
	switch {
	case s.status != 0:
		refuse(s.status, "told to")
		return
	case r.Header.Get("X-Vault-Token") != s.token, r.Header.Get("X-Vault-Namespace") != "team":
		refuse(403, "permission denied")
		return
	}
	var in message
	_ = json.NewDecoder(r.Body).Decode(&in)
	switch r.URL.Path {
	case "/v1/auth/token/lookup-self":
		fmt.Fprintf(w, `{"data":{"renewable":true,"ttl":%d}}`, s.ttl)
	case "/v1/auth/token/renew-self":
		fmt.Fprint(w, `{"auth":{"lease_duration":60}}`)
		s.renewed <- struct{}{}
	case "/v1/seals/encrypt/unseal":
		key, _ := base64.StdEncoding.DecodeString(in.Plaintext)
		b, _ := s.key.Encrypt(r.Context(), key)
		fmt.Fprintf(w, `{"data":{"ciphertext":"vault:v%s:%s"}}`, b.KeyID, base64.StdEncoding.EncodeToString(b.Data))
	case "/v1/seals/decrypt/unseal":
		parts := strings.Split(in.Ciphertext, ":")
		if len(parts) != 3 {
			refuse(400, "invalid ciphertext: no prefix")
			return
		}
		data, _ := base64.StdEncoding.DecodeString(parts[2])
		key, err := s.key.Decrypt(r.Context(), seal.Blob{KeyID: strings.TrimPrefix(parts[1], "v"), Data: data})
		if err != nil {
			refuse(400, "cipher: message authentication failed")
			return
		}
		fmt.Fprintf(w, `{"data":{"plaintext":%q}}`, base64.StdEncoding.EncodeToString(key))
	default:
		refuse(404, "")
	}
}

func TestAnotherServerKeepsTheKey(t *testing.T) {
	s := newServer(t)
	w := sealtest.Open(t, Kind(), s.settings())
	sealtest.Exercise(t, w)
	b, err := w.Encrypt(context.Background(), make([]byte, 32))
	if err != nil || b.KeyID != "unseal v1" {
		t.Fatalf("got %q, %v", b.KeyID, err)
	}
	s.key.Rotate()
	if b, err := w.Encrypt(context.Background(), make([]byte, 32)); err != nil || b.KeyID != "unseal v2" {
		t.Fatalf("got %q, %v", b.KeyID, err)
	}
}

func TestEachRefusalNamesItsCure(t *testing.T) {
	s := newServer(t)
	for status, want := range map[int]string{
		403: "it may have expired, or lacks the right",
		404: "are mount_path and namespace right",
		503: "is sealed or has no active node",
		400: "is key_name the key that sealed this cluster",
		418: "with status 418",
	} {
		s.mu.Lock()
		s.status = status
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := sealtest.Open(t, Kind(), s.settings()).Decrypt(ctx, seal.Blob{Data: []byte("vault:v1:AAAA")})
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "good") || strings.Contains(err.Error(), "\n") {
			t.Errorf("status %d is told as %v", status, err)
		}
	}
	s.Close()
	_, err := sealtest.Open(t, Kind(), s.settings()).Encrypt(t.Context(), make([]byte, 32))
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("a server that is gone is told as %v", err)
	}
}

func TestTheTokenIsRenewedAtHalfItsTime(t *testing.T) {
	s := newServer(t)
	w := sealtest.Open(t, Kind(), s.settings()).(*wrapper)
	waits, turn := make(chan time.Duration), make(chan time.Time)
	w.after = func(d time.Duration) <-chan time.Time { waits <- d; return turn }
	if _, err := w.Encrypt(t.Context(), make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		<-s.renewed
		if d := <-waits; d != 30*time.Second {
			t.Fatalf("renewed again after %s", d)
		}
		turn <- time.Time{}
	}
	<-s.renewed
	<-waits
}

func TestATokenThatCannotBeRenewedIsTold(t *testing.T) {
	s := newServer(t)
	var log bytes.Buffer
	w := sealtest.Open(t, Kind(), s.settings()).(*wrapper)
	w.logger = slog.New(slog.NewTextHandler(&log, nil))
	s.mu.Lock()
	s.status = 403
	s.mu.Unlock()
	waited := make(chan time.Duration)
	w.after = func(d time.Duration) <-chan time.Time { waited <- d; return nil }
	go w.keepToken()
	if d := <-waited; d != renewAgain {
		t.Fatalf("tries again after %s", d)
	}
	if !strings.Contains(log.String(), "was not renewed") {
		t.Fatal(log.String())
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	got := sealtest.Refused(t, Kind(), map[string]string{"tls_skip_verify": "maybe"})
	for _, want := range []string{`"address" is missing`, `"token" is missing`, `"key_name" is missing`, `"tls_skip_verify" must be true or false`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}
