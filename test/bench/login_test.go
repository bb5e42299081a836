package main

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkLogin is an AppRole login past the network, many at a time, on disk and
// with a file audit device: for profiles of what a login costs.
func BenchmarkLogin(b *testing.B) {
	l := &lender{dir: b.TempDir()}
	if err := l.open(); err != nil {
		b.Fatal(err)
	}
	defer l.server.Close()
	made, err := l.server.System().Init(b.Context(), 1, 1, nil, "", false)
	if err != nil {
		b.Fatal(err)
	}
	if l.key, err = hex.DecodeString(made.Keys[0]); err != nil {
		b.Fatal(err)
	}
	if err := l.unseal(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, r := range [][2]string{
		{"sys/auth/approle", `{"type":"approle"}`},
		{"sys/audit/file", fmt.Sprintf(`{"type":"file","options":{"file_path":%q}}`, filepath.Join(b.TempDir(), "audit.log"))},
		{"auth/approle/role/bench", `{"role_id":"bench","token_policies":"bench","token_ttl":"1h"}`},
		{"auth/approle/role/bench/custom-secret-id", `{"secret_id":"bench"}`},
	} {
		if err := l.ask("POST", r[0], r[1]); err != nil {
			b.Fatal(err)
		}
	}
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.ask("POST", "auth/approle/login", `{"role_id":"bench","secret_id":"bench"}`); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
