//go:build !race

// The products are asked for one after the other: the race detector would find
// nothing in them, and make them ten times as slow.

package transit

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
)

// A choice is the JSON values that a parameter takes in turn; "" leaves it out.
type choice struct {
	name   string
	values []string
}

// product gives every body that chooses one value of each.
func product(choices []choice) iter.Seq[string] {
	return func(yield func(string) bool) {
		at := make([]int, len(choices))
		for {
			fields := []string{}
			for i, c := range choices {
				if v := c.values[at[i]]; v != "" {
					fields = append(fields, fmt.Sprintf("%q:%s", c.name, v))
				}
			}
			if !yield("{" + strings.Join(fields, ",") + "}") {
				return
			}
			i := 0
			for ; i < len(at); i++ {
				if at[i]++; at[i] < len(choices[i].values) {
					break
				}
				at[i] = 0
			}
			if i == len(at) {
				return
			}
		}
	}
}

var (
	flag      = []string{"true", "false"}
	versions3 = []string{"", "1", "-1", "9"}
	hashes    = []string{"", `"none"`, `"sha1"`, `"sha2-224"`, `"sha2-256"`, `"sha2-384"`, `"sha2-512"`, `"sha3-224"`, `"sha3-512"`, `"crc32"`}
	types     = func() (names []string) {
		for _, k := range kinds {
			if !slow(&k) && !strings.HasPrefix(k.name, "hybrid-ml-dsa") {
				names = append(names, k.name)
			}
		}
		return append(names, "hybrid-ml-dsa-44-ed25519")
	}()
)

// everyKey is a mount with a key of each type, derived ones too, and what each
// has made.
func everyKey(t *testing.T) (m *enginetest.Mount, names []string) {
	m = mounted(t)
	for _, name := range types {
		size := ""
		if name == "hmac" {
			size = `,"key_size":32`
		}
		ask(t, m, 200, engine.OpWrite, "keys/"+name, `{"type":%q,"exportable":true%s}`, name, size)
		names = append(names, name)
		if k := kindOf(name); k.derives {
			ask(t, m, 200, engine.OpWrite, "keys/d."+name, `{"type":%q,"derived":true,"convergent_encryption":%v}`, name, k.encrypts)
			names = append(names, "d."+name)
		}
	}
	return m, names
}

// tried sends a request and sees to it that it is answered, or refused clearly.
func tried(t *testing.T, m *enginetest.Mount, op engine.Op, target, body string) {
	t.Helper()
	switch r := m.Do(op, target, body); {
	case r.Status >= 500:
		t.Errorf("%s %s %s: %s", op, target, body, r)
	case r.Status >= 400 && len(r.Body) < 12:
		t.Errorf("%s %s %s: %s without a reason", op, target, body, r)
	}
}

// Every combination of what a parameter can be is answered or refused: never a
// panic, never 500 (CVE-2026-55776).
func TestProductOfSettings(t *testing.T) {
	m := mounted(t)
	for i, typ := range append(slices.Clone(types), "rot13", "") {
		if kindOf(typ) != nil && strings.HasPrefix(typ, "rsa") {
			typ = "rsa-2048"
		}
		n := 0
		for body := range product([]choice{{"derived", flag}, {"convergent_encryption", flag}, {"exportable", flag}, {"allow_plaintext_backup", []string{"", "true"}},
			{"key_size", []string{"", "0", "32", "-1", "9999"}}}) {
			if typ == "rsa-2048" && n > 0 && strings.Contains(body, `"exportable":false`) {
				continue // each key takes long to make
			}
			n++
			name := fmt.Sprintf("k%d-%d", i, n)
			body = strings.Replace(body, "{", fmt.Sprintf(`{"type":%q,`, typ), 1)
			if typ == "rsa-2048" && n > 4 && !strings.Contains(body, `"derived":true`) {
				continue
			}
			tried(t, m, engine.OpWrite, "keys/"+name, body)
			tried(t, m, engine.OpWrite, "encrypt/"+name, `{"plaintext":"YQ==","context":"YQ=="}`)
			tried(t, m, engine.OpWrite, "sign/"+name, `{"input":"YQ==","context":"YQ=="}`)
		}
	}
}

func TestProductOfUses(t *testing.T) {
	m, names := everyKey(t)
	context := []string{"", `"Y29udGV4dA=="`, `"%"`}
	for _, name := range names {
		for body := range product([]choice{{"plaintext", []string{"", `""`, `"YQ=="`, `"*"`, "7", "null"}}, {"context", context},
			{"associated_data", []string{"", `"YQ=="`, `"*"`}}, {"key_version", versions3}, {"padding_scheme", []string{"", `"pkcs1v15"`, `"x"`}}}) {
			tried(t, m, engine.OpWrite, "encrypt/"+name, body)
		}
		for body := range product([]choice{{"bits", []string{"", "128", "512", "7", `"x"`}}, {"context", context}, {"key_version", versions3}}) {
			for _, what := range []string{"plaintext", "wrapped", "x"} {
				tried(t, m, engine.OpWrite, "datakey/"+what+"/"+name, body)
			}
		}
		for body := range product([]choice{{"ciphertext", []string{"", `""`, `"vault:v1:"`, `"vault:v1:YQ=="`, `"vault:v-1:YQ=="`, `"vault:v1"`, `"vault:v99999999999999999999:YQ=="`,
			fmt.Sprintf("%q", "vault:v1:"+b64(strings.Repeat("x", 2000)))}}, {"context", context}, {"padding_scheme", []string{"", `"pkcs1v15"`}}}) {
			tried(t, m, engine.OpWrite, "decrypt/"+name, body)
			tried(t, m, engine.OpWrite, "rewrap/"+name, body)
		}
		for body := range product([]choice{{"input", []string{"", `"YQ=="`, `"*"`}}, {"algorithm", hashes}, {"key_version", versions3}}) {
			tried(t, m, engine.OpWrite, "hmac/"+name, body)
		}
		for body := range product([]choice{{"input", []string{"", `"YQ=="`}}, {"mac_length", []string{"", "0", "8", "17", "-1"}}, {"key_version", versions3}}) {
			tried(t, m, engine.OpWrite, "cmac/"+name, body)
		}
		for _, what := range []string{"encryption-key", "signing-key", "hmac-key", "cmac-key", "public-key", "certificate-chain", "x"} {
			for _, version := range []string{"", "/1", "/latest", "/0", "/-1", "/9", "/x"} {
				tried(t, m, engine.OpRead, "export/"+what+"/"+name+version, "")
			}
		}
		tried(t, m, engine.OpWrite, "keys/"+name+"/csr", `{}`)
		tried(t, m, engine.OpWrite, "keys/"+name+"/set-certificate", `{"certificate_chain":"x"}`)
		for body := range product([]choice{{"min_decryption_version", versions3}, {"min_encryption_version", versions3}, {"min_available_version", versions3}}) {
			tried(t, m, engine.OpWrite, "keys/"+name+"/trim", body)
			tried(t, m, engine.OpWrite, "keys/"+name+"/config", body)
		}
	}
}

func TestProductOfSignatures(t *testing.T) {
	m, names := everyKey(t)
	digests := []string{`"YQ=="`, fmt.Sprintf("%q", b64(strings.Repeat("x", 32))), fmt.Sprintf("%q", b64(strings.Repeat("x", 64)))}
	for _, name := range names {
		salts, schemes := []string{""}, []string{""}
		if strings.HasPrefix(name, "rsa") {
			salts, schemes = []string{"", `"hash"`, `"200"`, `"0"`, `"9999"`, `"-2"`}, []string{`"pss"`, `"pkcs1v15"`, `"raw"`}
		}
		for body := range product([]choice{{"input", digests}, {"hash_algorithm", hashes}, {"prehashed", flag}, {"signature_algorithm", schemes},
			{"marshaling_algorithm", []string{"", `"jws"`}}, {"salt_length", salts}, {"context", []string{"", `"YQ=="`}}, {"signature_context", []string{"", `"YQ=="`}}}) {
			r := m.Do(engine.OpWrite, "sign/"+name, body)
			if r.Status != 200 && r.Status != 400 {
				t.Fatalf("sign/%s %s: %s", name, body, r)
			}
			sig := "vault:v1:" + b64(strings.Repeat("x", 64))
			var signed struct {
				Signature string `json:"signature"`
			}
			if err := json.Unmarshal(r.Body, &signed); err != nil {
				t.Fatal(err)
			}
			if r.Status == 200 {
				sig = signed.Signature
			}
			v := m.Do(engine.OpWrite, "verify/"+name, strings.Replace(body, "{", fmt.Sprintf(`{"signature":%q,`, sig), 1))
			if v.Status >= 500 || r.Status == 200 && string(v.Body) != `{"valid":true}` {
				t.Fatalf("verify/%s %s of %s: %s", name, body, sig, v)
			}
			if strings.HasPrefix(name, "rsa") && !strings.Contains(body, `"signature_context"`) && r.Status == 200 {
				m.Do(engine.OpWrite, "verify/"+name, strings.Replace(body, "{", fmt.Sprintf(`{"signature":%q,`, changedText(sig)), 1))
			}
		}
	}
}

// changedText is a text with its last character but two another.
func changedText(s string) string {
	b := []byte(s)
	b[len(b)-3] ^= 1
	return string(b)
}

// Bodies of which every parameter has the wrong type are refused by name.
func TestWrongTypes(t *testing.T) {
	m, _ := everyKey(t)
	for _, r := range Types()[0].Info().Routes {
		if !slices.Contains(r.Ops(), engine.OpWrite) {
			continue
		}
		target := strings.NewReplacer("{name}", "aes256-gcm96", "{plaintext}", "plaintext", "[/{urlalgorithm}]", "", "[/{urlbytes}]", "",
			"[/{urlmaclength}]", "", "{urlsource}", "platform", "{urlbytes}", "8", "[/{name}]", "/new").Replace(r.Pattern)
		for _, f := range r.Fields() {
			if f.Path {
				continue
			}
			for _, value := range []string{`{"a":1}`, `[[1]]`, `"\u0000"`, `-1`, `1e400`, `true`, `null`, `9223372036854775808`} {
				tried(t, m, engine.OpWrite, target, fmt.Sprintf(`{%q:%s}`, f.Name, value))
			}
		}
	}
}
