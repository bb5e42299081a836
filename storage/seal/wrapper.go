package seal

import (
	"context"
	"log/slog"
)

// A Wrapper encrypts seal keys under a key that a service, a device or a file
// keeps, so that a node can be unsealed without people. Its methods are safe
// for concurrent use. Its errors name cause and cure, and hold no secret.
type Wrapper interface {
	// Type is the kind of seal, as a stanza names it.
	Type() string
	// Target names the key as it is configured, without a secret. Of two
	// wrappers of one type, those with the same target use the same key.
	Target() string
	// Encrypt takes a seal key of 32 bytes.
	Encrypt(ctx context.Context, key []byte) (Blob, error)
	// Decrypt returns what Encrypt took. What was encrypted under a key that
	// this wrapper is not configured for is refused.
	Decrypt(ctx context.Context, b Blob) ([]byte, error)
	// Close ends what the wrapper does by itself.
	Close() error
}

// A Blob is an encrypted seal key.
type Blob struct {
	// KeyID names the key, or its version, that encrypted. It is no secret.
	KeyID string `json:"key_id"`
	Data  []byte `json:"data"`
}

// A Kind is a type of seal that this build can open.
type Kind struct {
	Type string
	// Open checks the settings and dials nobody: a service that is away must
	// not keep the server from starting.
	Open func(s *Settings, logger *slog.Logger) (Wrapper, error)
}
