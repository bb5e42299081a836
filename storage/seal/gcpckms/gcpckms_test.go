package gcpckms

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

const keyPath = "/v1/projects/p/locations/global/keyRings/r/cryptoKeys/k"

// fake speaks Cloud KMS and the exchange of a service account for a token.
func fake(t *testing.T, status int, mangle func(*encrypted)) *httptest.Server {
	key := sealtest.New("key")
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 3600})
	})
	mux.HandleFunc("POST "+keyPath+":encrypt", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Plaintext []byte
			AAD       []byte   `json:"additionalAuthenticatedData"`
			CRC       checksum `json:"plaintextCrc32c"`
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil || r.Header.Get("Authorization") != "Bearer t" || string(in.AAD) != string(purpose) || sum(in.Plaintext) != in.CRC {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b, _ := key.Encrypt(r.Context(), in.Plaintext)
		out := encrypted{"projects/p/…/cryptoKeyVersions/" + b.KeyID, b.Data, sum(b.Data), true}
		if mangle != nil {
			mangle(&out)
		}
		reply(w, out)
	})
	mux.HandleFunc("POST "+keyPath+":decrypt", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Ciphertext []byte }
		_ = json.NewDecoder(r.Body).Decode(&in)
		plain, err := key.Decrypt(r.Context(), seal.Blob{KeyID: "1", Data: in.Ciphertext})
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			reply(w, map[string]any{"error": map[string]any{"status": "INVALID_ARGUMENT", "message": "Decryption failed"}})
			return
		}
		reply(w, map[string]any{"plaintext": plain, "plaintextCrc32c": sum(plain)})
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status != 0 && r.URL.Path != "/token" {
			w.WriteHeader(status)
			reply(w, map[string]any{"error": map[string]any{"status": "X", "message": "no"}})
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// settings name a service account of a key that is drawn here.
func settings(t *testing.T, s *httptest.Server) map[string]string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "a@p", "private_key_id": "1", "token_uri": s.URL + "/token",
		"project_id": "p", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"project": "p", "region": "global", "key_ring": "r", "crypto_key": "k", "endpoint": s.URL, "credentials": file}
}

func TestCloudKMSKeepsTheKey(t *testing.T) {
	sealtest.Exercise(t, sealtest.Open(t, Kind(), settings(t, fake(t, 0, nil))))
}

func TestAMessageThatWasDamagedSealsNothing(t *testing.T) {
	for what, mangle := range map[string]func(*encrypted){
		"on the way there": func(e *encrypted) { e.VerifiedPlainCRC = false },
		"on the way back":  func(e *encrypted) { e.Ciphertext[0] ^= 1 },
	} {
		_, err := sealtest.Open(t, Kind(), settings(t, fake(t, 0, mangle))).Encrypt(t.Context(), make([]byte, 32))
		if err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestEachRefusalNamesItsCure(t *testing.T) {
	for status, want := range map[int]string{403: "cryptoKeyEncrypterDecrypter", 404: "are project, region, key_ring and crypto_key right", 401: "were they deleted", 500: "status 500 X: no"} {
		_, err := sealtest.Open(t, Kind(), settings(t, fake(t, status, nil))).Decrypt(t.Context(), seal.Blob{Data: []byte("x")})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("status %d is told as %v", status, err)
		}
	}
	if got := sealtest.Refused(t, Kind(), nil); !strings.Contains(got, `"crypto_key" is missing: set it in the stanza, or VAULT_GCPCKMS_SEAL_CRYPTO_KEY`) {
		t.Error(got)
	}
}
