package attacks

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/wire"
)

// A body is bounded in depth, width and length before it is built, and is the
// body of no stranger.
func TestCVE_2025_6203_SmallBodyHugeMemory(t *testing.T) {
	w := open(t)
	bodies := map[string]string{
		"deep arrays":   `{"data":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"deep objects":  `{"data":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + `}`,
		"wide array":    `{"data":{"x":[` + strings.Repeat("1,", 200_000) + `1]}}`,
		"unclosed":      strings.Repeat("[", 1_000_000),
		"long string":   `{"data":{"x":"` + strings.Repeat("y", 2<<20) + `"}}`,
		"long key":      `{"data":{"` + strings.Repeat("k", 2<<20) + `":1}}`,
		"long escapes":  `{"data":{"x":"` + strings.Repeat(`\u0041`, 2<<20) + `"}}`,
		"repeated keys": `{"data":{` + strings.Repeat(`"a":1,`, 200_000) + `"a":1}}`,
	}
	for name, body := range bodies {
		if a := w.do(w.root, http.MethodPost, "secret/data/big", body); a.Status != 400 && a.Status != 413 {
			t.Errorf("%s: status %d %q", name, a.Status, a.Errors)
		}
		w.want(w.do(w.root, http.MethodGet, "secret/data/big", ""), 404)
	}
	w.want(w.do(w.root, http.MethodPost, "secret/data/big", `{"data":{"x":[[[[{"a":"1"}]]]]}}`), 200)
}

// counted counts what was read of a body.
type counted struct {
	r *strings.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// Who may not write costs no reading: the body of a stranger stays unread.
func TestCVE_2025_12044_JSONParsedBeforeTheRefusal(t *testing.T) {
	w := open(t)
	for _, token := range []string{"", "hvs.wrong", strings.Repeat("x", 100_000)} {
		body := &counted{r: strings.NewReader(`{"data":{"x":"` + strings.Repeat("y", 1<<20) + `"}}`)}
		r := httptest.NewRequest(http.MethodPost, "/v1/secret/data/a", body)
		r.Header.Set("X-Vault-Token", token)
		rec := httptest.NewRecorder()
		w.h.ServeHTTP(rec, r)
		if rec.Code < 400 || body.n != 0 {
			t.Errorf("status %d after %d bytes", rec.Code, body.n)
		}
	}
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`), 200)
}

// A body longer than the limit is cut off near it, whatever its length.
func TestCVE_2023_6337_LargeBodiesHeld(t *testing.T) {
	w := open(t)
	w.h = w.s.Handler(wire.Limits{MaxBody: 4096})
	body := &counted{r: strings.NewReader(`{"data":{"x":"` + strings.Repeat("y", 1<<20) + `"}}`)}
	r := httptest.NewRequest(http.MethodPost, "/v1/secret/data/a", body)
	r.Header.Set("X-Vault-Token", w.root)
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	if rec.Code != 413 || body.n > 64<<10 {
		t.Errorf("status %d after %d bytes", rec.Code, body.n)
	}
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`), 200)
}
