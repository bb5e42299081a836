package attacks

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A request over its quota is refused with its body unread, whatever the body
// is and whoever sends it, at the same cost for a small one and a large one.
func TestCVE_2025_12044_JSONParsedBeforeTheQuota(t *testing.T) {
	now := time.Now()
	w := openAt(t, func() time.Time { return now })
	w.want(w.do(w.root, http.MethodPost, "sys/quotas/rate-limit/all", `{"rate":1,"path":"secret/"}`), 204)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`), 200)
	refuse := func(token, text string) float64 {
		body := &counted{r: strings.NewReader(text)}
		r := httptest.NewRequest(http.MethodPost, "/v1/secret/data/a", body)
		r.Header.Set("X-Vault-Token", token)
		rec := httptest.NewRecorder()
		n := testing.AllocsPerRun(20, func() { w.h.ServeHTTP(rec, r) })
		if rec.Code != http.StatusTooManyRequests || body.n != 0 {
			t.Errorf("status %d after %d bytes", rec.Code, body.n)
		}
		return n
	}
	small := refuse(w.root, `{"data":{}}`)
	for _, token := range []string{"", "hvs.wrong", w.root} {
		for name, text := range map[string]string{
			"large":  `{"data":{"x":"` + strings.Repeat("y", 8<<20) + `"}}`,
			"deep":   strings.Repeat(`{"data":`, 1<<20),
			"broken": `{"data":`,
		} {
			// Pools lose what they hold at random under the race detector. A body
			// that was read would cost thousands.
			if n := refuse(token, text); n > 2*small {
				t.Errorf("%s: %.0f allocations, and %.0f with a small body", name, n, small)
			}
		}
	}
	now = now.Add(time.Second)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`), 200)
}
