package sys

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
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
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

// A house is a store with a node on it that can be started anew, each time with
// other seals in its configuration.
type house struct {
	t     *testing.T
	sys   *System
	store *storage.Store
	bar   *barrier.Barrier
	log   bytes.Buffer
	keys  []string // hex
}

func newHouse(t *testing.T, seals ...*seal.Member) *house {
	t.Helper()
	h := &house{t: t, bar: barrier.New()}
	var err error
	h.store, err = storage.Open(storage.Options{State: kv.NewMemory(), Log: raft.NewMemory(), Sealer: h.bar, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.store.Close() })
	h.restart(seals...)
	return h
}

// restart begins a new life of the node, without opening it.
func (h *house) restart(seals ...*seal.Member) {
	h.t.Helper()
	if h.sys != nil {
		h.sys.Seal()
	}
	tokens := token.New(token.Options{Barrier: h.bar, Now: time.Now})
	s := New(&System{Store: h.store, Barrier: h.bar, Policies: policy.NewStore(), Tokens: tokens, Leases: &lease.Store{Tokens: tokens, Now: time.Now},
		Audit: audit.NewBroker(nil), Logger: slog.New(slog.NewTextHandler(&h.log, nil)), Seals: seal.NewSet(seals, nil)})
	s.Mounts = mount.New([]engine.Type{s.Type(), tokens.Type(), cubbyhole.Type()}, time.Hour, time.Hour)
	s.Unsealed = s.LoadAudit
	h.sys = s
}

func (h *house) init(req initRequest) *InitAnswer {
	h.t.Helper()
	made, err := h.sys.init(context.Background(), nil, req)
	if err != nil {
		h.t.Fatal(err)
	}
	h.keys = made.Recovery
	if h.keys == nil {
		h.keys = made.Keys
	}
	return made
}

func recovery(shares, threshold int) initRequest {
	return initRequest{RecoveryShares: shares, RecoveryThreshold: threshold}
}

// give gives shares to unseal.
func (h *house) give(migrate bool, keys ...string) error {
	for _, key := range keys {
		if _, err := h.sys.unsealStep(context.Background(), nil, unsealRequest{Key: key, Migrate: migrate}); err != nil {
			return err
		}
	}
	return nil
}

func (h *house) tend() time.Duration { return h.sys.TendSeals(context.Background()) }

func (h *house) status() *SealStatus {
	h.t.Helper()
	a, err := h.sys.Status(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *house) mustBe(sealed bool) {
	h.t.Helper()
	if h.status().Sealed != sealed {
		h.t.Fatalf("sealed is %t; the log:\n%s", !sealed, h.log.String())
	}
}

// told checks that the log holds a line, and begins it anew.
func (h *house) told(line string) {
	h.t.Helper()
	if !strings.Contains(h.log.String(), line) {
		h.t.Fatalf("the log lacks %q:\n%s", line, h.log.String())
	}
	h.log.Reset()
}

// health is one line for each keeper.
func (h *house) health() string {
	var b strings.Builder
	for _, k := range h.sys.Seals.Health() {
		b.WriteString(k.Name)
		if k.Wrapped {
			b.WriteString(" holds it")
		}
		if !k.Healthy {
			b.WriteString(" SICK: " + k.Reason)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (h *house) mustHealth(want string) {
	h.t.Helper()
	if got := h.health(); got != want {
		h.t.Fatalf("health is\n%swant\n%s", got, want)
	}
}

func TestASealOpensTheNodeAndTheSharesAreRecoveryKeys(t *testing.T) {
	kms := sealtest.New("kms")
	h := newHouse(t, kms.Member(0))
	if a := h.status(); !a.RecoverySeal || a.Type != "test" || a.Initialized || a.RecoveryType != "shamir" {
		t.Fatalf("before init: %+v", a)
	}
	h.tend() // nothing to open yet
	for _, c := range []struct {
		req  initRequest
		want string
	}{
		{initRequest{Shares: 3, Threshold: 2}, "parameters secret_shares,secret_threshold not applicable to seal type test"},
		{initRequest{RecoveryShares: 3, RecoveryThreshold: 2, PGPKeys: []string{"k"}}, "parameters pgp_keys not applicable to seal type test"},
		{recovery(3, 4), "invalid recovery configuration: threshold cannot be larger than shares"},
		{initRequest{}, "invalid recovery configuration: shares must be at least one"},
	} {
		if _, err := h.sys.init(context.Background(), nil, c.req); refused(t, err) != c.want {
			t.Fatalf("got %v, want %s", err, c.want)
		}
	}
	made := h.init(recovery(3, 2))
	if len(made.Recovery) != 3 || len(made.RecoveryBase64) != 3 || len(made.Keys) != 0 || made.Keys == nil || made.RootToken == "" {
		t.Fatalf("got %+v", made)
	}
	h.mustBe(false)
	if a := h.status(); !a.RecoverySeal || a.Type != "test" || a.Shares != 3 || a.Threshold != 2 || a.Migration {
		t.Fatalf("after init: %+v", a)
	}
	h.restart(kms.Member(0))
	h.mustBe(true)
	if wait := h.tend(); wait != tendHealthy {
		t.Fatalf("the next test is in %s", wait)
	}
	h.mustBe(false)
	h.mustHealth("kms holds it\nshares holds it\n")
}

func TestANodeThatWasSealedByHandStaysSealed(t *testing.T) {
	kms := sealtest.New("kms")
	h := newHouse(t, kms.Member(0))
	h.init(recovery(1, 1))
	if _, err := h.sys.sealNow(context.Background(), &engine.Caller{TokenID: "somebody"}, engine.None{}); err != nil {
		t.Fatal(err)
	}
	h.tend()
	h.mustBe(true)
	if err := h.give(false, h.keys[0]); err != nil {
		t.Fatal(err)
	}
	h.mustBe(false)
	h.sys.Seal() // as a storage that fails does
	h.tend()
	h.mustBe(false)
}

func TestRecoveryKeysUnsealWhenTheServiceIsGone(t *testing.T) {
	kms := sealtest.New("kms")
	h := newHouse(t, kms.Member(0))
	h.init(recovery(3, 2))
	h.restart(kms.Member(0))
	kms.Away(true)
	if first, second := h.tend(), h.tend(); first != time.Second || second != 2*time.Second {
		t.Fatalf("tries again after %s and %s", first, second)
	}
	if n := strings.Count(h.log.String(), "cannot unseal by itself"); n != 1 {
		t.Fatalf("told %d times:\n%s", n, h.log.String())
	}
	h.told("the service does not answer")
	h.mustBe(true)
	if err := h.give(false, h.keys[0], h.keys[2]); err != nil {
		t.Fatal(err)
	}
	h.mustBe(false)
	if wait := h.tend(); wait != tendAtMost {
		t.Fatalf("a sick seal is tested again in %s", wait)
	}
	h.mustHealth("kms holds it SICK: the service does not answer\nshares holds it\n")
	h.told("a seal failed its self-test")
	h.mustBe(false)

	kms.Away(false)
	h.tend()
	h.told("a seal holds the root key again")
	h.mustHealth("kms holds it\nshares holds it\n")
}

func TestAServiceThatGoesAwayStopsNobody(t *testing.T) {
	kms := sealtest.New("kms")
	h := newHouse(t, kms.Member(0))
	h.init(recovery(1, 1))
	h.tend()
	kms.Away(true)
	for range 3 {
		h.tend()
	}
	h.mustBe(false)
	if n := strings.Count(h.log.String(), "failed its self-test"); n != 1 {
		t.Fatalf("told %d times:\n%s", n, h.log.String())
	}
	if err := h.sys.Rotate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestAServiceThatLostItsKeyIsGivenTheRootKeyAgain(t *testing.T) {
	kms := sealtest.New("kms")
	h := newHouse(t, kms.Member(0))
	h.init(recovery(1, 1))
	h.restart(kms.Member(0))
	kms.Forget()
	h.tend()
	h.mustBe(true)
	h.told("it was sealed by another key")
	if err := h.give(false, h.keys[0]); err != nil {
		t.Fatal(err)
	}
	h.tend()
	h.told("the root key was sealed anew")
	h.restart(kms.Member(0))
	h.tend()
	h.mustBe(false)
}

func TestASealOfAnotherClusterIsToldApart(t *testing.T) {
	kms := sealtest.New("kms")
	h := newHouse(t, kms.Member(0))
	h.init(recovery(1, 1))
	// The service decrypts, but what it gives back is not what it was given.
	h.restart(&seal.Member{Name: "kms", Wrapper: mixedUp{kms}})
	h.tend()
	h.mustBe(true)
	h.told("the seal is configured for another cluster, or its key was replaced")
}

type mixedUp struct{ *sealtest.Service }

func (mixedUp) Decrypt(context.Context, seal.Blob) ([]byte, error) { return make([]byte, 32), nil }

func TestOfTwoSealsEitherOpens(t *testing.T) {
	first, second := sealtest.New("first"), sealtest.New("second")
	both := func() []*seal.Member { return []*seal.Member{second.Member(2), first.Member(1)} }
	h := newHouse(t, both()...)
	second.Away(true)
	h.init(recovery(1, 1))
	h.told("a seal does not hold the root key yet")
	h.tend()
	h.mustHealth("first holds it\nsecond SICK: it does not hold the root key yet: the service does not answer\nshares holds it\n")

	second.Away(false)
	h.tend()
	h.told("the root key was sealed anew")
	h.mustHealth("first holds it\nsecond holds it\nshares holds it\n")

	first.Away(true)
	h.restart(both()...)
	h.tend()
	h.mustBe(false)

	// Taking the first out of the configuration takes its wrap out of the store.
	h.restart(second.Member(1))
	h.tend()
	h.mustBe(false)
	first.Away(false)
	h.restart(first.Member(1))
	h.tend()
	h.mustBe(true)
	h.told("the root key was never sealed by it")
}

func TestAWrapIsKeptUntilAllOthersAreThere(t *testing.T) {
	old, fresh := sealtest.New("old"), sealtest.New("fresh")
	h := newHouse(t, old.Member(1))
	h.init(recovery(1, 1))
	fresh.Away(true)
	h.restart(fresh.Member(1))
	h.tend()
	if err := h.give(false, h.keys[0]); err != nil {
		t.Fatal(err)
	}
	h.tend()
	h.restart(old.Member(1))
	h.tend()
	h.mustBe(false)
}

func TestANewVersionOfTheKeySealsAnew(t *testing.T) {
	kms := sealtest.New("kms")
	h := newHouse(t, kms.Member(0))
	h.init(recovery(1, 1))
	h.tend()
	h.restart(kms.Member(0))
	h.log.Reset()
	h.tend()
	if strings.Contains(h.log.String(), "sealed anew") {
		t.Fatal("nothing was to be gained by a new wrap")
	}
	kms.Rotate()
	h.restart(kms.Member(0))
	h.tend()
	h.told("the root key was sealed anew")
	h.log.Reset()
	h.tend()
	if strings.Contains(h.log.String(), "sealed anew") {
		t.Fatal("it was sealed anew twice")
	}
}

func TestSharesMoveToASealAndBack(t *testing.T) {
	h := newHouse(t)
	h.init(initRequest{Shares: 3, Threshold: 2})
	if err := h.give(false, h.keys[:2]...); err != nil {
		t.Fatal(err)
	}
	if err := func() error { h.restart(); return h.give(true, h.keys[0]) }(); refused(t, err) != "'migrate' parameter set true in JSON body when not in seal migration mode" {
		t.Fatal(err)
	}

	kms := sealtest.New("kms")
	h.restart(kms.Member(0))
	h.tend()
	h.mustBe(true)
	h.told("operator unseal -migrate")
	if a := h.status(); !a.Migration || a.Type != "shamir" || a.RecoverySeal {
		t.Fatalf("got %+v", a)
	}
	if err := h.give(false, h.keys[0]); refused(t, err) != "'migrate' parameter must be set true in JSON body when in seal migration mode" {
		t.Fatal(err)
	}
	kms.Away(true)
	if err := h.give(true, h.keys[:2]...); !strings.Contains(refused(t, err), "nothing was changed") {
		t.Fatal(err)
	}
	h.mustBe(true)
	kms.Away(false)
	if err := h.give(true, h.keys[:2]...); err != nil {
		t.Fatal(err)
	}
	h.mustBe(false)
	if a := h.status(); a.Migration || a.Type != "test" || !a.RecoverySeal {
		t.Fatalf("got %+v", a)
	}
	h.restart(kms.Member(0))
	h.tend()
	h.mustBe(false)

	// Back: the stanza stays, disabled, and the service is not even asked.
	kms.Away(true)
	h.restart(kms.Leaving())
	h.tend()
	if a := h.status(); !a.Sealed || !a.Migration {
		t.Fatalf("got %+v", a)
	}
	if err := h.give(true, h.keys[1:]...); err != nil {
		t.Fatal(err)
	}
	h.restart()
	if a := h.status(); a.Type != "shamir" || a.RecoverySeal || a.Migration {
		t.Fatalf("got %+v", a)
	}
	if err := h.give(false, h.keys[:2]...); err != nil {
		t.Fatal(err)
	}
	h.mustBe(false)
	kms.Away(false)
	if w, err := h.sys.wraps(context.Background()); err != nil || len(w.List) != 0 {
		t.Fatalf("the service still holds the root key: %+v, %v", w, err)
	}
}

func TestOneSealMovesToAnotherOfTheSameName(t *testing.T) {
	old, fresh := sealtest.New("a"), sealtest.New("b")
	named := func(m *seal.Member) *seal.Member { m.Name = "kms"; return m }
	h := newHouse(t, named(old.Member(0)))
	h.init(recovery(1, 1))
	both := func() { h.restart(named(old.Leaving()), named(fresh.Member(0))) }
	both()
	h.tend()
	if a := h.status(); !a.Sealed || !a.Migration {
		t.Fatalf("got %+v", a)
	}
	if err := h.give(true, h.keys[0]); err != nil {
		t.Fatal(err)
	}
	both() // with the old stanza still there
	h.tend()
	h.mustBe(false)
	if h.status().Migration {
		t.Fatal("the migration is over")
	}
	h.restart(named(old.Member(0)))
	h.tend()
	h.mustBe(true)
}

func TestRecoveryKeysAreReplacedAndMakeRootTokens(t *testing.T) {
	kms, ctx, who := sealtest.New("kms"), context.Background(), &engine.Caller{}
	h := newHouse(t, kms.Member(0))
	h.init(recovery(1, 1))
	barrierKeys := forTarget(false, (*System).startRekey)
	if _, err := barrierKeys(h.sys, ctx, who, rekeyRequest{Shares: 1, Threshold: 1}); !strings.Contains(refused(t, err), "sys/rekey-recovery-key/init") {
		t.Fatal(err)
	}
	start, update := forTarget(true, (*System).startRekey), forTarget(true, (*System).updateRekey)
	started, err := start(h.sys, ctx, who, rekeyRequest{Shares: 3, Threshold: 2})
	if err != nil {
		t.Fatal(err)
	}
	a, err := update(h.sys, ctx, who, shareRequest{Key: h.keys[0], Nonce: started.Nonce})
	if err != nil {
		t.Fatal(err)
	}
	fresh := a.Data.(*rekeyDone).Keys
	if a := h.status(); a.Type != "test" || a.Shares != 3 {
		t.Fatalf("got %+v", a)
	}
	attempt, err := h.sys.startRootAttempt(ctx, who, rootAttemptRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var done *rootStatus
	for _, key := range fresh[:2] {
		if done, err = h.sys.updateRootAttempt(ctx, who, shareRequest{Key: key, Nonce: attempt.Nonce}); err != nil {
			t.Fatal(err)
		}
	}
	if token, err := seal.DecodeToken(done.EncodedToken, attempt.OTP); err != nil || !strings.HasPrefix(token, "hvs.") {
		t.Fatalf("got %q, %v", token, err)
	}
	h.tend()
	h.mustHealth("kms holds it\nshares holds it\n")
	kms.Away(true)
	h.restart(kms.Member(0))
	if err := h.give(false, fresh[1:]...); err != nil {
		t.Fatal(err)
	}
	h.mustBe(false)
}

func TestThereAreNoRecoveryKeysWithoutASeal(t *testing.T) {
	h := newHouse(t)
	if _, err := h.sys.init(context.Background(), nil, recovery(3, 2)); refused(t, err) != "parameters recovery_shares,recovery_threshold not applicable to seal type shamir" {
		t.Fatal(err)
	}
	h.init(initRequest{Shares: 1, Threshold: 1})
	if err := h.give(false, h.keys[0]); err != nil {
		t.Fatal(err)
	}
	start := forTarget(true, (*System).startRekey)
	if _, err := start(h.sys, context.Background(), &engine.Caller{}, rekeyRequest{Shares: 1, Threshold: 1}); !strings.Contains(refused(t, err), "recovery rekeying not supported") {
		t.Fatal(err)
	}
}

func TestNothingIsInitializedThatNoSealKeeps(t *testing.T) {
	kms := sealtest.New("kms")
	kms.Away(true)
	h := newHouse(t, kms.Member(0))
	if _, err := h.sys.init(context.Background(), nil, recovery(1, 1)); !strings.Contains(refused(t, err), "nothing was initialized: seal \"kms\": the service does not answer") {
		t.Fatal(err)
	}
	if h.status().Initialized {
		t.Fatal("there is half a cluster")
	}
	kms.Away(false)
	h.init(recovery(1, 1))
}

// The self-test finds shares that would not open the root key, while there is
// still a node that can make new ones.
func TestSharesThatWouldNotOpenAreFound(t *testing.T) {
	kms, ctx := sealtest.New("kms"), context.Background()
	h := newHouse(t, kms.Member(0))
	h.init(recovery(1, 1))
	h.tend()
	change := func(to []byte) {
		t.Helper()
		if _, err := h.store.Update(ctx, func(tx *storage.Tx) error { tx.In(storage.Core).Put(rowRoot, to); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	var envelope []byte
	if err := h.store.View(ctx, func(tx *storage.Tx) (err error) { envelope, err = tx.In(storage.Core).Get(rowRoot); return err }); err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(envelope)
	damaged[len(damaged)/2] ^= 1
	change(damaged)
	h.tend()
	h.mustHealth("kms holds it\nshares holds it SICK: " + errEnvelope.Error() + "\n")
	h.told("the key shares failed their self-test")
	change(envelope)
	h.tend()
	h.told("the key shares hold the root key again")

	// An envelope of another root key, made by who knows the shares' key.
	key, err := hex.DecodeString(h.keys[0])
	if err != nil {
		t.Fatal(err)
	}
	other, err := barrier.WrapRoot(key, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	change(other)
	h.tend()
	h.mustHealth("kms holds it\nshares holds it SICK: " + errEnvelope.Error() + "\n")
}

// A node that is sealed while its seals are tested says nothing against them.
func TestSealingDuringTheSelfTestIsNoSickness(t *testing.T) {
	kms := sealtest.New("kms")
	h := newHouse(t, kms.Member(0))
	h.init(recovery(1, 1))
	h.tend()
	h.sys.Seals = seal.NewSet([]*seal.Member{{Name: "kms", Wrapper: sealing{kms, h}}}, nil)
	h.log.Reset()
	h.tend()
	if strings.Contains(h.log.String(), "failed its self-test") || strings.Contains(h.health(), "kms") {
		t.Fatalf("%s%s", h.log.String(), h.health())
	}
}

// A sealing service seals the node that asks it.
type sealing struct {
	*sealtest.Service
	house *house
}

func (s sealing) Decrypt(ctx context.Context, b seal.Blob) ([]byte, error) {
	s.house.sys.Seal()
	return s.Service.Decrypt(ctx, b)
}
