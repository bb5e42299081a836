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
	tx.Always(func() { s.spend(tx, &spent) })
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
	id, err := s.id(tx, raw)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(raw, PrefixBatch) {
		return s.openBatch(tx, raw, id)
	}
	return s.ByID(tx, id)
}

// ByID returns the entry with a storage id, shared, or nil when there is none
// that may be used.
func (s *Store) ByID(tx *storage.Tx, id string) (*Entry, error) {
	e, err := entries(tx).Peek(id)
	if err != nil {
		return nil, fmt.Errorf("read token: %w", err)
	}
	if e == nil || !e.alive(s.o.Now()) {
		return nil, nil
	}
	return e, nil
}

// ByAccessor returns the entry with an accessor, shared, or nil.
func (s *Store) ByAccessor(tx *storage.Tx, accessor string) (*Entry, error) {
	a, err := accessors(tx).Peek(accessor)
	if err != nil || a == nil {
		return nil, err
	}
	return s.ByID(tx, a.Token)
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
	return PrefixBatch + base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openBatch returns the entry of a batch token that may be used, or nil. It
// dies with its parent.
func (s *Store) openBatch(tx *storage.Tx, raw, id string) (*Entry, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(raw[len(PrefixBatch):])
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
	if !e.alive(s.o.Now()) {
		return nil, nil
	}
	if e.Parent != "" {
		if parent, err := s.ByID(tx, e.Parent); err != nil || parent == nil {
			return nil, err
		}
	}
	return e, nil
}
