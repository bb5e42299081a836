package oidc

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

// A Key signs tokens: a name for key pairs that take turns. The pairs
// themselves are its ring, in a row that no route shows.
type Key struct {
	Algorithm        string          `json:"algorithm" default:"RS256" doc:"RS256, RS384, RS512, ES256, ES384, ES512 or EdDSA."`
	RotationPeriod   engine.Duration `json:"rotation_period" default:"24h" doc:"How long a pair signs."`
	VerificationTTL  engine.Duration `json:"verification_ttl" default:"24h" doc:"How long a pair is published once it no longer signs."`
	AllowedClientIDs []string        `json:"allowed_client_ids" doc:"Clients and roles that may sign with it; * is all."`
}

// defaultKey is the name of the key that is there without having been made.
const defaultKey = "default"

var keys = engine.Collection[Store, Key]{
	Path: "oidc/key", Noun: "key",
	Given: map[string]Key{defaultKey: {"RS256", engine.Duration(24 * time.Hour), engine.Duration(24 * time.Hour), []string{"*"}}},
}

func keyRoutes() engine.Routes[Store] {
	c := keys
	c.Check, c.Remove = checkKey, removeKey
	return append(c.Routes(), engine.Write("oidc/key/{name}/rotate", rotateKey).Doc("Have the next pair of a key sign."))
}

func checkKey(s *Store, tx engine.Tx, item *engine.Item[Key]) error {
	k := &item.Value
	k.AllowedClientIDs = unique(k.AllowedClientIDs)
	switch {
	case k.RotationPeriod < engine.Duration(time.Minute):
		return engine.Bad("rotation_period must be at least one minute")
	case k.VerificationTTL > 10*k.RotationPeriod:
		return engine.Bad("verification_ttl cannot be longer than 10x rotation_period")
	case !slices.Contains(algorithmNames, k.Algorithm):
		return engine.Bad("unknown signing algorithm %q", k.Algorithm)
	}
	if err := outlivesTokens(tx, item.Name, k); err != nil {
		return err
	}
	old, err := rings(tx).Get(item.Name)
	if err != nil {
		return err
	}
	switch {
	case old == nil:
		return s.newRing(tx, item.Name, k)
	case old.Now.Algorithm != k.Algorithm:
		return s.replaceRing(tx, item.Name, k, old)
	}
	if due := tx.Now().Add(time.Duration(k.RotationPeriod)); due.Before(old.Rotates) {
		old.Rotates = due // a longer period begins with the next rotation
	}
	old.put(tx, item.Name)
	return nil
}

// outlivesTokens refuses a verification_ttl that what the key signs would
// outlive.
func outlivesTokens(v engine.View, name string, k *Key) error {
	err := eachRole(v, func(role string, r *Role) error {
		if r.Key == name && r.TTL > k.VerificationTTL {
			return engine.Bad("unable to update key %q because it is currently referenced by role %q, whose ttl is longer than the verification_ttl", name, role)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return eachClient(v, func(client string, c *Client) error {
		if c.Key == name && c.IDTokenTTL > k.VerificationTTL {
			return engine.Bad("unable to update key %q because it is currently referenced by client %q, whose id_token_ttl is longer than the verification_ttl", name, client)
		}
		return nil
	})
}

func removeKey(_ *Store, tx engine.Tx, item *engine.Item[Key]) error {
	if item.Name == defaultKey {
		return engine.Bad("deletion of key %q not allowed", defaultKey)
	}
	var of []string
	err := eachRole(tx, func(role string, r *Role) error {
		if r.Key == item.Name {
			of = append(of, role)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(of) > 0 {
		return referenced("key", item.Name, "roles", of)
	}
	err = eachClient(tx, func(client string, c *Client) error {
		if c.Key == item.Name {
			of = append(of, client)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(of) > 0 {
		return referenced("key", item.Name, "clients", of)
	}
	rings(tx).Delete(item.Name)
	tx.Cancel(jobKey, item.Name)
	return nil
}

func referenced(noun, name, by string, of []string) error {
	return engine.Bad("unable to delete %s %q because it is currently referenced by these %s: %s", noun, name, by, strings.Join(of, ", "))
}

type rotation struct {
	Name            string           `path:"name"`
	VerificationTTL *engine.Duration `json:"verification_ttl" doc:"How long the pair that signed until now is published; that of the key unless given."`
}

func rotateKey(s *Store, tx engine.Tx, q rotation) (engine.None, error) {
	k, err := keys.Get(tx, q.Name)
	if err != nil {
		return engine.None{}, err
	}
	if k == nil {
		return engine.None{}, engine.Bad("no named key found at %q", q.Name)
	}
	keep := k.VerificationTTL
	if q.VerificationTTL != nil {
		keep = *q.VerificationTTL
	}
	r, err := s.ensure(tx, q.Name, k)
	if err != nil {
		return engine.None{}, err
	}
	return engine.None{}, s.turn(tx, q.Name, k, r, time.Duration(keep))
}

// usedKey is a key that something is about to sign with: it gets its pairs, if
// it has none yet. It is nil when there is no such key.
func (s *Store) usedKey(tx engine.Tx, name string) (*Key, error) {
	k, err := keys.Get(tx, name)
	if err != nil || k == nil {
		return nil, err
	}
	_, err = s.ensure(tx, name, k)
	return k, err
}

// tend does what is due for a key, at its time: its rotation, and forgetting
// pairs of which nothing is valid any longer.
func (s *Store) tend(tx engine.Tx, name string) error {
	k, err := keys.Get(tx, name)
	if err != nil || k == nil {
		return err
	}
	r, err := rings(tx).Get(name)
	if err != nil || r == nil {
		return err
	}
	if tx.Now().Add(time.Millisecond).Before(r.Rotates) { // the due index rounds down
		r.put(tx, name)
		return nil
	}
	if err := s.turn(tx, name, k, r, time.Duration(k.VerificationTTL)); err != nil {
		return fmt.Errorf("rotate key: %w", err)
	}
	return nil
}
