package sys

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/seal"
)

// rowBackup is the row of storage.System that keeps encrypted shares.
const rowBackup = "rekey-backup"

// A rekey replaces the seal key and its shares:
//
//	collecting ──old shares──▶ done
//	    └──── (verification) ──▶ pending ──new shares──▶ done
//
// Nothing is stored before it is done.
type rekey struct {
	config  seal.Config
	shares  *seal.Ceremony
	pending *rekeyPending
}

// A rekeyPending is a new seal key that waits until its holders prove that
// they have it.
type rekeyPending struct {
	key     []byte // the new seal key
	wrapped []byte // the root key under it
	backup  *rekeyBackup
	shares  *seal.Ceremony
}

func (s *System) dropRekey() {
	r := s.rekey
	if r == nil {
		return
	}
	s.rekey = nil
	r.shares.Clear()
	if r.pending != nil {
		r.pending.shares.Clear()
		clear(r.pending.key)
	}
}

type rekeyStatus struct {
	Nonce                string   `json:"nonce"`
	Started              bool     `json:"started"`
	Threshold            int      `json:"t"`
	Shares               int      `json:"n"`
	Progress             int      `json:"progress"`
	Required             int      `json:"required"`
	PGPFingerprints      []string `json:"pgp_fingerprints"`
	Backup               bool     `json:"backup"`
	VerificationRequired bool     `json:"verification_required"`
	VerificationNonce    string   `json:"verification_nonce,omitempty"`
}

func (r *rekey) status() *rekeyStatus {
	p := r.shares.Progress()
	a := &rekeyStatus{Nonce: p.Nonce, Started: true, Threshold: r.config.Threshold, Shares: r.config.Shares,
		Progress: p.Progress, Required: p.Required, PGPFingerprints: r.config.PGPFingerprints,
		Backup: r.config.Backup, VerificationRequired: r.config.VerificationRequired}
	if r.pending != nil {
		a.VerificationNonce = r.pending.shares.Progress().Nonce
	}
	return a
}

func (s *System) readRekey(v engine.View, _ engine.None) (*rekeyStatus, error) {
	config, err := s.sealConfig(v.Context())
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, storage.ErrSealed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rekey == nil {
		return &rekeyStatus{Required: config.Threshold}, nil
	}
	return s.rekey.status(), nil
}

type rekeyRequest struct {
	Shares       int      `json:"secret_shares" doc:"Number of shares of the new seal key."`
	Threshold    int      `json:"secret_threshold" doc:"Number of shares needed to unseal."`
	StoredShares int      `json:"stored_shares" doc:"Not used."`
	PGPKeys      []string `json:"pgp_keys" doc:"Public keys to encrypt the shares to, one each."`
	Backup       bool     `json:"backup" doc:"Keep a copy of the encrypted shares."`
	Verify       bool     `json:"require_verification" doc:"Take effect only after the new shares were given."`
}

func (s *System) startRekey(ctx context.Context, _ *engine.Caller, req rekeyRequest) (*rekeyStatus, error) {
	config := seal.Config{Type: seal.Shamir, Shares: req.Shares, Threshold: req.Threshold, PGPKeys: req.PGPKeys,
		Backup: req.Backup, VerificationRequired: req.Verify}
	if err := config.Validate(); errors.Is(err, seal.ErrBackupWithoutPGP) {
		return nil, engine.Bad("%s", err)
	} else if err != nil {
		return nil, engine.Status(http.StatusInternalServerError, "invalid rekey seal configuration: %s", err)
	}
	prints, err := seal.Fingerprints(config.PGPKeys)
	if err != nil {
		return nil, engine.Bad("pgp_keys: %s", err)
	}
	config.PGPFingerprints = prints
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rekey != nil {
		return nil, engine.Bad("rekey already in progress")
	}
	old, err := s.sealConfig(ctx)
	if err != nil {
		return nil, err
	}
	if old == nil || s.Barrier.Sealed() {
		return nil, storage.ErrSealed
	}
	config.Type = old.Type
	s.rekey = &rekey{config: config, shares: seal.NewCeremony(old.Threshold, uuid.NewString)}
	s.rekey.shares.Start()
	return s.rekey.status(), nil
}

type rekeyCancel struct {
	Nonce string `json:"nonce" doc:"Name of the rekey; if it is given, it must be the right one."`
}

func (s *System) cancelRekey(_ context.Context, _ *engine.Caller, req rekeyCancel) (engine.None, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rekey != nil && req.Nonce != "" && !s.rekey.shares.IsNonce(req.Nonce) {
		return engine.None{}, engine.Bad("invalid request")
	}
	s.dropRekey()
	return engine.None{}, nil
}

type rekeyDone struct {
	Nonce                string   `json:"nonce"`
	Complete             bool     `json:"complete"`
	Keys                 []string `json:"keys"`
	KeysBase64           []string `json:"keys_base64"`
	PGPFingerprints      []string `json:"pgp_fingerprints"`
	Backup               bool     `json:"backup"`
	VerificationRequired bool     `json:"verification_required"`
	VerificationNonce    string   `json:"verification_nonce,omitempty"`
}

func (s *System) updateRekey(ctx context.Context, _ *engine.Caller, req shareRequest) (*engine.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rekey
	switch {
	case r == nil && req.Key != "":
		return nil, engine.Bad("no barrier rekey in progress")
	case r == nil:
		return nil, engine.Bad("'key' must be specified in request body as JSON")
	case r.pending != nil:
		return nil, engine.Bad("rekey operation already finished; verification must be performed; nonce for the verification operation is %q",
			r.pending.shares.Progress().Nonce)
	}
	key, err := addShare(r.shares, "rekey", req.Key, req.Nonce)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return &engine.Answer{Data: r.status()}, nil
	}
	defer clear(key)
	root, err := s.proven(ctx, r.shares, key)
	if err != nil {
		return nil, err
	}
	defer clear(root)
	done, err := s.newShares(ctx, r, root)
	if err != nil {
		r.shares.Reset()
		return nil, err
	}
	return &engine.Answer{Data: done}, nil
}

// newShares draws the new seal key and stores it, or holds it until it is
// verified.
func (s *System) newShares(ctx context.Context, r *rekey, root []byte) (*rekeyDone, error) {
	p := &rekeyPending{key: make([]byte, barrier.KeySize), shares: seal.NewCeremony(r.config.Threshold, uuid.NewString)}
	if _, err := rand.Read(p.key); err != nil {
		return nil, fmt.Errorf("draw seal key: %w", err)
	}
	nonce := r.shares.Progress().Nonce
	keys, err := splitKey(p.key, &r.config)
	if err != nil {
		return nil, err
	}
	if p.wrapped, err = barrier.WrapRoot(p.key, root); err != nil {
		return nil, err
	}
	if r.config.Backup {
		p.backup = backupOf(nonce, r.config.PGPFingerprints, keys)
	}
	done := &rekeyDone{Nonce: nonce, Complete: true, Keys: keys.Keys, KeysBase64: keys.KeysBase64, PGPFingerprints: r.config.PGPFingerprints,
		Backup: r.config.Backup, VerificationRequired: r.config.VerificationRequired}
	if r.config.VerificationRequired {
		done.VerificationNonce = p.shares.Start()
		r.pending = p
		return done, nil
	}
	defer clear(p.key)
	return done, s.finishRekey(ctx, r, p)
}

// finishRekey makes the new shares the ones that unseal.
func (s *System) finishRekey(ctx context.Context, r *rekey, p *rekeyPending) error {
	config := &seal.Config{Type: r.config.Type, Shares: r.config.Shares, Threshold: r.config.Threshold}
	_, err := s.Store.Update(ctx, func(tx *storage.Tx) error {
		core := tx.In(storage.Core)
		storage.In[seal.Config](core, "").Put(rowConfig, config)
		core.Put(rowRoot, p.wrapped)
		if err := s.proveShares(tx, p.wrapped); err != nil {
			return err
		}
		backups := storage.In[rekeyBackup](tx.In(storage.System), "")
		if p.backup != nil {
			backups.Put(rowBackup, p.backup)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the new seal key: %w", err)
	}
	s.dropRekey()
	s.dropRootAttempt() // its shares are of the old key
	s.Logger.Info("seal rekeyed", "shares", config.Shares, "threshold", config.Threshold)
	return nil
}

type verifyStatus struct {
	Nonce     string `json:"nonce"`
	Started   bool   `json:"started"`
	Threshold int    `json:"t"`
	Shares    int    `json:"n"`
	Progress  int    `json:"progress"`
}

func (r *rekey) verification() *verifyStatus {
	a := &verifyStatus{Threshold: r.config.Threshold, Shares: r.config.Shares}
	if r.pending != nil {
		p := r.pending.shares.Progress()
		a.Nonce, a.Started, a.Progress = p.Nonce, true, p.Progress
	}
	return a
}

func noRekey() error { return engine.Bad("no rekey configuration found") }

func (s *System) readVerify(engine.View, engine.None) (*verifyStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rekey == nil {
		return nil, noRekey()
	}
	return s.rekey.verification(), nil
}

func (s *System) restartVerify(context.Context, *engine.Caller, engine.None) (*verifyStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rekey == nil {
		return nil, noRekey()
	}
	if p := s.rekey.pending; p != nil {
		p.shares.Clear()
		p.shares.Start()
	}
	return s.rekey.verification(), nil
}

type verified struct {
	Nonce    string `json:"nonce"`
	Complete bool   `json:"complete"`
}

func (s *System) updateVerify(ctx context.Context, _ *engine.Caller, req shareRequest) (*engine.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rekey
	if r == nil {
		return nil, noRekey()
	}
	p := r.pending
	if p == nil {
		return nil, engine.Bad("no rekey verification in progress")
	}
	key, err := addShare(p.shares, "verify", req.Key, req.Nonce)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return &engine.Answer{Data: r.verification()}, nil
	}
	defer clear(key)
	nonce := p.shares.Progress().Nonce
	if subtle.ConstantTimeCompare(key, p.key) != 1 {
		p.shares.Reset()
		return nil, engine.Bad("rekey verification failed: incorrect key shares supplied")
	}
	if err := s.finishRekey(ctx, r, p); err != nil {
		p.shares.Reset()
		return nil, err
	}
	return &engine.Answer{Data: &verified{nonce, true}}, nil
}

// A rekeyBackup is the encrypted shares by the fingerprint of their key.
type rekeyBackup struct {
	Nonce      string              `json:"nonce"`
	Keys       map[string][]string `json:"keys"` // hex
	KeysBase64 map[string][]string `json:"keys_base64"`
}

func backupOf(nonce string, prints []string, keys *InitAnswer) *rekeyBackup {
	b := &rekeyBackup{Nonce: nonce, Keys: make(map[string][]string), KeysBase64: make(map[string][]string)}
	for i, p := range prints {
		b.Keys[p] = append(b.Keys[p], keys.Keys[i])
		b.KeysBase64[p] = append(b.KeysBase64[p], keys.KeysBase64[i])
	}
	return b
}

func (s *System) readBackup(v engine.View, _ engine.None) (*rekeyBackup, error) {
	b, err := storage.In[rekeyBackup](engine.CallOf(v).Whole.In(storage.System), "").Get(rowBackup)
	if err == nil && b == nil {
		err = engine.Bad("no backed-up keys found")
	}
	return b, err
}

func (s *System) deleteBackup(tx engine.Tx, _ engine.None) (engine.None, error) {
	engine.CallOf(tx).Whole.In(storage.System).Delete(rowBackup)
	return engine.None{}, nil
}
