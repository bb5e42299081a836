// Package token owns tokens: what they are, who may use them, their accessors,
// their tree of parents and children, and the routes below auth/token/.
//
// It promises that no usable token and nothing that leads to one is in
// storage: rows are found by an HMAC of the token under a salt. A token and
// all below it end together; whatever one transaction has no room for, the
// schedule does at once. A token's use is spent even when the request fails.
//
// It does not know policies: who may call a route is decided before.
package token

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Prefixes of tokens.
const (
	PrefixService = "hvs."
	PrefixBatch   = "hvb."
)

// A Sealer seals the entries that batch tokens carry.
type Sealer interface {
	SealToken(dst, plaintext []byte) ([]byte, error)
	OpenToken(dst, sealed []byte) ([]byte, error)
}

// Options say what a Store needs. Barrier must be set.
type Options struct {
	Barrier    Sealer
	Now        func() time.Time // nil is time.Now
	Rand       io.Reader        // nil is crypto/rand
	DefaultTTL time.Duration    // of tokens that ask for none; 0 is 768 h
	MaxTTL     time.Duration    // of the system; 0 is 768 h
	// OnRevoke, if set, removes what ends with a token, in its transaction.
	OnRevoke func(tx *storage.Tx, e *Entry) error
	// Renewing, if set, is asked about a token that a login gave before it is
	// renewed: an error refuses the renewal, and terms that are not nil (TTL,
	// MaxTTL and Period of them) take the place of those at the login.
	Renewing func(tx *storage.Tx, e *Entry) (*Params, error)
	// IdentityPolicies, if set, are the policies that a token with an entity has
	// besides its own.
	IdentityPolicies func(tx *storage.Tx, e *Entry) ([]string, error)
	// Namespaces, if set, knows the namespaces. Without it there is only root.
	Namespaces Namespaces
	// AliasEntity, if set, finds or makes the entity that an alias of the token
	// mount stands for. An error of its own refuses the token.
	AliasEntity func(tx *storage.Tx, alias string) (entityID string, err error)
	// PolicyExists, if set, is asked so that a caller can be warned.
	PolicyExists func(tx *storage.Tx, name string) (bool, error)
}

const systemTTL = 768 * time.Hour

// A Store keeps tokens. Its methods are safe for concurrent use; each works in
// the transaction that it is given.
type Store struct {
	o    Options
	salt atomic.Pointer[hasher]
}

// New makes a Store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.DefaultTTL == 0 {
		o.DefaultTTL = systemTTL
	}
	if o.MaxTTL == 0 {
		o.MaxTTL = systemTTL
	}
	return &Store{o: o}
}

// SetOnRevoke sets Options.OnRevoke, for a cubbyhole that is made later. It
// must be called before the store is used.
func (s *Store) SetOnRevoke(f func(tx *storage.Tx, e *Entry) error) { s.o.OnRevoke = f }

// Rows of the store.
const saltPath = "token/salt" // in storage.System

type accessorRow struct {
	Token string `json:"token"` // storage id
}

func entries(tx *storage.Tx) storage.Table[Entry] {
	return storage.In[Entry](tx.In(storage.Tokens), "")
}

func accessors(tx *storage.Tx) storage.Table[accessorRow] {
	return storage.In[accessorRow](tx.In(storage.Accessors), "")
}

// Init draws the salt, once in the life of a cluster.
func (s *Store) Init(tx *storage.Tx) error {
	old, err := tx.In(storage.System).Get(saltPath)
	if err != nil || old != nil {
		return err
	}
	salt := make([]byte, sha256.Size)
	if _, err := io.ReadFull(s.o.Rand, salt); err != nil {
		return fmt.Errorf("draw salt: %w", err)
	}
	tx.In(storage.System).Put(saltPath, salt)
	return nil
}

// Forget drops the salt from memory: the barrier was sealed, or the storage
// replaced.
func (s *Store) Forget() { s.salt.Store(nil) }

var errNoSalt = errors.New("tokens have no salt: storage was not initialised")

// id is the storage id of a token, but for its namespace.
func (s *Store) id(tx *storage.Tx, raw string) (string, error) {
	h := s.salt.Load()
	if h == nil {
		salt, err := tx.In(storage.System).Get(saltPath)
		if err != nil {
			return "", fmt.Errorf("read salt: %w", err)
		}
		if salt == nil {
			return "", errNoSalt
		}
		h = newHasher(salt)
		if !tx.Wrote() { // else it may be a salt that never gets committed
			s.salt.Store(h)
		}
	}
	return h.sum(raw), nil
}

// A hasher computes storage ids without making a hash each time.
type hasher struct{ pool sync.Pool }

type hashing struct {
	mac hash.Hash
	in  []byte
	sum [sha256.Size]byte
	hex [2 * sha256.Size]byte
}

func newHasher(salt []byte) *hasher {
	h := &hasher{}
	h.pool.New = func() any { return &hashing{mac: hmac.New(sha256.New, salt)} }
	return h
}

func (h *hasher) sum(raw string) string {
	w := h.pool.Get().(*hashing)
	w.mac.Reset()
	w.in = append(w.in[:0], raw...)
	w.mac.Write(w.in)
	clear(w.in)
	hex.Encode(w.hex[:], w.mac.Sum(w.sum[:0]))
	id := string(w.hex[:])
	h.pool.Put(w)
	return id
}

// Kinds of job in the schedule.
const (
	KindExpire = "token"        // the token's time is up
	KindTree   = "token-tree"   // what is left of a revoked token and its tree
	KindOrphan = "token-orphan" // children left of a token revoked without them
)

// Handlers are what the schedule's runner needs to do this store's jobs.
func (s *Store) Handlers() map[string]schedule.Handler {
	return map[string]schedule.Handler{
		KindExpire: func(tx *storage.Tx, j schedule.Job) error { return s.expire(tx, j.ID) },
		KindTree:   func(tx *storage.Tx, j schedule.Job) error { return s.Revoke(tx, j.ID) },
		KindOrphan: func(tx *storage.Tx, j schedule.Job) error { return s.freeChildren(tx, j.ID) },
	}
}
