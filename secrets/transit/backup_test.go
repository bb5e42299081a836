package transit

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
)

// A backup that was tampered with makes no key that a later request would fail
// on: rotation draws as many bytes as the size says.
func TestRestoreRefusesSizesNoKeyHas(t *testing.T) {
	m := mounted(t)
	ask(t, m, 200, engine.OpWrite, "keys/k", `{"type":"hmac","key_size":32,"exportable":true,"allow_plaintext_backup":true}`)
	saved, _ := ask(t, m, 200, engine.OpRead, "backup/k", "")["backup"].(string)
	plain, err := base64.StdEncoding.DecodeString(saved)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []string{"1152921504606846976", "513", "31", "0", "-1"} {
		changed := strings.Replace(string(plain), `"size":32`, `"size":`+size, 1)
		ask(t, m, 400, engine.OpWrite, "restore/other", `{"backup":%q}`, b64(changed))
	}
	ask(t, m, 204, engine.OpWrite, "restore/other", `{"backup":%q}`, saved)
	ask(t, m, 200, engine.OpWrite, "keys/other/rotate", "")
}

// Nor one whose halves are of two keys: a private key of a longer curve would
// make signatures that the public one has no room for.
func TestRestoreRefusesHalvesOfTwoKeys(t *testing.T) {
	m := mounted(t)
	saved := func(name, kind string) (b backup) {
		ask(t, m, 200, engine.OpWrite, "keys/"+name, `{"type":%q,"exportable":true,"allow_plaintext_backup":true}`, kind)
		text, _ := ask(t, m, 200, engine.OpRead, "backup/"+name, "")["backup"].(string)
		plain, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(plain, &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	short, long := saved("short", "ecdsa-p256"), saved("long", "ecdsa-p521")
	short.Versions[1].Secret = long.Versions[1].Secret
	mixed, err := json.Marshal(short)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, m, 400, engine.OpWrite, "restore/mixed", `{"backup":%q}`, b64(string(mixed)))
}

// An import before anybody read the wrapping key fails without making one.
func TestImportMakesNoWrappingKey(t *testing.T) {
	e := sampled(countEvery)
	e.wrappingBits = 1000 // too short for crypto/rsa to make
	m := enginetest.New(t, spec(e).Type(), nil)
	ask(t, m, 400, engine.OpWrite, "keys/k/import", `{"ciphertext":%q}`, b64(strings.Repeat("x", 600)))
}
