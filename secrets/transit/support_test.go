package transit

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
)

// mounted is a mount whose keys for imports are short, so that they are made
// quickly.
func mounted(t testing.TB) *enginetest.Mount {
	t.Helper()
	e := sampled(countEvery)
	e.wrappingBits = 2048
	return enginetest.New(t, spec(e).Type(), nil)
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// ask sends a request that must be answered with a status, and reads its data.
func ask(t testing.TB, m *enginetest.Mount, want int, op engine.Op, target, format string, args ...any) map[string]any {
	t.Helper()
	r := m.Do(op, target, fmt.Sprintf(format, args...))
	if r.Status != want {
		t.Fatalf("%s %s: %s, want %d", op, target, r, want)
	}
	fields := map[string]any{}
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &fields); err != nil {
			t.Fatal(err)
		}
	}
	return fields
}

// write is ask for a write that must succeed and answer one text.
func write(t testing.TB, m *enginetest.Mount, field, target, format string, args ...any) string {
	t.Helper()
	s, ok := ask(t, m, 200, engine.OpWrite, target, format, args...)[field].(string)
	if !ok {
		t.Fatalf("%s answers no %s", target, field)
	}
	return s
}

// slow are types whose keys take long to make.
func slow(k *kind) bool { return k.name == "rsa-3072" || k.name == "rsa-4096" }
