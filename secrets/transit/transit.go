// Package transit encrypts, signs and hashes for others: keys are made and kept
// here, and only what they are used on comes and goes.
//
// It promises that key material leaves only by the routes to export and back
// up, when the key allows it, and by byok-export, wrapped; that no nonce is the
// caller's; that AES-GCM and ChaCha20-Poly1305 keys rotate before random nonces
// are likely to meet; and that ciphertexts, signatures and MACs have Vault's
// format, so that what Vault made with an imported key is understood here.
//
// Everything that only uses a key is answered from a view, on every node. What
// a version's material was made into (a key schedule, a parsed private key) is
// kept with its row in the store's cache of opened rows, and goes when the row
// does: when it changes, when others need the room, and when the server seals.
package transit

import (
	"math/rand/v2"
	"slices"

	"github.com/fastness-dev/fastness/engine"
	build "github.com/fastness-dev/fastness/internal/version"
)

// Below its mount the engine keeps:
//
//	config           what config/keys and cache-config say
//	wrapping         the key that imports are wrapped for, once it was asked for
//	keys/<name>      a key: its settings and which versions there are
//	v/<id>/<n>       version n of the key with an id (unlisted)
//	u/<id>/<n>       about how often version n encrypted, once that is much (unlisted)
//
// A key's id is drawn when it is made, so that what a deleted one leaves to the
// sweeping job is nothing to a new one of its name.
const (
	configPath   = "config"
	wrappingPath = "wrapping"
	keysFolder   = "keys/"
)

// An Engine is one mount.
type Engine struct {
	// counted says, at random, whether n encryptions are the ones that count for
	// countEvery; see use.go.
	counted func(n int) bool
	every   uint64
	limit   uint64
	// wrappingBits is the length of the key that imports are wrapped for.
	wrappingBits int
}

// Types are the engine's types.
func Types() []engine.Type { return []engine.Type{spec(sampled(countEvery)).Type()} }

// sampled is an engine that counts one of every so many encryptions.
func sampled(every uint32) *Engine {
	return &Engine{
		counted: func(n int) bool {
			return uint64(rand.Uint32N(every)) < uint64(max(n, 0)) //nolint:gosec // a sample, and no secret
		},
		every: uint64(every), limit: rotateAfter, wrappingBits: wrappingBits,
	}
}

func spec(e *Engine) *engine.Spec[Engine] {
	return &engine.Spec[Engine]{
		Name: "transit", Kind: engine.Secret, Version: "v" + build.APIVersion + "+builtin.vault",
		Help: "Encrypt, sign and hash with keys that stay here.",
		Open: func(engine.Mount) (*Engine, error) { return e, nil },
		Routes: slices.Concat(keyRoutes(), settingRoutes(), materialRoutes(), cipherRoutes(), signRoutes(),
			hmacRoutes(), certificateRoutes(), toolRoutes()),
		Jobs: engine.Jobs[Engine]{
			"rotate": (*Engine).rotateDue,
			"sweep":  (*Engine).sweep,
		},
	}
}
