package attacks

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// atOnce sends the same request many times at once and counts those that were
// let in.
func (w *world) atOnce(token, method, path, body string) int {
	const tries = 24
	var in atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for range tries {
		all.Go(func() {
			<-start
			if w.serve(token, method, path, body, nil).Code < 300 {
				in.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	return int(in.Load())
}

// A token of some uses has so many, however many requests use it at once.
func TestUsesUnderRaces(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`), 200)
	w.token("reader", `path "secret/*" { capabilities = ["create","update","read"] }`)
	for _, q := range []struct{ method, body string }{{http.MethodGet, ""}, {http.MethodPost, `{"data":{"x":"1"}}`}} {
		token := w.want(w.do(w.root, http.MethodPost, "auth/token/create", `{"policies":["reader"],"num_uses":5}`), 200).Auth.ClientToken
		if n := w.atOnce(token, q.method, "secret/data/a", q.body); n != 5 {
			t.Errorf("%s: a token of 5 uses was used %d times", q.method, n)
		}
		w.want(w.do(token, http.MethodGet, "secret/data/a", ""), 403)
	}
}

// What is wrapped is unwrapped once, whichever of the ways is taken and however
// many take it at once.
func TestUnwrappingUnderRaces(t *testing.T) {
	w := open(t)
	for name, take := range map[string]func(token string) int{
		"as the caller": func(token string) int { return w.atOnce(token, http.MethodPost, "sys/wrapping/unwrap", "") },
		"in the body": func(token string) int {
			return w.atOnce(w.root, http.MethodPost, "sys/wrapping/unwrap", `{"token":"`+token+`"}`)
		},
		"by rewrapping": func(token string) int {
			return w.atOnce(w.root, http.MethodPost, "sys/wrapping/rewrap", `{"token":"`+token+`"}`)
		},
	} {
		token := w.want(w.do(w.root, http.MethodPost, "sys/wrapping/wrap", `{"x":"`+canary+`"}`, "X-Vault-Wrap-TTL", "1h"), 200).WrapInfo.Token
		if n := take(token); n != 1 {
			t.Errorf("%s: %d times", name, n)
		}
		if again := w.raw(w.root, http.MethodPost, "sys/wrapping/unwrap", `{"token":"`+token+`"}`); strings.Contains(string(again), canary) {
			t.Errorf("%s: and once more: %s", name, again)
		}
	}
}
