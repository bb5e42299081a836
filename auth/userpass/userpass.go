// Package userpass is the auth method for people without a directory: a user
// has a name and a password.
//
// It promises that of a password only its bcrypt hash is in storage, that a
// login with a name that nobody has costs and says the same as one with a wrong
// password, and that names are not told apart by case.
package userpass

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/version"
	"github.com/fastness-dev/fastness/storage"
)

// cost is bcrypt's work factor, as Vault's.
const cost = 10

// maxCost bounds the work factor of hashes that are handed in: each step doubles
// what a login costs, and anybody can try to log in.
const maxCost = 14

// An Engine is one mount.
type Engine struct {
	cost    int                               // of hashes that are made
	nobody  string                            // the hash that nobody's password is checked against
	compare func(hash, password []byte) error // bcrypt's, but in a test that counts
	turns   chan struct{}                     // holds one for each hash that is being worked out
}

func open(cost int) *Engine {
	return &Engine{
		cost: cost, nobody: fmt.Sprintf("$2a$%02d$%s", cost, nobody), compare: bcrypt.CompareHashAndPassword,
		// Anybody can try to log in: half of the cores are left to everybody else.
		turns: make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1)),
	}
}

// Types are the method's types.
func Types() []engine.Type { return []engine.Type{spec(cost).Type()} }

func spec(cost int) *engine.Spec[Engine] {
	users := &engine.Collection[Engine, user]{
		Path: "users", Name: "{username@}", Noun: "user", Fold: true, Check: (*Engine).checkUser,
	}
	return &engine.Spec[Engine]{
		Name: "userpass", Kind: engine.Auth, Version: "v" + version.APIVersion + "+builtin.vault",
		Help:  "Log people in by a name and a password.",
		Open:  func(engine.Mount) (*Engine, error) { return open(cost), nil },
		Renew: (*Engine).renew,
		Routes: slices.Concat(users.Routes(), engine.Routes[Engine]{
			engine.Write("users/{username@}/password", (*Engine).setPassword).Doc("Change the password of a user."),
			engine.Write("users/{username@}/policies", (*Engine).setPolicies).Doc("Change the policies of a user."),
		}, loginRoutes()),
	}
}

// A user is what a login gives, and what it takes. The last four are former
// names of fields of TokenTerms.
type user struct {
	Password string `json:"password,omitempty" secret:"true" doc:"The password; it is not kept."`
	Hash     string `json:"password_hash,omitempty" secret:"true" doc:"A bcrypt hash of the password, in place of it."`
	engine.TokenTerms
	OldPolicies []string        `json:"policies,omitempty" doc:"Former name of token_policies."`
	OldTTL      engine.Duration `json:"ttl,omitempty" doc:"Former name of token_ttl."`
	OldMaxTTL   engine.Duration `json:"max_ttl,omitempty" doc:"Former name of token_max_ttl."`
	OldCIDRs    []string        `json:"bound_cidrs,omitempty" doc:"Former name of token_bound_cidrs."`
}

// users are the users of a mount by their names in lower case.
func users(v engine.View) storage.Table[user] { return engine.Table[user](v, "users/") }

// named gives a user, shared; nil if there is none.
func named(v engine.View, name string) (*user, error) { return users(v).Peek(strings.ToLower(name)) }

// checkUser completes a user and refuses what cannot be one.
func (e *Engine) checkUser(tx engine.Tx, item *engine.Item[user]) error {
	u := &item.Value
	engine.Renamed(item, "policies", &u.OldPolicies, "token_policies", &u.Policies)
	engine.Renamed(item, "ttl", &u.OldTTL, "token_ttl", &u.TTL)
	engine.Renamed(item, "max_ttl", &u.OldMaxTTL, "token_max_ttl", &u.MaxTTL)
	engine.Renamed(item, "bound_cidrs", &u.OldCIDRs, "token_bound_cidrs", &u.BoundCIDRs)
	if err := u.Normalize(tx.Mount()); err != nil {
		return err
	}
	if len(u.OldPolicies) > 0 {
		u.OldPolicies = u.Policies
	}
	if u.Password == "" && !item.Sent("password_hash") {
		if item.New {
			return errNoPassword()
		}
		return nil // it stays
	}
	given := ""
	if item.Sent("password_hash") {
		given = u.Hash
	}
	hash, err := e.hashOf(u.Password, given)
	u.Password, u.Hash = "", hash
	return err
}

func errNoPassword() error { return engine.Bad("must provide either password or password_hash") }

// hashOf makes the hash of a password, or takes one that was made elsewhere.
func (e *Engine) hashOf(password, hash string) (string, error) {
	switch {
	case password != "" && hash != "":
		return "", engine.Bad("password and password_hash exclude each other")
	case password == "" && hash == "":
		return "", errNoPassword()
	case hash != "":
		c, err := bcrypt.Cost([]byte(hash))
		if err != nil || len(hash) != hashLen || strings.Trim(hash[len("$2a$10$"):], alphabet) != "" {
			return "", engine.Bad("password_hash is not a valid bcrypt hash")
		}
		if c > maxCost {
			return "", engine.Bad("password_hash has a cost of %d, the limit is %d", c, maxCost)
		}
		return hash, nil
	case len(password) > maxPassword:
		return "", engine.Bad("password is longer than %d bytes, which is all that bcrypt looks at", maxPassword)
	}
	b, err := bcrypt.GenerateFromPassword([]byte(password), e.cost)
	return string(b), err
}

// What a bcrypt hash is like.
const (
	hashLen     = 60 // bytes
	maxPassword = 72 // bytes of a password that go into one
	alphabet    = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

type passwordRequest struct {
	Name     string `path:"username" doc:"Name of the user."`
	Password string `json:"password" secret:"true" doc:"The new password."`
	Hash     string `json:"password_hash" secret:"true" doc:"A bcrypt hash of it, in place of it."`
}

func (e *Engine) setPassword(tx engine.Tx, req passwordRequest) (engine.None, error) {
	u, err := e.existing(tx, req.Name)
	if err != nil {
		return engine.None{}, err
	}
	if u.Hash, err = e.hashOf(req.Password, req.Hash); err != nil {
		return engine.None{}, err
	}
	users(tx).Put(strings.ToLower(req.Name), u)
	return engine.None{}, nil
}

type policiesRequest struct {
	Name     string    `path:"username" doc:"Name of the user."`
	Policies *[]string `json:"token_policies" doc:"Policies of the tokens."`
	Old      *[]string `json:"policies" doc:"Former name of token_policies."`
}

func (e *Engine) setPolicies(tx engine.Tx, req policiesRequest) (engine.None, error) {
	u, err := e.existing(tx, req.Name)
	if err != nil {
		return engine.None{}, err
	}
	switch {
	case req.Policies != nil:
		u.Policies, u.OldPolicies = *req.Policies, nil
	case req.Old != nil:
		u.Policies, u.OldPolicies = *req.Old, *req.Old
	default:
		return engine.None{}, engine.Bad("missing token_policies")
	}
	if err := u.Normalize(tx.Mount()); err != nil {
		return engine.None{}, err
	}
	if len(u.OldPolicies) > 0 {
		u.OldPolicies = u.Policies
	}
	users(tx).Put(strings.ToLower(req.Name), u)
	return engine.None{}, nil
}

// existing gives a user to change.
func (e *Engine) existing(v engine.View, name string) (*user, error) {
	u, err := users(v).Get(strings.ToLower(name))
	if err == nil && u == nil {
		err = engine.Bad("username does not exist")
	}
	return u, err
}
