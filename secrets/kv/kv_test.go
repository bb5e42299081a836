package kv_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/secrets/kv"
	"github.com/fastness-dev/fastness/storage"
)

func typeOf(options map[string]string) engine.Type {
	types := kv.Types()
	if options["version"] == "2" {
		return types[1]
	}
	return types[0]
}

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) { enginetest.Run(t, file, typeOf) })
}

func TestOptions(t *testing.T) {
	for _, typ := range kv.Types() {
		for version, good := range map[string]bool{"": true, "1": true, "2": true, "3": false, "x": false, "0": false} {
			if err := typ.CheckOptions(map[string]string{"version": version}); (err == nil) != good {
				t.Errorf("%s: version %q: %v", typ.Info().Name, version, err)
			}
		}
	}
}

// Custom metadata has as many keys, and as long ones, as Vault's, no more.
func TestCustomMetadataLimits(t *testing.T) {
	m := enginetest.New(t, typeOf(map[string]string{"version": "2"}), nil)
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":"v"`, i)
		}
		return b.String()[1:]
	}
	for _, c := range []struct {
		name, custom string
		status       int
	}{
		{"64 keys", keys(64), 204},
		{"65 keys", keys(65), 400},
		{"key of 128", `"` + strings.Repeat("k", 128) + `":"v"`, 204},
		{"key of 129", `"` + strings.Repeat("k", 129) + `":"v"`, 400},
		{"value of 512", `"k":"` + strings.Repeat("v", 512) + `"`, 204},
		{"value of 513", `"k":"` + strings.Repeat("v", 513) + `"`, 400},
	} {
		if r := m.Do(engine.OpWrite, "metadata/s", `{"custom_metadata":{`+c.custom+`}}`); r.Status != c.status {
			t.Errorf("%s: %s", c.name, r)
		}
	}
}

// Without a setting, ten versions are kept; what is dropped leaves no payload.
func TestTenVersions(t *testing.T) {
	m := enginetest.New(t, typeOf(map[string]string{"version": "2"}), nil)
	for i := range 12 {
		m.Do(engine.OpWrite, "data/s", fmt.Sprintf(`{"data":{"n":%d}}`, i+1))
	}
	for n := 1; n <= 12; n++ {
		want := 200
		if n <= 2 {
			want = 404
		}
		if r := m.Do(engine.OpRead, fmt.Sprintf("data/s?version=%d", n), ""); r.Status != want {
			t.Errorf("version %d: %s", n, r)
		}
	}
	m.Do(engine.OpDelete, "metadata/s", "")
	err := m.Store.View(context.Background(), func(tx *storage.Tx) error {
		for name, err := range tx.In(storage.MountRange(1)).Children("", "") {
			if err != nil {
				return err
			}
			t.Errorf("%s is left", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
