package azurekeyvault

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

// anybody is the identity that the fake vault knows.
type anybody struct{ scopes []string }

func (a *anybody) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	a.scopes = o.Scopes
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func versioned(v string) *atomic.Pointer[string] {
	var p atomic.Pointer[string]
	p.Store(&v)
	return &p
}

// fake speaks Key Vault, with a version of the key that people can replace.
func fake(t *testing.T, key *sealtest.Service, version *atomic.Pointer[string], status int) (seal.Wrapper, *anybody) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, text string) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"code":"C","message":%q}}`, text)
		}
		var in value
		_ = json.NewDecoder(r.Body).Decode(&in)
		data, _ := base64.RawURLEncoding.DecodeString(in.Value)
		turn := func(out []byte, err error) {
			if err != nil || in.Algorithm != "RSA-OAEP-256" {
				refuse(400, "bad padding")
				return
			}
			fmt.Fprintf(w, `{"kid":"x","value":%q}`, base64.RawURLEncoding.EncodeToString(out))
		}
		switch {
		case status != 0:
			refuse(status, "told to")
		case r.Header.Get("Authorization") != "Bearer t" || r.URL.Query().Get("api-version") != "7.4":
			refuse(401, "who?")
		case r.URL.Path == "/keys/k":
			fmt.Fprintf(w, `{"key":{"kid":"https://v.vault.azure.net/keys/k/%s"}}`, *version.Load())
		case strings.HasPrefix(r.URL.Path, "/keys/k/") && strings.HasSuffix(r.URL.Path, "/wrapkey"):
			b, err := key.Encrypt(r.Context(), data)
			turn(b.Data, err)
		case strings.HasPrefix(r.URL.Path, "/keys/k/v") && strings.HasSuffix(r.URL.Path, "/unwrapkey"):
			turn(key.Decrypt(r.Context(), seal.Blob{KeyID: "1", Data: data}))
		default:
			refuse(404, "not found")
		}
	}))
	t.Cleanup(s.Close)
	w := sealtest.Open(t, Kind(), map[string]string{"tenant_id": "t", "client_id": "c", "client_secret": "s", "key_name": "k", "endpoint": s.URL})
	who := &anybody{}
	w.(*wrapper).credential = who
	return w, who
}

func TestKeyVaultKeepsTheKey(t *testing.T) {
	version := versioned("v1")
	w, who := fake(t, sealtest.New("k"), version, 0)
	sealtest.Exercise(t, w)
	if len(who.scopes) != 1 || who.scopes[0] != "https://vault.azure.net/.default" {
		t.Errorf("a token was asked for %v", who.scopes)
	}
	b, err := w.Encrypt(t.Context(), make([]byte, 32))
	if err != nil || b.KeyID != "v1" {
		t.Fatalf("got %q, %v", b.KeyID, err)
	}
	newer := "v2"
	version.Store(&newer)
	if _, err := w.Decrypt(t.Context(), b); err != nil {
		t.Fatalf("an older version does not open: %v", err)
	}
	// The version comes out of the store: nothing else may get into the URL.
	for _, version := range []string{"", "v1/../../other", "v1?x=", "https://elsewhere/keys/k/v1"} {
		if _, err := w.Decrypt(t.Context(), seal.Blob{KeyID: version, Data: b.Data}); err == nil || !strings.Contains(err.Error(), "names no version") {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestEachRefusalNamesItsCure(t *testing.T) {
	version := versioned("v1")
	for status, want := range map[int]string{403: "Key Vault Crypto Service Encryption User", 404: "are vault_name and key_name right", 401: "do tenant_id and environment belong", 400: "is this the RSA key", 500: "status 500 C: told to"} {
		w, _ := fake(t, sealtest.New("k"), version, status)
		if _, err := w.Encrypt(t.Context(), make([]byte, 32)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("status %d is told as %v", status, err)
		}
	}
	got := sealtest.Refused(t, Kind(), map[string]string{"environment": "MOON", "client_secret": "hunter2"})
	for _, want := range []string{`"environment" must be AZUREPUBLICCLOUD`, `"key_name" is missing`, `"vault_name" is missing`, `"client_secret" needs tenant_id`} {
		if !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

func TestTheVaultsOfEachCloud(t *testing.T) {
	for environment, want := range map[string]string{"": "https://v.vault.azure.net/keys/k", "AzureChinaCloud": "https://v.vault.azure.cn/keys/k"} {
		w := sealtest.Open(t, Kind(), map[string]string{"vault_name": "v", "key_name": "k", "environment": environment})
		if w.Target() != want {
			t.Errorf("got %s, want %s", w.Target(), want)
		}
	}
}
