package attacks

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// A token renewed in its last moments still ends at its longest life.
func TestCVE_2021_32923_RenewalInTheLastSecondNeverEnded(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var passed atomic.Int64
	w := openAt(t, func() time.Time { return start.Add(time.Duration(passed.Load())) })
	for _, left := range []time.Duration{time.Second, 999 * time.Millisecond, 500 * time.Millisecond, 10 * time.Millisecond, time.Nanosecond} {
		for _, increment := range []string{`{}`, `{"increment":"0"}`, `{"increment":"1h"}`, `{"increment":"-1s"}`} {
			from := passed.Load()
			token := w.want(w.do(w.root, http.MethodPost, "auth/token/create", `{"policies":["default"],"ttl":"60s","explicit_max_ttl":"60s"}`), 200).Auth.ClientToken
			passed.Store(from + int64(time.Minute-left))
			w.want(w.do(token, http.MethodGet, "auth/token/lookup-self", ""), 200)
			w.do(token, http.MethodPost, "auth/token/renew-self", increment)
			passed.Store(from + int64(time.Minute+time.Second))
			if a := w.do(token, http.MethodGet, "auth/token/lookup-self", ""); a.Status != 403 {
				t.Errorf("renewed with %s left and %s it lives on: status %d", left, increment, a.Status)
			}
		}
	}
}
