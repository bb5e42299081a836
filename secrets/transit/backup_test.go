package transit

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/engine"
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
