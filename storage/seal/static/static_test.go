package static

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

const (
	first  = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	second = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHiA="
)

func TestAKeyInEveryForm(t *testing.T) {
	raw := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(raw, []byte(strings.Repeat("k", 31)+"\n"), 0o600); err != nil { // it ends like a line
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "key.hex")
	if err := os.WriteFile(text, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SEAL_KEY", second)
	for _, key := range []string{first, second, "file://" + raw, "file://" + text, "env://SEAL_KEY"} {
		sealtest.Exercise(t, sealtest.Open(t, Kind(), map[string]string{"current_key_id": "a", "current_key": key}))
	}
}

func TestAPreviousKeyStillOpens(t *testing.T) {
	ctx := context.Background()
	old := sealtest.Open(t, Kind(), map[string]string{"current_key_id": "a", "current_key": first})
	b, err := old.Encrypt(ctx, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	both := sealtest.Open(t, Kind(), map[string]string{"current_key_id": "b", "current_key": second, "previous_key_id": "a", "previous_key": first})
	if _, err := both.Decrypt(ctx, b); err != nil {
		t.Fatal(err)
	}
	if b, err := both.Encrypt(ctx, make([]byte, 32)); err != nil || b.KeyID != "b" {
		t.Fatalf("sealed by %q, %v", b.KeyID, err)
	}
	for want, settings := range map[string]map[string]string{
		`sealed by the key "a", which is not configured`: {"current_key_id": "b", "current_key": second},
		`the key "a" is not the one that sealed`:         {"current_key_id": "a", "current_key": second},
	} {
		if _, err := sealtest.Open(t, Kind(), settings).Decrypt(ctx, b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestWhatIsNoKeyIsToldWithoutShowingIt(t *testing.T) {
	for want, settings := range map[string]map[string]string{
		`"current_key_id" is missing`:                       {"current_key": first},
		`"current_key" must be a key of 32 bytes`:           {"current_key_id": "a", "current_key": "hunter2"},
		`"previous_key" and previous_key_id need each`:      {"current_key_id": "a", "current_key": first, "previous_key": "hunter2"},
		`"previous_key_id" is the current one`:              {"current_key_id": "a", "current_key": first, "previous_key": second, "previous_key_id": "a"},
		`"current_key" cannot be read from its file`:        {"current_key_id": "a", "current_key": "file:///nowhere/hunter"},
		`"current_key" names the variable NO_SUCH_VARIABLE`: {"current_key_id": "a", "current_key": "env://NO_SUCH_VARIABLE"},
	} {
		if got := sealtest.Refused(t, Kind(), settings); !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
