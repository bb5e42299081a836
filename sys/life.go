package sys

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/seal"
)

// Bare rows of storage.Core.
const (
	rowConfig  = "seal-config"
	rowRoot    = "root-key" // wrapped by the seal key
	rowKeyring = "keyring"  // wrapped by the root key
)

type initRequest struct {
	Shares            int      `json:"secret_shares" doc:"Number of shares of the seal key."`
	Threshold         int      `json:"secret_threshold" doc:"Number of shares needed to unseal."`
	PGPKeys           []string `json:"pgp_keys" doc:"Public keys to encrypt the shares to, one each."`
	RootPGPKey        string   `json:"root_token_pgp_key" doc:"Public key to encrypt the root token to."`
	StoredShares      int      `json:"stored_shares" doc:"Not used."`
	RecoveryShares    int      `json:"recovery_shares" doc:"For seals that unseal by themselves."`
	RecoveryThreshold int      `json:"recovery_threshold" doc:"For seals that unseal by themselves."`
	RecoveryPGPKeys   []string `json:"recovery_pgp_keys" doc:"For seals that unseal by themselves."`
}

// InitAnswer is what a new cluster's operator must keep.
type InitAnswer struct {
	Keys           []string `json:"keys"`
	KeysBase64     []string `json:"keys_base64"`
	Recovery       []string `json:"recovery_keys,omitempty"`
	RecoveryBase64 []string `json:"recovery_keys_base64,omitempty"`
	RootToken      string   `json:"root_token"`
}

// Initialized says whether the store holds a cluster.
func (s *System) Initialized(ctx context.Context) (bool, error) {
	c, err := s.sealConfig(ctx)
	return c != nil, err
}

// sealConfig is the seal of this node's cluster, also of one that it is joining.
func (s *System) sealConfig(ctx context.Context) (c *seal.Config, err error) {
	if s.Cluster != nil {
		if c := s.Cluster.Joining(); c != nil {
			return c, nil
		}
	}
	err = s.Store.View(ctx, func(tx *storage.Tx) error {
		c, err = storage.In[seal.Config](tx.In(storage.Core), "").Get(rowConfig)
		return err
	})
	return c, err
}

func (s *System) init(ctx context.Context, _ *engine.Caller, req initRequest) (*InitAnswer, error) {
	if is, err := s.Initialized(ctx); err != nil {
		return nil, err
	} else if is {
		return nil, engine.Bad("Vault is already initialized")
	}
	shares, threshold, keys := req.Shares, req.Threshold, req.PGPKeys
	other := given{{"recovery_shares", req.RecoveryShares != 0}, {"recovery_threshold", req.RecoveryThreshold != 0}, {"recovery_pgp_keys", len(req.RecoveryPGPKeys) > 0}}
	if s.Seals.Auto() {
		shares, threshold, keys = req.RecoveryShares, req.RecoveryThreshold, req.RecoveryPGPKeys
		other = given{{"secret_shares", req.Shares != 0}, {"secret_threshold", req.Threshold != 0}, {"pgp_keys", len(req.PGPKeys) > 0}}
	}
	if names := other.names(); names != "" {
		return nil, engine.Bad("parameters %s not applicable to seal type %s", names, s.Seals.Type())
	}
	return s.Init(ctx, shares, threshold, keys, req.RootPGPKey, s.Seals.Auto())
}

// given says which fields of a request are set.
type given []struct {
	name string
	set  bool
}

func (g given) names() string {
	var set []string
	for _, f := range g {
		if f.set {
			set = append(set, f.name)
		}
	}
	return strings.Join(set, ",")
}

// Init makes a new cluster. With a seal that opens by itself the shares are
// recovery keys, and the node is unsealed; otherwise it is left sealed.
func (s *System) Init(ctx context.Context, shares, threshold int, pgpKeys []string, rootPGPKey string, recovery bool) (*InitAnswer, error) {
	answer, err := s.initialize(ctx, shares, threshold, pgpKeys, rootPGPKey, recovery)
	if err != nil || !recovery {
		return answer, err
	}
	answer.Keys, answer.KeysBase64, answer.Recovery, answer.RecoveryBase64 = []string{}, []string{}, answer.Keys, answer.KeysBase64
	// The keys exist once, in this answer: an unseal that fails must not cost them.
	if err := s.AutoUnseal(ctx); err != nil {
		s.Logger.Error("the new cluster cannot be unsealed yet", "error", err)
	}
	s.turn()
	return answer, nil
}

func (s *System) initialize(ctx context.Context, shares, threshold int, pgpKeys []string, rootPGPKey string, recovery bool) (*InitAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is, err := s.Initialized(ctx); err != nil {
		return nil, err
	} else if is {
		return nil, engine.Bad("Vault is already initialized")
	}
	config := seal.Config{Type: s.Seals.Type(), Shares: shares, Threshold: threshold, PGPKeys: pgpKeys}
	switch err := config.Validate(); {
	case err != nil && recovery:
		return nil, engine.Bad("invalid recovery configuration: %s", err)
	case err != nil:
		return nil, engine.Bad("invalid seal configuration: %s", err)
	}
	sealKey := make([]byte, barrier.KeySize)
	if _, err := rand.Read(sealKey); err != nil {
		return nil, fmt.Errorf("draw seal key: %w", err)
	}
	defer clear(sealKey)
	rootKey, keyring, err := s.Barrier.Create()
	if err != nil {
		return nil, err
	}
	defer clear(rootKey)
	wrapped, err := barrier.WrapRoot(sealKey, rootKey)
	if err != nil {
		return nil, err
	}
	keepers, err := s.firstKeepers(ctx, &config, rootKey)
	if err != nil {
		return nil, err
	}
	answer, err := splitKey(sealKey, &config)
	if err != nil {
		return nil, err
	}
	if rootPGPKey != "" {
		// Tried before the cluster exists: later, its keys would be lost with
		// the answer.
		if _, _, err := seal.EncryptText(rootPGPKey, "a token"); err != nil {
			return nil, engine.Bad("root_token_pgp_key: %s", err)
		}
	}
	if err := s.Barrier.Unlock(rootKey, keyring); err != nil {
		return nil, err
	}
	defer s.lock()
	config.PGPKeys = nil
	_, err = s.Store.Update(ctx, func(tx *storage.Tx) error {
		core := tx.In(storage.Core)
		storage.In[seal.Config](core, "").Put(rowConfig, &config)
		core.Put(rowRoot, wrapped)
		if keepers != nil {
			keepers.put(tx)
		}
		if err := s.lead(tx, keyring); err != nil {
			return err
		}
		if err := s.proveShares(tx, wrapped); err != nil {
			return err
		}
		if err := s.found(tx); err != nil {
			return err
		}
		_, raw, err := s.Tokens.CreateRoot(tx, s.Settings.RootToken)
		answer.RootToken = raw
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("initialise: %w", err)
	}
	if rootPGPKey != "" {
		_, sealed, err := seal.EncryptText(rootPGPKey, answer.RootToken)
		if err != nil {
			return nil, fmt.Errorf("encrypt root token: %w", err)
		}
		answer.RootToken = base64.StdEncoding.EncodeToString(sealed)
	}
	return answer, nil
}

// firstKeepers gives a new root key to the seals that open by themselves, nil
// where there is none.
func (s *System) firstKeepers(ctx context.Context, config *seal.Config, root []byte) (*newKeepers, error) {
	if !s.Seals.Auto() {
		return nil, nil
	}
	made, err := s.Seals.Wrap(ctx, func(sealKey []byte) ([]byte, error) { return barrier.WrapRoot(sealKey, root) })
	if len(made) == 0 {
		return nil, engine.Status(http.StatusInternalServerError, "no seal can keep the root key, so nothing was initialized: %s", err)
	}
	if err != nil {
		s.Logger.Warn("a seal does not hold the root key yet: it will when it can be asked", "error", err)
	}
	kept := *config
	kept.PGPKeys = nil
	return &newKeepers{config: &kept, wraps: made}, nil
}

// found writes what every cluster begins with.
func (s *System) found(tx *storage.Tx) error {
	storage.In[cluster](tx.In(storage.System), "").Put("cluster", &cluster{Name: s.clusterName(), ID: uuid.NewString()})
	if err := s.Tokens.Init(tx); err != nil {
		return err
	}
	if err := s.foundNamespace(tx); err != nil {
		return err
	}
	if s.Seed != nil {
		return s.Seed(tx)
	}
	return nil
}

// foundNamespace writes what every namespace begins with.
func (s *System) foundNamespace(tx *storage.Tx) error {
	s.Policies.Init(tx)
	for _, e := range []mount.Entry{
		{Path: "sys/", Kind: engine.System, Type: "system", Description: "system endpoints used for control, policy and debugging", SealWrap: true,
			Config: mount.Config{PassthroughRequestHeaders: []string{"Accept"}}},
		{Path: "auth/token/", Kind: engine.System, Type: "token", Description: "token based credentials"},
		{Path: "cubbyhole/", Kind: engine.System, Type: "cubbyhole", Description: "per-token private secret storage", Local: true},
		{Path: "identity/", Kind: engine.System, Type: "identity", Description: "identity store",
			Config: mount.Config{PassthroughRequestHeaders: []string{"Authorization"}}},
	} {
		if s.Mounts.Type(e.Kind, e.Type, nil) == nil {
			continue
		}
		if _, err := s.Mounts.Enable(tx, e); err != nil {
			return fmt.Errorf("mount %s: %w", e.Path, err)
		}
	}
	return nil
}

// cluster is the row that names the cluster.
type cluster struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

func (s *System) clusterName() string {
	if s.Settings.ClusterName != "" {
		return s.Settings.ClusterName
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "vault-cluster-" + hex.EncodeToString(b[:])
}

// splitKey shares the seal key out, and encrypts the shares if keys are given.
func splitKey(key []byte, config *seal.Config) (*InitAnswer, error) {
	parts := [][]byte{key}
	if config.Shares > 1 {
		var err error
		if parts, err = seal.Split(key, config.Shares, config.Threshold, rand.Reader); err != nil {
			return nil, fmt.Errorf("split seal key: %w", err)
		}
		if err := provenSplit(key, parts, config.Threshold); err != nil {
			return nil, err
		}
	}
	if len(config.PGPKeys) > 0 {
		prints, sealed, err := seal.EncryptShares(config.PGPKeys, parts)
		if err != nil {
			return nil, engine.Bad("pgp_keys: %s", err)
		}
		config.PGPFingerprints, parts = prints, sealed
	}
	a := &InitAnswer{}
	for _, p := range parts {
		a.Keys = append(a.Keys, hex.EncodeToString(p))
		a.KeysBase64 = append(a.KeysBase64, base64.StdEncoding.EncodeToString(p))
	}
	return a, nil
}

// provenSplit puts shares together before anybody relies on them, in quorums of
// which every share is in one.
func provenSplit(key []byte, parts [][]byte, threshold int) error {
	for from := 0; from < len(parts); from += threshold {
		from = min(from, len(parts)-threshold)
		whole, err := seal.Combine(parts[from : from+threshold])
		if err != nil {
			return fmt.Errorf("put the new shares together: %w", err)
		}
		same := subtle.ConstantTimeCompare(whole, key) == 1
		clear(whole)
		if !same {
			return errors.New("the new shares do not give back the key that they were made of")
		}
	}
	return nil
}

// lead takes the barrier into a new leadership, with a data key of its own, in
// the transaction that stores the keyring with it.
func (s *System) lead(tx *storage.Tx, stored []byte) error {
	change, err := s.Barrier.NewLeadership(stored)
	if err != nil {
		return fmt.Errorf("begin leadership: %w", err)
	}
	tx.In(storage.Core).Put(rowKeyring, change.Sealed)
	return change.Install()
}

type unsealRequest struct {
	Key     string `json:"key" doc:"One share of the seal key, in hex or base64."`
	Reset   bool   `json:"reset" doc:"Drop the shares given so far."`
	Migrate bool   `json:"migrate" doc:"Agree to move the root key to the seals that are configured now."`
}

func (s *System) unsealStep(ctx context.Context, _ *engine.Caller, req unsealRequest) (*SealStatus, error) {
	switch {
	case req.Reset:
		s.mu.Lock()
		s.unseal.Clear()
		s.mu.Unlock()
		return s.Status(ctx)
	case req.Key == "":
		return nil, engine.Bad("'key' must be specified in request body as JSON, or 'reset' set to true")
	}
	share, err := seal.ParseShare(req.Key)
	if err != nil {
		return nil, engine.Bad("'key' must be a valid hex or base64 string")
	}
	if err := s.giveShare(ctx, share, req.Migrate); err != nil {
		return nil, err
	}
	return s.Status(ctx)
}

// Unseal takes one share; with the last one needed, the node is unsealed.
func (s *System) Unseal(ctx context.Context, share []byte) error {
	return s.giveShare(ctx, share, false)
}

// giveShare is Unseal, with leave to move the root key to other seals.
func (s *System) giveShare(ctx context.Context, share []byte, migrate bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	switch migrating, err := s.migrating(ctx, config); {
	case err != nil:
		return err
	case migrating && !migrate:
		return engine.Bad("'migrate' parameter must be set true in JSON body when in seal migration mode")
	case migrate && !migrating:
		return engine.Bad("'migrate' parameter set true in JSON body when not in seal migration mode")
	}
	if s.unseal.Progress().Required != config.Threshold {
		s.unseal = seal.NewCeremony(config.Threshold, uuid.NewString)
	}
	done, err := s.unseal.Add(share)
	if errors.Is(err, seal.ErrShareLength) {
		return engine.Bad("%s", err) // it says so itself
	}
	if err != nil {
		return engine.Bad("invalid key: %s", err)
	}
	if !done {
		return nil
	}
	key, err := s.unseal.Secret()
	s.unseal.Clear()
	if err != nil {
		return engine.Bad("invalid key: %s", err)
	}
	defer clear(key)
	if err := s.enter(ctx, key); err != nil {
		return err
	}
	root, envelope, err := s.rootKey(ctx, key)
	if err != nil {
		return err
	}
	defer clear(root)
	with := func(tx *storage.Tx) error { return s.proveShares(tx, envelope) }
	if migrate {
		keepers, err := s.migrate(ctx, config, root)
		if err != nil {
			return err
		}
		s.Logger.Info("the seal is being migrated", "from", config.Type, "to", keepers.config.Type)
		with = func(tx *storage.Tx) error {
			keepers.put(tx)
			return s.proveShares(tx, envelope)
		}
	}
	return s.open(ctx, root, with)
}

// open unlocks the barrier with the root key and begins a leadership, together
// with which with writes; it may be nil. The caller holds s.mu.
func (s *System) open(ctx context.Context, rootKey []byte, with func(*storage.Tx) error) error {
	var keyring []byte
	err := s.Store.View(ctx, func(tx *storage.Tx) (err error) {
		keyring, err = tx.In(storage.Core).Get(rowKeyring)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.Barrier.Unlock(rootKey, keyring); err != nil {
		if errors.Is(err, storage.ErrCorrupt) {
			return fmt.Errorf("the stored keyring is damaged: restore this node from a backup or from its peers: %w", err)
		}
		return fmt.Errorf("unlock barrier: %w", err)
	}
	if err := s.begin(ctx, with); err != nil {
		s.lock()
		return fmt.Errorf("unseal: %w", err)
	}
	s.byHand.Store(false)
	s.Logger.Info("unsealed")
	s.turn()
	return nil
}

// begin begins a leadership with the keys that are in memory, together with which
// with writes, and serves.
func (s *System) begin(ctx context.Context, with func(*storage.Tx) error) error {
	_, err := s.Store.Update(ctx, func(tx *storage.Tx) error {
		stored, err := tx.In(storage.Core).Get(rowKeyring)
		if err != nil {
			return err
		}
		if err := s.lead(tx, stored); err != nil {
			return err
		}
		if with != nil {
			if err := with(tx); err != nil {
				return err
			}
		}
		return s.noteVersion(tx)
	})
	if err == nil && s.Unsealed != nil {
		err = s.Unsealed(context.WithoutCancel(ctx))
	}
	if err != nil {
		return err
	}
	s.serving.Store(true)
	return nil
}

// enter completes the joining of a cluster, if this node has asked to join one.
func (s *System) enter(ctx context.Context, sealKey []byte) error {
	if s.Cluster == nil || s.Cluster.Joining() == nil {
		return nil
	}
	err := s.Cluster.Enter(ctx, sealKey)
	if errors.Is(err, barrier.ErrWrongKey) {
		return wrongKey()
	}
	if err != nil {
		return fmt.Errorf("join the cluster: %w", err)
	}
	return nil
}

// rootKey unwraps the root key by the key of the shares, and returns it with
// its envelope. A key that does not is the caller's error.
func (s *System) rootKey(ctx context.Context, sealKey []byte) (root, wrapped []byte, err error) {
	err = s.Store.View(ctx, func(tx *storage.Tx) error {
		wrapped, err = tx.In(storage.Core).Get(rowRoot)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if len(sealKey) != barrier.KeySize {
		return nil, nil, wrongKey()
	}
	root, err = barrier.UnwrapRoot(sealKey, wrapped)
	if errors.Is(err, barrier.ErrWrongKey) {
		return nil, nil, wrongKey()
	}
	return root, wrapped, err
}

func wrongKey() error {
	return engine.Bad("unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: cipher: message authentication failed")
}

// Serving says whether requests may be answered. While a node initialises or
// unseals it has keys already, but no audit devices yet.
func (s *System) Serving() bool { return s.serving.Load() }

// Seal drops the keys.
func (s *System) Seal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Barrier.Sealed() {
		return
	}
	s.serving.Store(false)
	if s.Sealing != nil {
		s.Sealing()
	}
	s.lock()
	s.Logger.Info("sealed")
	s.turn()
}

func (s *System) lock() {
	s.dropCeremonies()
	s.Barrier.Lock()
	s.Store.Forget()
	s.Mounts.Drop()
	s.Policies.Drop()
	if s.Limits != nil {
		s.Limits.Drop()
	}
}

// sealNow seals for who was asked for a token. Nobody is while the node is
// sealed, and then there is nothing to do.
func (s *System) sealNow(_ context.Context, who *engine.Caller, _ engine.None) (engine.None, error) {
	if who.TokenID != "" {
		s.byHand.Store(true)
		s.Seal()
	}
	return engine.None{}, nil
}

// SealStatus is the answer of sys/seal-status and sys/unseal.
type SealStatus struct {
	Type            string `json:"type"`
	Initialized     bool   `json:"initialized"`
	Sealed          bool   `json:"sealed"`
	Threshold       int    `json:"t"`
	Shares          int    `json:"n"`
	Progress        int    `json:"progress"`
	Nonce           string `json:"nonce"`
	Version         string `json:"version"`
	BuildDate       string `json:"build_date"`
	Migration       bool   `json:"migration"`
	ClusterName     string `json:"cluster_name,omitempty"`
	ClusterID       string `json:"cluster_id,omitempty"`
	RecoverySeal    bool   `json:"recovery_seal"`
	RecoveryType    string `json:"recovery_seal_type,omitempty"`
	StorageType     string `json:"storage_type"`
	Removed         *bool  `json:"removed_from_cluster,omitempty"` // from a cluster with a log
	FastnessVersion string `json:"fastness_version"`
}

// Status says how the seal stands.
func (s *System) Status(ctx context.Context) (*SealStatus, error) {
	a := &SealStatus{Type: s.Seals.Type(), Sealed: !s.Serving(), Version: s.Settings.Version, BuildDate: s.Settings.BuildDate,
		StorageType: s.Settings.StorageType, FastnessVersion: s.Settings.FastnessVersion}
	if s.Cluster != nil && s.Cluster.Standing().Removed {
		a.Removed = new(true)
	}
	config, err := s.sealConfig(ctx)
	if err != nil {
		return nil, err
	}
	if config != nil {
		a.Type = config.Type
	}
	if a.Type != seal.Shamir {
		a.RecoverySeal, a.RecoveryType = true, seal.Shamir
	}
	if config == nil {
		return a, nil
	}
	a.Initialized, a.Threshold, a.Shares = true, config.Threshold, config.Shares
	if a.Migration, err = s.migrating(ctx, config); err != nil {
		return nil, err
	}
	if a.Sealed {
		s.mu.Lock()
		p := s.unseal.Progress()
		s.mu.Unlock()
		a.Progress, a.Nonce = p.Progress, p.Nonce
		return a, nil
	}
	c, err := s.cluster(ctx)
	if err == nil && c != nil {
		a.ClusterName, a.ClusterID = c.Name, c.ID
	}
	return a, err
}

func (s *System) cluster(ctx context.Context) (c *cluster, err error) {
	err = s.Store.View(ctx, func(tx *storage.Tx) error {
		c, err = storage.In[cluster](tx.In(storage.System), "").Get("cluster")
		return err
	})
	return c, err
}

func (s *System) sealStatus(v engine.View, _ engine.None) (*SealStatus, error) {
	return s.Status(v.Context())
}

func (s *System) initStatus(v engine.View, _ engine.None) (json.RawMessage, error) {
	is, err := s.Initialized(v.Context())
	return json.RawMessage(fmt.Sprintf(`{"initialized":%t}`, is)), err
}

func lifeRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Read("init", (*System).initStatus).Public().Bare().Quiet().WhileSealed().RootNamespace().Doc("Say whether the cluster is initialised."),
		engine.Outside("init", engine.OpWrite, (*System).init).OnThisNode().Public().Bare().Quiet().WhileSealed().RootNamespace().Doc("Initialise the cluster."),
		engine.Read("seal-status", (*System).sealStatus).Public().Bare().Quiet().WhileSealed().RootNamespace().Doc("Say how the seal stands."),
		engine.Read("seal-backend-status", (*System).sealBackends).Public().Bare().Quiet().RootNamespace().Doc("Say how the keepers of the root key passed their last self-test."),
		engine.Outside("unseal", engine.OpWrite, (*System).unsealStep).OnThisNode().Public().Bare().Quiet().WhileSealed().RootNamespace().Doc("Give one share of the seal key."),
		engine.Outside("seal", engine.OpWrite, (*System).sealNow).OnThisNode().Sudo().WhileSealed().RootNamespace().Doc("Seal the node."),
		engine.Outside("step-down", engine.OpWrite, (*System).stepDown).Sudo().RootNamespace().Doc("Give up being the active node."),
		engine.Read("health", (*System).health).Public().Bare().Quiet().WhileSealed().RootNamespace().Doc("Say how the node is, by status code."),
		engine.Read("leader", (*System).leader).Public().Bare().Quiet().WhileSealed().RootNamespace().Doc("Name the active node."),
	}
}
