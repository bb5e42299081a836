package transit

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
)

// Every type does what it says that it does, and what it made is refused when a
// bit of it is another, when it is cut, and by another key.
func TestEveryType(t *testing.T) {
	for i := range kinds {
		k := &kinds[i]
		if slow(k) {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			m := mounted(t)
			size := ""
			if k.name == "hmac" {
				size = `,"key_size":64`
			}
			for _, name := range []string{"k", "other"} {
				d := ask(t, m, 200, engine.OpWrite, "keys/"+name, `{"type":%q,"exportable":true,"allow_plaintext_backup":true%s}`, k.name, size)
				if d["supports_encryption"] != k.encrypts || d["supports_signing"] != k.signs || d["supports_derivation"] != k.derives {
					t.Errorf("it is described as %v", d)
				}
			}
			if k.encrypts {
				encrypts(t, m)
			} else {
				ask(t, m, 400, engine.OpWrite, "encrypt/k", `{"plaintext":"YQ=="}`)
				ask(t, m, 400, engine.OpWrite, "decrypt/k", `{"ciphertext":"vault:v1:YQ=="}`)
			}
			if k.signs {
				proves(t, m, "sign/k", "signature")
			} else {
				ask(t, m, 400, engine.OpWrite, "sign/k", `{"input":"YQ=="}`)
				ask(t, m, 400, engine.OpWrite, "verify/k", `{"input":"YQ==","signature":"vault:v1:YQ=="}`)
			}
			if k.macs {
				proves(t, m, "cmac/k", "cmac")
			} else {
				ask(t, m, 400, engine.OpWrite, "cmac/k", `{"input":"YQ=="}`)
			}
			proves(t, m, "hmac/k", "hmac")
			restores(t, m, k)
		})
	}
}

// changed is a text with one bit of what it encodes changed.
func changed(t *testing.T, s string, at int) string {
	t.Helper()
	i := strings.LastIndexByte(s, ':') + 1
	b, err := base64.StdEncoding.DecodeString(s[i:])
	if err != nil {
		t.Fatal(err)
	}
	b[(at+len(b))%len(b)] ^= 1
	return s[:i] + base64.StdEncoding.EncodeToString(b)
}

func encrypts(t *testing.T, m *enginetest.Mount) {
	c := write(t, m, "ciphertext", "encrypt/k", `{"plaintext":%q}`, b64("a secret"))
	if p := write(t, m, "plaintext", "decrypt/k", `{"ciphertext":%q}`, c); p != b64("a secret") {
		t.Errorf("decrypted to %q", p)
	}
	for _, at := range []int{0, 12, -1} {
		ask(t, m, 400, engine.OpWrite, "decrypt/k", `{"ciphertext":%q}`, changed(t, c, at))
	}
	ask(t, m, 400, engine.OpWrite, "decrypt/other", `{"ciphertext":%q}`, c)
	for cut := len(c) - 1; cut > 0; cut -= 7 {
		ask(t, m, 400, engine.OpWrite, "decrypt/k", `{"ciphertext":%q}`, c[:cut])
	}
	key := ask(t, m, 200, engine.OpWrite, "datakey/plaintext/k", `{"bits":128}`)
	if p := write(t, m, "plaintext", "decrypt/k", `{"ciphertext":%q}`, key["ciphertext"]); p != key["plaintext"] {
		t.Errorf("the data key decrypts to %q", p)
	}
}

// proves checks what signs or authenticates.
func proves(t *testing.T, m *enginetest.Mount, target, field string) {
	made := write(t, m, field, target, `{"input":%q}`, b64("a message"))
	valid := func(key, input, proof string) bool {
		t.Helper()
		r := m.Do(engine.OpWrite, "verify/"+key, `{"input":"`+b64(input)+`","`+field+`":"`+proof+`"}`)
		if r.Status != 200 && r.Status != 400 {
			t.Fatalf("verify: %s", r)
		}
		return string(r.Body) == `{"valid":true}`
	}
	if !valid("k", "a message", made) {
		t.Errorf("%s is not valid", field)
	}
	for _, at := range []int{0, 7, -1} {
		if valid("k", "a message", changed(t, made, at)) {
			t.Errorf("%s is valid with byte %d changed", field, at)
		}
	}
	if valid("k", "another", made) || valid("other", "a message", made) || valid("k", "a message", made[:len(made)-4]) {
		t.Errorf("%s is valid for another message or key, or when cut", field)
	}
}

// restores checks that a key which was backed up undoes what it did.
func restores(t *testing.T, m *enginetest.Mount, k *kind) {
	mac := write(t, m, "hmac", "hmac/k", `{"input":"YQ=="}`)
	saved, ok := ask(t, m, 200, engine.OpRead, "backup/k", "")["backup"].(string)
	if !ok {
		t.Fatal("no backup")
	}
	ask(t, m, 204, engine.OpWrite, "restore/back", `{"backup":%q}`, saved)
	if v := ask(t, m, 200, engine.OpWrite, "verify/back", `{"input":"YQ==","hmac":%q}`, mac); v["valid"] != true {
		t.Error("a restored key does not verify")
	}
	ask(t, m, 200, engine.OpWrite, "keys/back/rotate", "")
	if k.encrypts {
		c := write(t, m, "ciphertext", "encrypt/k", `{"plaintext":"YQ=="}`)
		if p := write(t, m, "plaintext", "decrypt/back", `{"ciphertext":%q}`, c); p != "YQ==" {
			t.Errorf("a restored key decrypts to %q", p)
		}
	}
}
