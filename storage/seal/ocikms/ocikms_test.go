package ocikms

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

// A cloud speaks a vault's crypto endpoint, the metadata of an instance and the
// identity service, and checks every signature by the key of who signed.
type cloud struct {
	*httptest.Server
	mu     sync.Mutex
	key    *sealtest.Service
	status int
	users  map[string]*rsa.PublicKey // by keyId
	cert   []byte                    // of the instance, DER
	own    *rsa.PrivateKey
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{key: sealtest.New("key"), users: map[string]*rsa.PublicKey{}}
	var err error
	if c.own, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: "instance", OrganizationalUnit: []string{"opc-certtype:instance", "opc-tenant:ocid1.tenancy"}}}
	if c.cert, err = x509.CreateCertificate(rand.Reader, template, template, &c.own.PublicKey, c.own); err != nil {
		t.Fatal(err)
	}
	c.users["ocid1.tenancy/fed-x509/"+fingerprint(c.cert)] = &c.own.PublicKey
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if name, ok := strings.CutPrefix(r.URL.Path, "/opc/v2/identity/"); ok {
		if r.Header.Get("Authorization") != "Bearer Oracle" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		block := &pem.Block{Type: "CERTIFICATE", Bytes: c.cert}
		if name == "key.pem" {
			block = &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(c.own)}
		}
		_ = pem.Encode(w, block)
		return
	}
	if c.status != 0 || !c.signed(r, body) {
		w.WriteHeader(max(c.status, 401))
		fmt.Fprint(w, `{"code":"C","message":"no"}`)
		return
	}
	var in request
	_ = json.Unmarshal(body, &in)
	switch r.URL.Path {
	case "/v1/x509":
		var ask struct {
			PublicKey []byte `json:"publicKey"`
		}
		_ = json.Unmarshal(body, &ask)
		public, err := x509.ParsePKIXPublicKey(ask.PublicKey)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.users["ST$a.b.c"] = public.(*rsa.PublicKey)
		fmt.Fprint(w, `{"token":"a.b.c"}`)
	case "/20180608/encrypt":
		plain, _ := base64.StdEncoding.DecodeString(in.Plaintext)
		b, _ := c.key.Encrypt(r.Context(), plain)
		_ = json.NewEncoder(w).Encode(answer{Ciphertext: base64.StdEncoding.EncodeToString(b.Data), KeyVersionID: "v1"})
	case "/20180608/decrypt":
		data, _ := base64.StdEncoding.DecodeString(in.Ciphertext)
		plain, err := c.key.Decrypt(r.Context(), seal.Blob{KeyID: "1", Data: data})
		if err != nil || in.KeyID != "k" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(answer{Plaintext: base64.StdEncoding.EncodeToString(plain)})
	}
}

var authorization = regexp.MustCompile(`^Signature version="1",keyId="([^"]+)",algorithm="rsa-sha256",headers="([^"]+)",signature="([^"]+)"$`)

func (c *cloud) signed(r *http.Request, body []byte) bool {
	parts := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if parts == nil || c.users[parts[1]] == nil {
		return false
	}
	var lines []string
	for _, name := range strings.Fields(parts[2]) {
		value := r.Header.Get(name)
		switch name {
		case "(request-target)":
			value = "post " + r.URL.Path
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.Itoa(len(body))
		}
		lines = append(lines, name+": "+value)
	}
	hash := sha256.Sum256(body)
	signature, _ := base64.StdEncoding.DecodeString(parts[3])
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return r.Header.Get("x-content-sha256") == base64.StdEncoding.EncodeToString(hash[:]) && strings.Contains(parts[2], "x-content-sha256") &&
		rsa.VerifyPKCS1v15(c.users[parts[1]], crypto.SHA256, sum[:], signature) == nil
}

// profile writes the configuration file of a user that the cloud knows.
func (c *cloud) profile(t *testing.T) map[string]string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.users["ten/use/fin"] = &key.PublicKey
	c.mu.Unlock()
	dir := t.TempDir()
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	config := "[DEFAULT]\nuser=other\n[SEAL]\ntenancy = ten\nuser=use\nfingerprint=fin\nkey_file=" + filepath.Join(dir, "key.pem") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"key_id": "k", "crypto_endpoint": c.URL, "auth_type_api_key": "true", "config_file": filepath.Join(dir, "config"), "config_profile": "SEAL"}
}

func TestAVaultKeepsTheKeyForAnAPIKey(t *testing.T) {
	c := newCloud(t)
	sealtest.Exercise(t, sealtest.Open(t, Kind(), c.profile(t)))
}

func TestAVaultKeepsTheKeyForAnInstance(t *testing.T) {
	c := newCloud(t)
	w := sealtest.Open(t, Kind(), map[string]string{"key_id": "k", "crypto_endpoint": c.URL}).(*wrapper)
	now := time.Now()
	who := &instance{http: w.http, metadata: c.URL, auth: c.URL, now: func() time.Time { return now }}
	w.signer = who
	sealtest.Exercise(t, w)
	first := who.id
	now = now.Add(16 * time.Minute) // the token has 20
	if _, err := w.Encrypt(t.Context(), make([]byte, 32)); err != nil || who.id == first {
		t.Fatalf("the token was not replaced before its end: %v", err)
	}
}

func TestEachRefusalNamesItsCure(t *testing.T) {
	for status, want := range map[int]string{401: "do user, fingerprint and key_file belong together", 404: "no policy lets this user", 409: "enable it", 500: "status 500 C: no"} {
		c := newCloud(t)
		c.mu.Lock()
		c.status = status
		c.mu.Unlock()
		if _, err := sealtest.Open(t, Kind(), c.profile(t)).Encrypt(t.Context(), make([]byte, 32)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("status %d is told as %v", status, err)
		}
	}
	got := sealtest.Refused(t, Kind(), nil)
	for _, want := range []string{`"key_id" is missing`, `"crypto_endpoint" is missing`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	settings := newCloud(t).profile(t)
	settings["config_profile"] = "NOBODY"
	if got := sealtest.Refused(t, Kind(), settings); !strings.Contains(got, "tenancy is missing") {
		t.Error(got)
	}
}
