package oidc

import (
	"fmt"

	"github.com/fastness-dev/fastness/engine"
)

// A Role is a kind of identity token.
type Role struct {
	Key      string          `json:"key" doc:"Key that signs."`
	Template string          `json:"template" doc:"Claims of its tokens, as JSON or base64 of it."`
	TTL      engine.Duration `json:"ttl" default:"24h" doc:"How long its tokens are valid."`
	ClientID string          `json:"client_id" doc:"Audience of its tokens; drawn unless given."`
}

var roles = engine.Collection[Store, Role]{Path: "oidc/role", Noun: "role"}

func roleRoutes() engine.Routes[Store] {
	c := roles
	c.Check = checkRole
	return c.Routes()
}

func checkRole(s *Store, tx engine.Tx, item *engine.Item[Role]) error {
	r := &item.Value
	if r.Key == "" {
		return engine.Bad("the key parameter is required")
	}
	k, err := s.usedKey(tx, r.Key)
	if err != nil {
		return err
	}
	if k == nil {
		return engine.Bad("cannot find key %q", r.Key)
	}
	if r.Template = decodeTemplate(r.Template); r.Template != "" {
		if err := checkTemplate(r.Template); err != nil {
			return err
		}
	}
	switch {
	case r.TTL > k.VerificationTTL:
		return engine.Bad("a role's token ttl cannot be longer than the verification_ttl of the key it references")
	case r.TTL <= 0:
		return engine.Bad("ttl must be positive")
	}
	if r.ClientID == "" {
		r.ClientID, err = s.draw(clientIDLength)
	}
	return err
}

func eachRole(v engine.View, f func(name string, r *Role) error) error {
	return each(&roles, v, f)
}

// each calls f with every item of a collection.
func each[T any](c *engine.Collection[Store, T], v engine.View, f func(name string, item *T) error) error {
	names, err := c.Names(v)
	if err != nil {
		return fmt.Errorf("list every %s: %w", c.Noun, err)
	}
	for _, name := range names {
		item, err := c.Peek(v, name)
		if err != nil {
			return fmt.Errorf("read a %s: %w", c.Noun, err)
		}
		if item == nil {
			continue
		}
		if err := f(name, item); err != nil {
			return err
		}
	}
	return nil
}
