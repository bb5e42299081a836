package sys

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/seal"
)

// The root key lies in the store once for each of its keepers: under the key
// of the shares (rowRoot) and under a key of each seal that opens by itself
// (rowWraps). With such a seal the shares are called recovery keys, and unseal
// all the same: when every key service is gone, people still open the store.

// rowWraps is a bare row of storage.Core: a seal.Wraps.
const rowWraps = "seal-wraps"

// How often TendSeals wants to be called.
const (
	tendSealed  = time.Second      // doubled after each failure
	tendAtMost  = time.Minute      // while sealed, or while a seal fails
	tendHealthy = 10 * time.Minute // the self-test of seals that work
	tendIdle    = 5 * time.Second  // there is nothing to open yet, or nobody to do it
)

// errMigrating says that people must agree before the keepers change.
var errMigrating = errors.New("the configuration asks for another seal than this cluster has: give a quorum of key shares with \"fastness operator unseal -migrate\", or put the old configuration back")

// wraps returns the row of the wraps, empty where there is none.
func (s *System) wraps(ctx context.Context) (w *seal.Wraps, err error) {
	err = s.Store.View(ctx, func(tx *storage.Tx) error {
		w, err = storage.In[seal.Wraps](tx.In(storage.Core), "").Get(rowWraps)
		return err
	})
	if err == nil && w == nil {
		w = &seal.Wraps{}
	}
	return w, err
}

// migrating says whether the configured seals are others than the cluster's.
func (s *System) migrating(ctx context.Context, config *seal.Config) (bool, error) {
	if !s.Seals.Configured() {
		return false, nil
	}
	w, err := s.wraps(ctx)
	if err != nil {
		return false, err
	}
	return s.Seals.Migrating(config.Type, w.List), nil
}

// AutoUnseal opens the node by the first seal that can. It does nothing while
// the node is unsealed. The error names what is wrong with each seal.
func (s *System) AutoUnseal(ctx context.Context) error {
	if !s.Barrier.Sealed() {
		return nil
	}
	config, err := s.sealConfig(ctx)
	if err != nil {
		return err
	}
	if config == nil {
		return engine.Status(http.StatusBadRequest, "Vault is not initialized")
	}
	w, err := s.wraps(ctx)
	if err != nil {
		return err
	}
	if s.Seals.Migrating(config.Type, w.List) {
		return errMigrating
	}
	// Services are asked without s.mu: shares may be given meanwhile.
	var root []byte
	defer func() { clear(root) }()
	err = s.Seals.Open(ctx, w.List, func(sealKey, wrapped []byte) error {
		root, err = barrier.UnwrapRoot(sealKey, wrapped)
		if errors.Is(err, barrier.ErrWrongKey) {
			return errors.New("it gave back a key that does not open the root key: the seal is configured for another cluster, or its key was replaced")
		}
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Barrier.Sealed() {
		return nil
	}
	return s.open(ctx, root, nil)
}

// KeepUnsealed unseals the node as soon as a seal can, and tests the seals for
// as long as ctx lasts. A node that was sealed by hand stays sealed until it
// is unsealed by hand or started anew.
func (s *System) KeepUnsealed(ctx context.Context) {
	if !s.Seals.Configured() {
		return
	}
	for {
		next := s.TendSeals(ctx)
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.turned:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// turn tells KeepUnsealed that the node was initialised, sealed or unsealed.
func (s *System) turn() {
	select {
	case s.turned <- struct{}{}:
	default:
	}
}

// TendSeals does one step of KeepUnsealed and says when the next is due. Calls
// come one after the other.
func (s *System) TendSeals(ctx context.Context) time.Duration {
	if !s.Barrier.Sealed() {
		return s.testSeals(ctx)
	}
	s.tend.renewed = false
	if s.byHand.Load() || s.Cluster != nil && s.Cluster.Joining() != nil {
		return tendIdle // people give the shares
	}
	config, err := s.sealConfig(ctx)
	switch {
	case err != nil:
		return s.unsealLater(ctx, err)
	case config == nil:
		return tendIdle
	case !s.Seals.Auto() && config.Type == seal.Shamir:
		return tendIdle
	}
	if err := s.AutoUnseal(ctx); err != nil {
		return s.unsealLater(ctx, err)
	}
	s.tend.wait = 0
	return s.testSeals(ctx)
}

// tend is what TendSeals remembers.
type tend struct {
	wait    time.Duration // after the last failure
	told    string        // and what it was: the same is not told each time
	renewed bool          // the wraps were made anew since the node was unsealed
}

func (s *System) unsealLater(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return tendIdle
	}
	s.tend.wait = min(max(2*s.tend.wait, tendSealed), tendAtMost)
	if errors.Is(err, errMigrating) {
		s.tend.wait = tendIdle
	}
	if text := err.Error(); text != s.tend.told {
		s.tend.told = text
		s.Logger.Error("cannot unseal by itself: the node stays sealed and tries again; recovery keys open it too", "error", text, "again_in", s.tend.wait.String())
	}
	return s.tend.wait
}

// testSeals is the self-test: does every keeper give back the root key in use?
// The active node also gives the root key to seals that lack it.
func (s *System) testSeals(ctx context.Context) time.Duration {
	s.tend.told = ""
	healthy, err := s.reviewSeals(ctx)
	switch {
	case ctx.Err() != nil || errors.Is(err, storage.ErrSealed):
		return tendIdle
	case err != nil:
		s.Logger.Error("the self-test of the seals could not be done", "error", err)
		return tendAtMost
	case !healthy:
		return tendAtMost
	}
	return tendHealthy
}

func (s *System) reviewSeals(ctx context.Context) (healthy bool, err error) {
	config, err := s.sealConfig(ctx)
	if err != nil || config == nil {
		return err == nil, err
	}
	w, err := s.wraps(ctx)
	if err != nil {
		return false, err
	}
	healthy = s.testShares(ctx)
	if !s.Seals.Auto() || s.Seals.Migrating(config.Type, w.List) {
		return healthy, nil
	}
	renew := s.Barrier.Leading() && !s.tend.renewed
	next, differ, verdicts := s.Seals.Review(ctx, w.List, renew, s.Barrier.CheckWrapped, s.Barrier.WrapRootInUse)
	for _, v := range verdicts {
		healthy = healthy && v.Err == nil
		switch {
		case !v.Changed:
		case v.Err == nil:
			s.Logger.Info("a seal holds the root key again", "seal", v.Name)
		default:
			s.Logger.Warn("a seal failed its self-test: the node goes on, and other seals and the recovery keys still open it", "seal", v.Name, "error", v.Err)
		}
	}
	s.tend.renewed = s.tend.renewed || renew && healthy
	if !s.Barrier.Leading() || !differ && config.Type == s.Seals.Type() {
		return healthy, nil
	}
	return healthy, s.storeWraps(ctx, w, next)
}

// storeWraps replaces the wraps, unless somebody else has meanwhile.
func (s *System) storeWraps(ctx context.Context, old *seal.Wraps, next []seal.Wrap) error {
	stored := false
	_, err := s.Store.Update(ctx, func(tx *storage.Tx) error {
		stored = false
		core := tx.In(storage.Core)
		rows, configs := storage.In[seal.Wraps](core, ""), storage.In[seal.Config](core, "")
		now, err := rows.Get(rowWraps)
		if err != nil {
			return err
		}
		config, err := configs.Get(rowConfig)
		if err != nil || config == nil {
			return err
		}
		if now != nil && !sameWraps(now.List, old.List) {
			return nil
		}
		rows.Put(rowWraps, &seal.Wraps{List: next})
		config.Type = s.Seals.Type()
		configs.Put(rowConfig, config)
		stored = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the root key under its seals: %w", err)
	}
	if stored {
		s.Logger.Info("the root key was sealed anew", "seals", len(next))
	}
	return nil
}

func sameWraps(a, b []seal.Wrap) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || !a[i].Made.Equal(b[i].Made) {
			return false
		}
	}
	return true
}

// newKeepers are the rows of a cluster whose seal was migrated. The caller
// holds s.mu.
type newKeepers struct {
	config *seal.Config
	wraps  []seal.Wrap
}

// migrate gives the root key to the seals that are configured now. Nothing is
// stored yet. At least one of them must take it, unless only shares are left.
func (s *System) migrate(ctx context.Context, config *seal.Config, root []byte) (*newKeepers, error) {
	to := *config
	to.Type = s.Seals.Type()
	made, err := s.Seals.Wrap(ctx, func(sealKey []byte) ([]byte, error) { return barrier.WrapRoot(sealKey, root) })
	if s.Seals.Auto() && len(made) == 0 {
		return nil, engine.Status(http.StatusInternalServerError, "seal migration: nothing was changed, since the new seal cannot keep the root key: %s", err)
	}
	if err != nil {
		s.Logger.Warn("a seal does not hold the root key yet: it will when it can be asked", "error", err)
	}
	return &newKeepers{config: &to, wraps: made}, nil
}

func (k *newKeepers) put(tx *storage.Tx) {
	core := tx.In(storage.Core)
	storage.In[seal.Config](core, "").Put(rowConfig, k.config)
	storage.In[seal.Wraps](core, "").Put(rowWraps, &seal.Wraps{List: k.wraps})
}
