package sys

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/audit"
	"github.com/fastness-dev/fastness/cubbyhole"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/storage/seal"
)

// A vault is an unsealed system whose one share is kept.
type vault struct {
	sys *System
	key string // hex
}

func newVault(t *testing.T) *vault {
	t.Helper()
	bar, quiet := barrier.New(), slog.New(slog.DiscardHandler)
	tokens := token.New(token.Options{Barrier: bar, Now: time.Now})
	store, err := storage.Open(storage.Options{State: kv.NewMemory(), Log: raft.NewMemory(), Sealer: bar, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	s := New(&System{Store: store, Barrier: bar, Policies: policy.NewStore(), Tokens: tokens, Leases: &lease.Store{Tokens: tokens, Now: time.Now}, Audit: audit.NewBroker(nil), Logger: quiet})
	s.Mounts = mount.New([]engine.Type{s.Type(), tokens.Type(), cubbyhole.Type()}, time.Hour, time.Hour)
	s.Unsealed = s.LoadAudit
	made, err := s.Init(context.Background(), 1, 1, nil, "", false)
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{s, made.Keys[0]}
	v.unseal(t, v.key)
	return v
}

func (v *vault) unseal(t *testing.T, keys ...string) {
	t.Helper()
	for _, key := range keys {
		share, err := hex.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.sys.Unseal(context.Background(), share); err != nil {
			t.Fatal(err)
		}
	}
	if v.sys.Barrier.Sealed() {
		t.Fatal("the shares do not unseal")
	}
}

// refused says with which sentence a call was turned down.
func refused(t *testing.T, err error) string {
	t.Helper()
	var told *api.Error
	if !errors.As(err, &told) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return told.Errors[0]
}

func TestRekeyWithVerificationChangesTheShares(t *testing.T) {
	w, ctx := newVault(t), context.Background()
	s, who := w.sys, &engine.Caller{}
	started, err := s.startRekey(ctx, who, rekeyRequest{Shares: 3, Threshold: 2, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.startRekey(ctx, who, rekeyRequest{Shares: 1, Threshold: 1}); refused(t, err) != "rekey already in progress" {
		t.Fatal(err)
	}
	if _, err := s.updateRekey(ctx, who, shareRequest{Key: hex.EncodeToString(make([]byte, 32)), Nonce: started.Nonce}); refused(t, err) != refused(t, wrongKey()) {
		t.Fatal(err)
	}
	a, err := s.updateRekey(ctx, who, shareRequest{Key: w.key, Nonce: started.Nonce})
	if err != nil {
		t.Fatal(err)
	}
	done := a.Data.(*rekeyDone)
	if len(done.Keys) != 3 || done.VerificationNonce == "" {
		t.Fatalf("got %d keys, nonce %q", len(done.Keys), done.VerificationNonce)
	}
	if config, err := s.sealConfig(ctx); err != nil || config.Shares != 1 {
		t.Fatalf("the shares changed before they were verified: %+v, %v", config, err)
	}
	for _, key := range done.Keys[1:] {
		if a, err = s.updateVerify(ctx, who, shareRequest{Key: key, Nonce: done.VerificationNonce}); err != nil {
			t.Fatal(err)
		}
	}
	if v, ok := a.Data.(*verified); !ok || !v.Complete {
		t.Fatalf("got %+v", a.Data)
	}
	s.Seal()
	w.unseal(t, done.Keys[0], done.Keys[2])
}

func TestSharesMakeARootToken(t *testing.T) {
	w, ctx := newVault(t), context.Background()
	s, who := w.sys, &engine.Caller{}
	if _, err := s.startRootAttempt(ctx, who, rootAttemptRequest{OTP: "short"}); refused(t, err) != "OTP string has incorrect length" {
		t.Fatal(err)
	}
	started, err := s.startRootAttempt(ctx, who, rootAttemptRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.updateRootAttempt(ctx, who, shareRequest{Key: w.key, Nonce: "x"}); err == nil {
		t.Fatal("a wrong nonce was taken")
	}
	done, err := s.updateRootAttempt(ctx, who, shareRequest{Key: w.key, Nonce: started.Nonce})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := seal.DecodeToken(done.EncodedToken, started.OTP)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Store.View(ctx, func(tx *storage.Tx) error {
		e, err := s.Tokens.Find(tx, raw)
		if err == nil && (e == nil || !e.Root()) {
			t.Error("the token is not a root token")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, err := s.rootStatus(ctx); err != nil || status.Started {
		t.Fatalf("the attempt goes on: %+v, %v", status, err)
	}
}

func TestRotationBeginsATermThatSurvivesSealing(t *testing.T) {
	w, ctx := newVault(t), context.Background()
	s := w.sys
	if err := s.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.RotateIfDue(ctx); err != nil {
		t.Fatal(err)
	}
	s.Seal()
	w.unseal(t, w.key)
	if k, err := s.Barrier.KeyStatus(); err != nil || k.Term != 2 {
		t.Fatalf("term %d, %v", k.Term, err)
	}
}

func TestAuditDevicesComeBackAfterAnUnseal(t *testing.T) {
	w, ctx := newVault(t), context.Background()
	s, file := w.sys, filepath.Join(t.TempDir(), "audit.log")
	req := auditRequest{Path: "file", Type: "file", Options: map[string]string{"file_path": file}}
	if _, err := s.enableAudit(ctx, nil, req); err != nil {
		t.Fatal(err)
	}
	if _, err := s.enableAudit(ctx, nil, req); refused(t, err) != "path already in use" {
		t.Fatal(err)
	}
	before, err := s.auditHash(nil, auditHashRequest{Path: "file", Input: "x"})
	if err != nil {
		t.Fatal(err)
	}
	s.Seal()
	w.unseal(t, w.key)
	after, err := s.auditHash(nil, auditHashRequest{Path: "file", Input: "x"})
	if err != nil || *after != *before {
		t.Fatalf("the salt changed: %v, %v, %v", before, after, err)
	}
	if _, err := s.disableAudit(ctx, nil, auditPath{"file"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.auditHash(nil, auditHashRequest{Path: "file", Input: "x"}); refused(t, err) != `unknown audit backend "file/"` {
		t.Fatal(err)
	}
}

func TestCeremoniesNeedSudoUnlessTheyAreOpened(t *testing.T) {
	for _, open := range []bool{false, true} {
		s := &System{Settings: Settings{UnauthRekey: open}}
		for _, r := range s.guarded(append(rootRoutes(), rekeyRoutes()...)) {
			if r.Info.Pattern == "decode-token" || strings.HasSuffix(r.Info.Pattern, "backup") {
				continue
			}
			if r.Info.Login != open || r.Info.Sudo == open {
				t.Errorf("%s with UnauthRekey %t: public %t, sudo %t", r.Info.Pattern, open, r.Info.Login, r.Info.Sudo)
			}
		}
	}
}
