package transit

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// bodies are requests whose cost is watched, with the key each works on.
func bodies(t testing.TB) []measured {
	kib := fmt.Sprintf(`{"plaintext":%q}`, base64.StdEncoding.EncodeToString(make([]byte, 1024)))
	batch := `{"batch_input":[` + strings.Repeat(`,{"plaintext":"YQ=="}`, 100)[1:] + `]}`
	m := mounted(t)
	ask(t, m, 200, engine.OpWrite, "keys/k", "")
	ask(t, m, 200, engine.OpWrite, "keys/d", `{"derived":true}`)
	ask(t, m, 200, engine.OpWrite, "keys/e", `{"type":"ed25519"}`)
	sealed := fmt.Sprintf(`{"ciphertext":%q}`, write(t, m, "ciphertext", "encrypt/k", "%s", kib))
	uncounted := &Engine{counted: func(int) bool { return false }, limit: rotateAfter}
	inst, err := spec(uncounted).Type().Open(m.At)
	if err != nil {
		t.Fatal(err)
	}
	list := []measured{
		{name: "encrypt 1 KiB", path: "encrypt/k", body: kib, allocations: 20},
		{name: "decrypt 1 KiB", path: "decrypt/k", body: sealed, allocations: 20},
		{name: "encrypt derived", path: "encrypt/d", body: `{"plaintext":"YQ==","context":"YQ=="}`, allocations: 46},
		{name: "encrypt 100 items", path: "encrypt/k", body: batch, allocations: 820},
		{name: "sign ed25519", path: "sign/e", body: `{"input":"YQ=="}`, allocations: 24},
		{name: "hmac", path: "hmac/k", body: `{"input":"YQ=="}`, allocations: 24},
	}
	for i := range list {
		match, err := inst.Find(engine.OpWrite, list[i].path)
		if err != nil {
			t.Fatal(err)
		}
		list[i].in = func(f func(run func())) {
			err := call(m, storage.ReadOnly, func(c *engine.Call) error {
				c.Body = json.RawMessage(list[i].body)
				f(func() {
					if _, err := match.Run(c); err != nil {
						t.Fatal(err)
					}
				})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return list
}

// measured is a request and how often it may allocate.
type measured struct {
	name, path, body string
	allocations      float64
	in               func(func(run func())) // hands over what runs it
}

func BenchmarkRequests(b *testing.B) {
	for _, m := range bodies(b) {
		b.Run(m.name, func(b *testing.B) {
			b.ReportAllocs()
			m.in(func(run func()) {
				for b.Loop() {
					run()
				}
			})
		})
	}
}
