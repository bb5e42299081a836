package alicloudkms

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

// fake speaks KMS, and checks signatures by what the service's documentation
// says about them.
func fake(t *testing.T, code string) *httptest.Server {
	key := sealtest.New("key")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, code string) {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]string{"Code": code, "Message": "no"})
		}
		if r.URL.Path == "/latest/meta-data/ram/security-credentials/role" {
			fmt.Fprint(w, `{"Code":"Success","AccessKeyId":"id","AccessKeySecret":"secret","SecurityToken":"token","Expiration":"2030-01-01T00:00:00Z"}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		switch action := r.Header.Get("x-acs-action"); {
		case code != "":
			refuse(400, code)
		case !signed(r, body):
			refuse(403, "SignatureDoesNotMatch")
		case r.URL.RawQuery != "" || form.Get("EncryptionContext") != `{"fastness":"seal key"}`:
			refuse(400, "InvalidParameter")
		case action == "Encrypt":
			plain, _ := base64.StdEncoding.DecodeString(form.Get("Plaintext"))
			b, _ := key.Encrypt(r.Context(), plain)
			_ = json.NewEncoder(w).Encode(map[string]string{"CiphertextBlob": base64.StdEncoding.EncodeToString(b.Data), "KeyId": "k", "KeyVersionId": "v1"})
		case action == "Decrypt":
			data, _ := base64.StdEncoding.DecodeString(form.Get("CiphertextBlob"))
			plain, err := key.Decrypt(r.Context(), seal.Blob{KeyID: "1", Data: data})
			if err != nil {
				refuse(400, "InvalidCiphertext")
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]string{"Plaintext": base64.StdEncoding.EncodeToString(plain), "KeyId": "k"})
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func signed(r *http.Request, body []byte) bool {
	auth := r.Header.Get("Authorization")
	_, list, _ := strings.Cut(auth, "SignedHeaders=")
	list, signature, _ := strings.Cut(list, ",Signature=")
	text := "POST\n/\n\n"
	for _, name := range strings.Split(list, ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		text += name + ":" + value + "\n"
	}
	hash := sha256.Sum256(body)
	text += "\n" + list + "\n" + hex.EncodeToString(hash[:])
	sum := sha256.Sum256([]byte(text))
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(sum[:])))
	return strings.HasPrefix(auth, "ACS3-HMAC-SHA256 Credential=id,") && strings.Contains(list, "x-acs-content-sha256") && strings.Contains(list, "host") &&
		signature == hex.EncodeToString(mac.Sum(nil))
}

func settings(s *httptest.Server) map[string]string {
	return map[string]string{"domain": s.URL, "kms_key_id": "k", "access_key": "id", "secret_key": "secret"}
}

func TestKMSKeepsTheKey(t *testing.T) {
	sealtest.Exercise(t, sealtest.Open(t, Kind(), settings(fake(t, ""))))
}

func TestTheRoleOfAnInstanceIsEnough(t *testing.T) {
	s := fake(t, "")
	w := sealtest.Open(t, Kind(), map[string]string{"domain": s.URL, "kms_key_id": "k", "ecs_role": "role"}).(*wrapper)
	w.metadata, w.now = s.URL, func() time.Time { return time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC) }
	sealtest.Exercise(t, w)
	if w.creds.Token != "token" {
		t.Error("the role's token was not kept")
	}
}

func TestAnotherKeyOfTheAccountIsRefused(t *testing.T) {
	s := fake(t, "")
	b, err := sealtest.Open(t, Kind(), settings(s)).Encrypt(t.Context(), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	other := settings(s)
	other["kms_key_id"] = "other"
	if _, err := sealtest.Open(t, Kind(), other).Decrypt(t.Context(), b); err == nil || !strings.Contains(err.Error(), "is not the key that sealed this cluster") {
		t.Fatal(err)
	}
}

func TestEachRefusalNamesItsCure(t *testing.T) {
	for code, want := range map[string]string{"Forbidden.KeyNotFound": "are kms_key_id and region right", "Forbidden.NoPermission": "allow kms:Encrypt and kms:Decrypt",
		"Rejected.Disabled": "enable it", "InvalidAccessKeyId.NotFound": "access key is unknown", "Throttling": "status 400 Throttling: no"} {
		if _, err := sealtest.Open(t, Kind(), settings(fake(t, code))).Encrypt(t.Context(), make([]byte, 32)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is told as %v", code, err)
		}
	}
	got := sealtest.Refused(t, Kind(), map[string]string{"secret_key": "hunter2"})
	for _, want := range []string{`"kms_key_id" is missing`, `"region" is missing`, `"secret_key" and access_key need each other`} {
		if !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}
