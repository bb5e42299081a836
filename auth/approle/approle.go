// Package approle is the auth method for machines: a role says what a login may
// do, a role-id names the role, and secret-ids, which can be many, prove that a
// machine may take it.
//
// It promises that a secret-id is in storage only as a MAC under a key of the
// mount; that a limited secret-id is good for exactly as many logins, however
// many try at once; that one which has expired is refused from that moment,
// whether or not its row is gone; and that a stranger cannot tell an unknown
// role-id from a wrong secret-id.
package approle

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/version"
)

// Below its mount the method keeps:
//
//	role/<name>          a role; its Key is its own and dies with it
//	rid/<mac>            the name of the role that has a role-id
//	key                  what MACs are made with, from the first role on
//	sid/<mac>            a secret-id, by the MAC of its role's Key and itself
//	uses/<mac>           how many logins it has left, if they are limited
//	acc/<Key>/<accessor> the MAC of a secret-id
//
// Uses have rows of their own so that a login writes a few bytes, and logins
// with different secret-ids of one role do not meet.
const keyPath = "key"

// An Engine is one mount.
type Engine struct{}

// Types are the method's types.
func Types() []engine.Type { return []engine.Type{spec().Type()} }

func spec() *engine.Spec[Engine] {
	return &engine.Spec[Engine]{
		Name: "approle", Kind: engine.Auth, Version: "v" + version.APIVersion + "+builtin.vault",
		Help:   "Log machines in by a role-id and a secret-id.",
		Renew:  (*Engine).renew,
		Routes: slices.Concat(roleRoutes(), secretRoutes(), loginRoutes()),
		Jobs: engine.Jobs[Engine]{
			"expire": (*Engine).expire,
			"sweep":  (*Engine).sweep,
			"tidy":   (*Engine).tidy,
		},
	}
}

// maxID is how long a role-id or secret-id may be, in bytes.
const maxID = 4096

// key gives the key of the mount's MACs. A mount that has none has no role: what
// is looked up by a MAC of the zero key is not there.
func key(v engine.View) ([]byte, error) {
	k, err := v.Get(keyPath)
	if k == nil {
		k = make([]byte, sha256.Size)
	}
	return k, err
}

// ensureKey makes the key before the first MAC is stored.
func ensureKey(tx engine.Tx) error {
	k, err := tx.Get(keyPath)
	if err != nil || k != nil {
		return err
	}
	k = make([]byte, sha256.Size)
	if _, err := rand.Read(k); err != nil {
		return err
	}
	tx.Put(keyPath, k)
	return nil
}

// mac is what something is stored under instead of itself. Kinds keep MACs of
// different things apart; a role's Key has a fixed length, so that no two pairs
// read alike. Whoever is to be found by it must know what it is made of, and
// nobody outside knows the key, so that nothing is compared with what the
// caller chose.
func mac(key []byte, kind, of, value string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(kind))
	h.Write([]byte(of))
	h.Write([]byte(value))
	return hex.EncodeToString(h.Sum(nil))
}

// newID is a random UUID, which is what Vault's ids look like.
func newID() (string, error) {
	id, err := uuid.NewRandom()
	return id.String(), err
}
