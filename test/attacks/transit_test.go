package attacks

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// transit is a world with keys to attack.
func transit(t *testing.T) *world {
	t.Helper()
	w := open(t)
	w.must(204, "POST", "sys/mounts/transit", `{"type":"transit"}`)
	return w
}

// must is a request of root's that has to be answered with a status.
func (w *world) must(status int, method, path, body string) answer {
	w.t.Helper()
	a := w.do(w.root, method, path, body)
	if a.Status != status {
		w.t.Fatalf("%s %s %s: %d %v, want %d", method, path, body, a.Status, a.Errors, status)
	}
	return a
}

// CVE-2023-4680, HCSEC-2023-28: a nonce of the caller's made AES-GCM encrypt two
// plaintexts with one. It is refused wherever it may be sent.
func TestCVE_2023_4680_NoncesAreNotTheCallers(t *testing.T) {
	w := transit(t)
	nonce := base64.StdEncoding.EncodeToString([]byte("000000000000"))
	for _, key := range []string{`{}`, `{"derived":true}`, `{"derived":true,"convergent_encryption":true}`, `{"type":"chacha20-poly1305"}`,
		`{"type":"aes128-gcm96","derived":true,"convergent_encryption":true}`, `{"type":"rsa-2048"}`} {
		name := fmt.Sprintf("k%x", key)
		w.must(200, "POST", "transit/keys/"+name, key)
		body := `"context":"Y29udGV4dA==","plaintext":"YQ=="`
		w.must(200, "POST", "transit/encrypt/"+name, `{`+body+`}`)
		w.must(400, "POST", "transit/encrypt/"+name, `{`+body+`,"nonce":"`+nonce+`"}`)
		w.must(400, "POST", "transit/encrypt/"+name, `{"batch_input":[{`+body+`,"nonce":"`+nonce+`"}]}`)
		w.must(400, "POST", "transit/datakey/plaintext/"+name, `{"context":"Y29udGV4dA==","nonce":"`+nonce+`"}`)
	}
	// What is not convergent has another nonce each time.
	w.must(200, "POST", "transit/keys/k", `{}`)
	items := strings.Repeat(`,{"plaintext":"YQ=="}`, 1000)[1:]
	seen := map[string]bool{}
	for range 10 {
		a := w.must(200, "POST", "transit/encrypt/k", `{"batch_input":[`+items+`]}`)
		var d struct {
			Results []struct{ Ciphertext string } `json:"batch_results"`
		}
		if err := json.Unmarshal(a.Data, &d); err != nil {
			t.Fatal(err)
		}
		for _, r := range d.Results {
			b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Ciphertext, "vault:v1:"))
			if err != nil || len(b) < 12 || seen[string(b[:12])] {
				t.Fatalf("%s: %v, or a nonce of before", r.Ciphertext, err)
			}
			seen[string(b[:12])] = true
		}
	}
}

// CVE-2026-55776: a derived RSA key killed the server. No combination does.
func TestCVE_2026_55776_NoSettingsKillTheServer(t *testing.T) {
	w := transit(t)
	n := 0
	for _, typ := range []string{"aes256-gcm96", "xchacha20-poly1305", "ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096", "hmac", "aes256-cmac", "ml-dsa-44", "ml-kem-768"} {
		for _, derived := range []bool{true, false} {
			for _, convergent := range []bool{true, false} {
				if !derived && !convergent && strings.HasPrefix(typ, "rsa-") {
					continue // it is made, and that takes long; the neighbour below
				}
				n++
				key := fmt.Sprintf("k%d", n)
				a := w.do(w.root, "POST", "transit/keys/"+key, fmt.Sprintf(`{"type":%q,"derived":%v,"convergent_encryption":%v}`, typ, derived, convergent))
				if a.Status != 200 && a.Status != 400 {
					t.Errorf("%s derived=%v convergent=%v: %d %v", typ, derived, convergent, a.Status, a.Errors)
				}
				if made := w.do(w.root, "GET", "transit/keys/"+key, "").Status; (made == 200) != (a.Status == 200) {
					t.Errorf("%s derived=%v convergent=%v: %d, and reading it %d", typ, derived, convergent, a.Status, made)
				}
			}
		}
	}
	w.must(400, "POST", "transit/encrypt/new", `{"plaintext":"YQ==","context":"YQ==","type":"rsa-2048"}`)
	w.must(200, "POST", "transit/keys/rsa", `{"type":"rsa-2048"}`)
	w.must(200, "POST", "transit/encrypt/rsa", `{"plaintext":"YQ=="}`)
}

// A sealed server uses no key, whatever of it was in memory; unsealed, it has
// them all.
func TestSealedServerUsesNoKey(t *testing.T) {
	w := transit(t)
	a := w.must(200, "POST", "transit/encrypt/k", `{"plaintext":"YQ=="}`)
	var sealed struct{ Ciphertext string }
	if err := json.Unmarshal(a.Data, &sealed); err != nil {
		t.Fatal(err)
	}
	w.s.System().Seal()
	w.must(503, "POST", "transit/decrypt/k", `{"ciphertext":"`+sealed.Ciphertext+`"}`)
	w.reseal()
	w.must(200, "POST", "transit/decrypt/k", `{"ciphertext":"`+sealed.Ciphertext+`"}`)
}
