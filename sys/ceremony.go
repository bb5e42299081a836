package sys

import (
	"context"
	"slices"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage/seal"
)

// addShare gives one share to a ceremony, which is named what in errors, and
// returns its secret with the last one needed: nil before. The caller holds
// s.mu and wipes the secret.
func addShare(c *seal.Ceremony, what, key, nonce string) ([]byte, error) {
	if key == "" {
		return nil, engine.Bad("'key' must be specified in request body as JSON")
	}
	share, err := seal.ParseShare(key)
	if err != nil {
		return nil, engine.Bad("'key' must be a valid hex or base64 string")
	}
	defer clear(share)
	if !c.IsNonce(nonce) {
		return nil, engine.Bad("incorrect nonce supplied; nonce for this %s operation is %q", what, c.Progress().Nonce)
	}
	if c.Has(share) {
		return nil, engine.Bad("given key has already been provided during this generation operation")
	}
	done, err := c.Add(share)
	if err != nil {
		return nil, engine.Bad("%s", err)
	}
	if !done {
		return nil, nil
	}
	secret, err := c.Secret()
	if err != nil {
		c.Reset()
		return nil, engine.Bad("invalid key: %s", err)
	}
	return secret, nil
}

// proven returns the root key if the seal key is the right one, and drops the
// ceremony's shares if it is not.
func (s *System) proven(ctx context.Context, c *seal.Ceremony, sealKey []byte) ([]byte, error) {
	root, _, err := s.rootKey(ctx, sealKey)
	if err == nil && !s.Barrier.CheckRoot(root) {
		clear(root)
		err = wrongKey()
	}
	if err != nil {
		c.Reset()
		return nil, err
	}
	return root, nil
}

// dropCeremonies forgets what ceremonies other than unsealing hold: keys of a
// node that is sealed must not lie in memory. The caller holds s.mu.
func (s *System) dropCeremonies() {
	s.dropRootAttempt()
	s.dropRekey()
}

// guarded closes or opens the routes that the settings decide on. Those of
// ceremonies need a token that has sudo or, as Vault 1.x has it, only shares.
func (s *System) guarded(routes engine.Routes[System]) engine.Routes[System] {
	shares := []string{"generate-root/attempt", "generate-root/update", "rekey/init", "rekey/update", "rekey/verify",
		"rekey-recovery-key/init", "rekey-recovery-key/update", "rekey-recovery-key/verify"}
	for i, r := range routes {
		switch {
		case !slices.Contains(shares, r.Info.Pattern):
		case s.Settings.UnauthRekey:
			routes[i] = r.Public()
		default:
			routes[i] = r.Sudo()
		}
	}
	return routes
}
