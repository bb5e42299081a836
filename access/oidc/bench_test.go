package oidc_test

import (
	"testing"

	"github.com/fastness-dev/fastness/engine"
)

// What a token costs is its signature.
func BenchmarkToken(b *testing.B) {
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		b.Run(algorithm, func(b *testing.B) {
			w := newWorld(b)
			w.Caller.EntityID = w.person("ann")
			w.set("key/k", map[string]any{"algorithm": algorithm, "allowed_client_ids": "*"})
			w.set("role/r", map[string]any{"key": "k", "template": `{"name": {{identity.entity.name}}}`})
			for b.Loop() {
				if r := w.Do(engine.OpRead, "oidc/token/r", ""); r.Status != 200 {
					b.Fatal(string(r.Body))
				}
			}
		})
	}
}
