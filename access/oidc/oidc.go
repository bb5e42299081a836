// Package oidc tells other applications who callers are: identity tokens, which
// an entity draws and hands on, and an OpenID provider, to which applications
// send people to log in. Its routes are those below identity/oidc/; its rows
// are in the range of that mount, so that each namespace has its own.
//
// It promises that private keys leave storage for nothing but a signature; that
// a public key is published before it signs, and for as long as what it signed
// may be valid; that no claim of a template takes the place of one that the
// server answers for; that a code is used at most once, by the client that it
// was drawn for; and that neither codes nor access tokens are in storage, only
// what finds them.
//
// It does not log anybody in: who asks for a token or a code has a token of the
// server already.
package oidc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// Options say what a Store needs. Identities must be set.
type Options struct {
	Identities *identity.Store
	// Address is the URL at which clients reach the cluster, without a path:
	// what issuers begin with unless an operator chose another.
	Address string
	// NamespaceID is what tokens call the namespace that a transaction sees; nil
	// says "root".
	NamespaceID func(tx *storage.Tx) (string, error)
	// AuthTime is when the caller logged in. It must be set for clients to ask
	// how long ago that was.
	AuthTime func(v engine.View) (time.Time, error)
	Rand     io.Reader     // of ids, secrets, codes and tokens; nil is crypto/rand
	NewID    func() string // of key pairs; nil draws UUIDs
}

// A Store keeps keys, roles, clients and providers. Its methods are safe for
// concurrent use; each works in the transaction that it is given.
type Store struct{ o Options }

// New makes a Store.
func New(o Options) *Store {
	if o.NamespaceID == nil {
		o.NamespaceID = func(*storage.Tx) (string, error) { return "root", nil }
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
	return &Store{o}
}

// Part is what the engine at identity/ takes in.
func (s *Store) Part() identity.Part {
	return identity.Part{
		Routes: engine.Part[identity.Store](s, slices.Concat(s.configRoutes(), keyRoutes(), roleRoutes(), tokenRoutes(),
			clientRoutes(), assignmentRoutes(), scopeRoutes(), providerRoutes(), authorizeRoutes(), redeemRoutes(), userinfoRoutes())),
		Jobs: engine.PartJobs[identity.Store](s, jobs),
	}
}

// Jobs, by name. They lie in one mount with those of other parts.
const (
	jobKey  = "oidc-key"  // a key is due to be rotated, or a pair to be forgotten
	jobGone = "oidc-gone" // a code or an access token has ended
)

var jobs = engine.Jobs[Store]{
	jobKey:  (*Store).tend,
	jobGone: func(_ *Store, tx engine.Tx, path string) error { tx.DeleteUnlisted(path); return nil },
}

// A requester is what the server tells of a request besides the call.
type requester interface {
	// RawToken is the token as it came.
	RawToken() string
	// BasicAuth is what the Authorization header says.
	BasicAuth() (name, password string, ok bool)
}

func asked(v engine.View) requester { return engine.CallOf(v).Data.(requester) }

func whole(v engine.View) *storage.Tx { return engine.CallOf(v).Whole }

// caller is whose token the request came with, nil when it is nobody's.
func (s *Store) caller(v engine.View) (*identity.Holder, error) {
	return s.entity(v, v.Caller().EntityID)
}

// entity is the identity with an id; nil when there is none that may be spoken
// for.
func (s *Store) entity(v engine.View, id string) (*identity.Holder, error) {
	if id == "" {
		return nil, nil
	}
	h, err := s.o.Identities.Holder(whole(v), id)
	if err != nil || h == nil || h.Disabled {
		return nil, err
	}
	return h, nil
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// draw is a random text of letters and digits.
func (s *Store) draw(length int) (string, error) {
	out := make([]byte, 0, length)
	var b [64]byte
	for len(out) < length {
		if _, err := io.ReadFull(s.o.Rand, b[:]); err != nil {
			return "", fmt.Errorf("draw random text: %w", err)
		}
		for _, c := range b {
			if int(c) < 256-256%len(alphabet) && len(out) < length { // each letter alike
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out), nil
}

// digest is what finds something in storage that must not be there itself.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// unique sorts a list and drops what is in it twice. It is never nil: an empty
// list is shown as one.
func unique(list []string) []string {
	set := make(map[string]struct{}, len(list))
	for _, v := range list {
		set[v] = struct{}{}
	}
	return slices.AppendSeq(make([]string, 0, len(set)), slices.Values(slices.Sorted(maps.Keys(set))))
}

// admits says whether a list of client ids, or "*" for all, has one.
func admits(list []string, clientID string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, clientID)
}
