package sys

import (
	"context"
	"fmt"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
)

// manyUnsaved is how many encryptions a crash may leave uncounted: few beside
// the millions after which a term ends.
const manyUnsaved = 1 << 16

// changeKeyring makes a change to the stored keyring and, once it is committed,
// takes it into use. with adds to the transaction; it may be nil. The caller
// holds s.mu.
func (s *System) changeKeyring(ctx context.Context, make func(stored []byte) (*barrier.Change, error), with func(*storage.Tx)) error {
	var change *barrier.Change
	_, err := s.Store.Update(ctx, func(tx *storage.Tx) error {
		core := tx.In(storage.Core)
		stored, err := core.Get(rowKeyring)
		if err != nil {
			return err
		}
		if change, err = make(stored); err != nil {
			return err
		}
		core.Put(rowKeyring, change.Sealed)
		if with != nil {
			with(tx)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return change.Install()
}

// Rotate begins the next term of the keyring.
func (s *System) Rotate(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rotate(ctx)
}

// rotate is Rotate for who holds s.mu.
func (s *System) rotate(ctx context.Context) error {
	if err := s.changeKeyring(ctx, s.Barrier.Rotate, nil); err != nil {
		return fmt.Errorf("rotate keyring: %w", err)
	}
	s.Logger.Info("keyring rotated")
	return nil
}

// RotateIfDue begins the next term when the present one is used up, and now and
// then stores how much of it is. The active node calls it each minute. It does
// nothing while a ceremony or a seal is under way: a seal waits for its caller.
func (s *System) RotateIfDue(ctx context.Context) error {
	if s.Barrier.Sealed() {
		return nil
	}
	due := s.Barrier.RotationDue(time.Now())
	if !due && s.Barrier.Unsaved() < manyUnsaved || !s.mu.TryLock() {
		return nil
	}
	defer s.mu.Unlock()
	if due {
		return s.rotate(ctx)
	}
	if err := s.changeKeyring(ctx, s.Barrier.Checkpoint, nil); err != nil {
		return fmt.Errorf("store the number of encryptions: %w", err)
	}
	return nil
}

func (s *System) rotateNow(ctx context.Context, _ *engine.Caller, _ engine.None) (engine.None, error) {
	return engine.None{}, s.Rotate(ctx)
}

type keyStatus struct {
	Term        uint32    `json:"term"`
	InstallTime time.Time `json:"install_time"`
	Encryptions uint64    `json:"encryptions"`
}

func (s *System) keyStatus(engine.View, engine.None) (*keyStatus, error) {
	k, err := s.Barrier.KeyStatus()
	if err != nil {
		return nil, err
	}
	return &keyStatus{k.Term, k.InstallTime.UTC(), k.Encryptions}, nil
}

type rotateConfig struct {
	Enabled       bool   `json:"enabled"`
	Interval      any    `json:"interval"` // 0, or a duration in Go's spelling
	MaxOperations uint64 `json:"max_operations"`
}

func (s *System) readRotateConfig(engine.View, engine.None) (*rotateConfig, error) {
	c, err := s.Barrier.RotateConfig()
	if err != nil {
		return nil, err
	}
	a := &rotateConfig{Enabled: c.Enabled, Interval: 0, MaxOperations: c.MaxOperations}
	if c.Interval > 0 {
		a.Interval = c.Interval.String()
	}
	return a, nil
}

type rotateConfigRequest struct {
	Enabled       *bool            `json:"enabled" doc:"Whether terms end by themselves."`
	Interval      *engine.Duration `json:"interval" doc:"How long a term lasts; 0 is for ever."`
	MaxOperations *uint64          `json:"max_operations" doc:"How many encryptions a term lasts."`
}

func (s *System) writeRotateConfig(ctx context.Context, _ *engine.Caller, req rotateConfigRequest) (engine.None, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.Barrier.RotateConfig()
	if err != nil {
		return engine.None{}, err
	}
	if req.Enabled != nil {
		c.Enabled = *req.Enabled
	}
	if req.Interval != nil {
		c.Interval = time.Duration(*req.Interval)
	}
	if req.MaxOperations != nil {
		c.MaxOperations = *req.MaxOperations
	}
	if err := c.Validate(); err != nil {
		return engine.None{}, engine.Bad("%s", err)
	}
	set := func(stored []byte) (*barrier.Change, error) { return s.Barrier.SetRotateConfig(stored, c) }
	if err := s.changeKeyring(ctx, set, nil); err != nil {
		return engine.None{}, fmt.Errorf("configure rotation: %w", err)
	}
	return engine.None{}, nil
}

func rotateRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Outside("rotate", engine.OpWrite, (*System).rotateNow).Sudo().RootNamespace().Doc("Begin the next term of the keyring."),
		engine.Outside("rotate/keyring", engine.OpWrite, (*System).rotateNow).Sudo().RootNamespace().Doc("Begin the next term of the keyring."),
		engine.Read("rotate/config", (*System).readRotateConfig).RootNamespace().Doc("Show when terms of the keyring end by themselves."),
		engine.Outside("rotate/config", engine.OpWrite, (*System).writeRotateConfig).RootNamespace().Doc("Say when terms of the keyring end by themselves."),
		engine.Read("key-status", (*System).keyStatus).TopLevel().RootNamespace().Doc("Show the term of the keyring."),
	}
}
