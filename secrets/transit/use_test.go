package transit

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

// A key that has encrypted as often as random nonces allow rotates by itself.
func TestWornKeyRotates(t *testing.T) {
	e := &Engine{counted: func(int) bool { return true }, every: 1, limit: 5, wrappingBits: 2048}
	m := enginetest.New(t, spec(e).Type(), nil)
	ask(t, m, 200, engine.OpWrite, "keys/k", "")
	var got []string
	for range 11 {
		c := write(t, m, "ciphertext", "encrypt/k", `{"plaintext":"YQ=="}`)
		got = append(got, strings.Split(c, ":")[1])
		if p := write(t, m, "plaintext", "decrypt/k", `{"ciphertext":%q}`, c); p != "YQ==" {
			t.Errorf("decrypted to %q", p)
		}
	}
	if s := strings.Join(got, " "); s != "v1 v1 v1 v1 v2 v2 v2 v2 v2 v3 v3" {
		t.Errorf("versions %s", s)
	}
	// An old one that is asked for by number cannot be replaced, and ends with
	// twice as many.
	for range 5 {
		ask(t, m, 200, engine.OpWrite, "encrypt/k", `{"plaintext":"YQ==","key_version":1}`)
	}
	c := ask(t, m, 400, engine.OpWrite, "encrypt/k", `{"plaintext":"YQ==","key_version":1}`)
	if c["errors"] == nil {
		t.Error("no reason is given")
	}
	// Derived keys and those with long nonces are not counted.
	for _, body := range []string{`{"derived":true}`, `{"type":"xchacha20-poly1305"}`} {
		name := map[bool]string{true: "d", false: "x"}[strings.Contains(body, "derived")]
		ask(t, m, 200, engine.OpWrite, "keys/"+name, "%s", body)
		for range 9 {
			ask(t, m, 200, engine.OpWrite, "encrypt/"+name, `{"plaintext":"YQ==","context":"YQ=="}`)
		}
		if n := ask(t, m, 200, engine.OpRead, "keys/"+name, "")["latest_version"]; n != 1.0 {
			t.Errorf("%s has %v versions", body, n)
		}
	}
}

// One encryption of many counts for all of them.
func TestUsesAreSampled(t *testing.T) {
	e := sampled(4)
	counted := 0
	for range 40_000 {
		if e.counted(1) {
			counted++
		}
	}
	if counted < 9_000 || counted > 11_000 { // 10,000 are meant; 1,000 are eleven deviations
		t.Errorf("counted %d of 40,000", counted)
	}
	if !e.counted(4) || e.counted(0) {
		t.Error("a batch of all is not counted, or one of none is")
	}
}

// call runs f with a call of its own, as requests that come at once do.
func call(m *enginetest.Mount, mode storage.Mode, f func(*engine.Call) error) error {
	_, err := m.Store.Do(context.Background(), mode, func(tx *storage.Tx) error {
		at, by := m.At, m.Caller
		return f(&engine.Call{Rows: tx.In(storage.MountRange(1)), Whole: tx, Ctx: tx.Context(), By: &by, At_: &at, Time: time.Unix(1, 0)})
	})
	return err
}

// While a key rotates and is trimmed, what is encrypted is decrypted, unless its
// version is gone by then: never anything else.
func TestRotateTrimAndUseAtOnce(t *testing.T) {
	m := mounted(t)
	ask(t, m, 200, engine.OpWrite, "keys/k", "")
	e := sampled(countEvery)
	const rounds = 60
	var wg sync.WaitGroup
	wg.Go(func() {
		for range rounds {
			err := call(m, storage.ReadWrite, func(c *engine.Call) error {
				_, err := e.rotateNow(c, rotateRequest{Name: "k"})
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range rounds {
			err := call(m, storage.ReadWrite, func(c *engine.Call) error {
				k, err := find(c, "k", noKey)
				if err != nil {
					return err
				}
				n := max(k.Latest-2, 1)
				if _, err := e.configure(c, configureRequest{Name: "k", MinEncrypt: &n}); err != nil {
					return err
				}
				_, err = e.trim(c, trimRequest{Name: "k", MinAvailable: &n})
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for range rounds {
				var o outcome
				one := func(f func(u *user)) {
					err := call(m, storage.ReadOnly, func(c *engine.Call) error {
						k, err := find(c, "k", noKey)
						if err == nil {
							f(&user{v: c, k: k})
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
				plaintext := "YQ=="
				one(func(u *user) { o = u.encrypt(&item{plaintext: &plaintext}) })
				if o.err != "" || o.other != nil {
					t.Errorf("encrypt: %s %v", o.err, o.other)
					continue
				}
				sealed := o.text
				one(func(u *user) { o = u.decrypt(&item{ciphertext: &sealed}) })
				if o.text != plaintext && !strings.Contains(o.err, "too old") {
					t.Errorf("decrypt: %q %s %v", o.text, o.err, o.other)
				}
			}
		})
	}
	wg.Wait()
}
