package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Authenticate finds the token that a request came with and spends one of its
// uses. It is permission denied, without a word why, when there is none, it is
// unknown, expired or revoked, or may not be used from that address. The entry
// is shared and must not be changed. In a ReadOnly transaction a token of
// limited uses is storage.ErrUpgrade.
//
// A use is spent even if the request fails. With the last one the token is
// dead for everyone else, but what hangs on it, cubbyhole and leases, stays
// until the transaction is over.
func (s *Store) Authenticate(tx *storage.Tx, raw string, from netip.Addr) (*Entry, error) {
	e, err := s.Find(tx, raw)
	if err != nil {
		return nil, err
	}
	if e == nil || !e.admits(from) {
		return nil, engine.Denied()
	}
	if e.NumUses == 0 {
		return e, nil
	}
	if tx.Mode() == storage.ReadOnly {
		return nil, storage.ErrUpgrade
	}
	spent := *e
	home, err := s.Home(tx, e)
	if err != nil {
		return nil, err
	}
	tx.Always(func() { s.spend(home, &spent) })
	return &spent, nil
}

func (s *Store) spend(tx *storage.Tx, e *Entry) {
	e.NumUses--
	if e.NumUses == 0 {
		e.NumUses = pending
		schedule.Cancel(tx, KindExpire, e.ID)
		schedule.At(tx, s.o.Now(), schedule.Job{Kind: KindTree, ID: e.ID})
	}
	entries(tx).Put(e.ID, e)
}

// Find returns the entry of a token that may be used, shared, or nil. It spends
// nothing and asks for no address.
func (s *Store) Find(tx *storage.Tx, raw string) (*Entry, error) {
	if raw == "" {
		return nil, nil
	}
	home, ns, err := s.belongs(tx, raw)
	if err != nil {
		return nil, err
	}
	id, err := s.id(tx, raw)
	if err != nil {
		return nil, err
	}
	if ns != "" {
		id += "." + ns
	}
	if strings.HasPrefix(raw, PrefixBatch) {
		return s.openBatch(home, raw, id, ns)
	}
	return s.read(home, id)
}

// ByID returns the entry with a storage id, shared, or nil when there is none
// that may be used.
func (s *Store) ByID(tx *storage.Tx, id string) (*Entry, error) {
	home, err := s.home(tx, id)
	if err != nil {
		return nil, err
	}
	return s.read(home, id)
}

func (s *Store) read(home *storage.Tx, id string) (*Entry, error) {
	e, err := entries(home).Peek(id)
	if err != nil {
		return nil, fmt.Errorf("read token: %w", err)
	}
	if e == nil || !e.alive(s.o.Now()) {
		return nil, nil
	}
	return e, nil
}

// ByAccessor returns the entry with an accessor, shared, or nil.
// Accessors of namespaces that tx neither sees nor holds are unknown.
func (s *Store) ByAccessor(tx *storage.Tx, accessor string) (*Entry, error) {
	home, err := s.home(tx, accessor)
	if err != nil {
		return nil, err
	}
	a, err := accessors(home).Peek(accessor)
	if err != nil || a == nil {
		return nil, err
	}
	return s.shown(tx, a.Token)
}

// shown is ByID for those who ask about a token that is not their own.
func (s *Store) shown(tx *storage.Tx, id string) (*Entry, error) {
	e, err := s.ByID(tx, id)
	if err != nil || e == nil {
		return nil, err
	}
	if ok, err := s.shows(tx, e); err != nil || !ok {
		return nil, err
	}
	return e, nil
}

// Lookup is Find for those who ask about a token that is not their own: one of
// another namespace is unknown, unless that lies below.
func (s *Store) Lookup(tx *storage.Tx, raw string) (*Entry, error) {
	e, err := s.Find(tx, raw)
	if err != nil || e == nil {
		return nil, err
	}
	if ok, err := s.shows(tx, e); err != nil || !ok {
		return nil, err
	}
	return e, nil
}

// Batch tokens are their entry, sealed: hvb. | base64url of SealToken(JSON).

func (s *Store) sealBatch(e *Entry) (string, error) {
	plain, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode batch token: %w", err)
	}
	sealed, err := s.o.Barrier.SealToken(nil, plain)
	if err != nil {
		return "", fmt.Errorf("seal batch token: %w", err)
	}
	raw := PrefixBatch + base64.RawURLEncoding.EncodeToString(sealed)
	if e.NamespaceID != "" {
		raw += "." + e.NamespaceID
	}
	return raw, nil
}

// openBatch returns the entry of a batch token that may be used, or nil. It
// dies with its parent.
func (s *Store) openBatch(tx *storage.Tx, raw, id, ns string) (*Entry, error) {
	text := raw[len(PrefixBatch):]
	if ns != "" {
		text = text[:len(text)-len(ns)-1]
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, nil //nolint:nilerr // what is not a token is no token
	}
	plain, err := s.o.Barrier.OpenToken(nil, sealed)
	if errors.Is(err, storage.ErrSealed) {
		return nil, err
	}
	if err != nil {
		return nil, nil //nolint:nilerr // sealed by somebody else: no token
	}
	e := new(Entry)
	if err := json.Unmarshal(plain, e); err != nil {
		return nil, fmt.Errorf("decode batch token: %w", err)
	}
	e.ID = id
	if !e.alive(s.o.Now()) || e.NamespaceID != ns { // what ends it is not sealed
		return nil, nil
	}
	if e.Parent != "" {
		if parent, err := s.ByID(tx, e.Parent); err != nil || parent == nil {
			return nil, err
		}
	}
	return e, nil
}
