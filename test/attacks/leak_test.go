package attacks

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const canary = "kanarienvogel-7f3a91c2"

// shown fails the test if text shows the canary or one of its encodings.
func shown(t *testing.T, where, text string) {
	t.Helper()
	for _, as := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), hex.EncodeToString([]byte(canary))} {
		if strings.Contains(text, as) {
			t.Errorf("%s shows the secret: %.300s", where, text)
		}
	}
}

func (w *world) auditFile() string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "audit.log")
	w.want(w.do(w.root, http.MethodPut, "sys/audit/file", `{"type":"file","options":{"file_path":"`+file+`"}}`), 204)
	return file
}

// A payload that cannot be understood is not quoted: not in the answer, the
// log or the audit.
func TestCVE_2025_4166_MalformedPayloadQuoted(t *testing.T) {
	w := open(t)
	file := w.auditFile()
	for _, body := range []string{
		`{"data":{"x":"` + canary + `"}}}`, `{"data":{"x":"` + canary, `{"data":"` + canary + `"}`, `{"data":["` + canary + `"]}`,
		`{"options":"` + canary + `","data":{}}`, `{"options":{"cas":"` + canary + `"},"data":{"x":"1"}}`, `"` + canary + `"`, canary,
		`{"data":{"` + canary + `":}}`, `{"data":{"x":"` + canary + `\q"}}`, `["` + canary + `"]`,
	} {
		for _, method := range []string{http.MethodPost, http.MethodPatch} {
			r := httptest.NewRequest(method, "/v1/secret/data/a", strings.NewReader(body))
			r.Header.Set("X-Vault-Token", w.root)
			r.Header.Set("Content-Type", "application/merge-patch+json")
			rec := httptest.NewRecorder()
			w.h.ServeHTTP(rec, r)
			if rec.Code < 400 {
				t.Errorf("%s %s: status %d", method, body, rec.Code)
			}
			shown(t, "the answer to "+method+" "+body, rec.Body.String())
		}
	}
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"`+canary+`"}}`), 200)
	got := w.want(w.do(w.root, http.MethodGet, "secret/data/a", ""), 200)
	if !strings.Contains(string(got.Data), canary) {
		t.Errorf("the neighbour reads %s", got.Data)
	}
	shown(t, "the log", w.log.String())
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "secret/data/a") {
		t.Fatalf("the audit tells of no request: %s", text)
	}
	shown(t, "the audit", string(text))
}

// The token in a header is in no audit line as it is, even where the header
// was asked to be recorded; an ordinary header is.
func TestCVE_2024_8365_TokenHeaderInTheAudit(t *testing.T) {
	w := open(t)
	file := w.auditFile()
	w.want(w.do(w.root, http.MethodPut, "sys/config/auditing/request-headers/X-Seen", `{"hmac":false}`), 204)
	w.want(w.do(w.root, http.MethodPut, "sys/config/auditing/request-headers/X-Hidden", `{"hmac":true}`), 204)
	w.do(w.root, http.MethodPut, "sys/config/auditing/request-headers/X-Vault-Token", `{"hmac":true}`)
	token := w.token("reader", `path "secret/*" { capabilities = ["read"] }`)
	w.want(w.do(token, http.MethodGet, "secret/data/none", "", "X-Seen", "plainly", "X-Hidden", canary, "Authorization", "Bearer "+token), 404)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "plainly") {
		t.Errorf("the recorded header is missing")
	}
	if strings.Contains(string(text), token) {
		t.Errorf("the audit shows the token")
	}
	shown(t, "the audit", string(text))
}
