package barrier

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// A cluster is what nodes share: the stored keyring and the root key.
type cluster struct {
	t       testing.TB
	root    []byte
	keyring []byte
	now     time.Time
}

type fatal interface{ Fatal(...any) }

func must[T any](t fatal) func(T, error) T {
	return func(v T, err error) T {
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	var err error
	c.root, c.keyring, err = New(WithClock(c.clock)).Create()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) clock() time.Time { return c.now }

// node starts a node and unlocks it.
func (c *cluster) node() *Barrier {
	b := New(WithClock(c.clock))
	if err := b.Unlock(c.root, c.keyring); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// leader starts a node that has a data key of its own.
func (c *cluster) leader() *Barrier {
	b := c.node()
	c.commit(b.NewLeadership(c.keyring))
	return b
}

// commit stores a change and installs it.
func (c *cluster) commit(change *Change, err error) {
	if err != nil {
		c.t.Fatal(err)
	}
	c.keyring = change.Sealed
	if err := change.Install(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) seal(b *Barrier, key, value string) []byte {
	return must[[]byte](c.t)(b.Seal(nil, []byte(key), []byte(value)))
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func wantOpen(t *testing.T, b *Barrier, key string, sealed []byte, want string) {
	t.Helper()
	got, err := b.Open([]byte("-"), []byte(key), sealed)
	if err != nil || string(got) != "-"+want {
		t.Errorf("opened %q, %v; want %q", got, err, want)
	}
}

// From sealed to unlocked to leading and back.
func TestLifeOfABarrier(t *testing.T) {
	c := newCluster(t)
	b := New()
	sealedSays := func(when string) {
		t.Helper()
		_, sealErr := b.Seal(nil, nil, nil)
		_, openErr := b.Open(nil, nil, make([]byte, 64))
		_, nameErr := b.Name(storage.Tokens, "a")
		_, tokenErr := b.SealToken(nil, nil)
		_, openTokenErr := b.OpenToken(nil, nil)
		_, statusErr := b.KeyStatus()
		_, keysErr := b.Keys()
		_, configErr := b.RotateConfig()
		_, changeErr := b.Rotate(c.keyring)
		for _, err := range []error{sealErr, openErr, nameErr, tokenErr, openTokenErr, statusErr, keysErr, configErr, changeErr, b.Reload(c.keyring)} {
			wantErr(t, when, err, storage.ErrSealed)
		}
		if !b.Sealed() || b.Leading() || b.CheckRoot(c.root) || b.CheckRoot(make([]byte, KeySize)) || b.RotationDue(c.now) || b.Unsaved() != 0 {
			t.Errorf("%s: a sealed barrier knows something", when)
		}
	}
	sealedSays("new")

	if err := b.Unlock(c.root, c.keyring); err != nil {
		t.Fatal(err)
	}
	if b.Sealed() || b.Leading() || !b.CheckRoot(c.root) || b.CheckRoot(c.root[1:]) {
		t.Error("an unlocked barrier is not what it should be")
	}
	_, err := b.Seal(nil, []byte("k"), []byte("v"))
	wantErr(t, "seal before leadership", err, ErrNoLeadership)

	change, err := b.NewLeadership(c.keyring)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Seal(nil, []byte("k"), []byte("v"))
	wantErr(t, "seal before the key is stored", err, ErrNoLeadership)
	c.commit(change, nil)
	sealed := c.seal(b, "k", "v")
	if len(sealed) != 1+Overhead || bytes.Contains(sealed, []byte("v\x00")) {
		t.Errorf("sealed row is %x", sealed)
	}
	wantOpen(t, b, "k", sealed, "v")

	raw := b.state.Load().ring
	b.Lock()
	sealedSays("locked")
	for _, e := range raw.keys {
		if e.key != [KeySize]byte{} {
			t.Error("a data key survived in memory")
		}
	}
	if raw.nameKey != [KeySize]byte{} || b.root != [KeySize]byte{} {
		t.Error("the name key or root key survived in memory")
	}

	if err := b.Unlock(c.root, c.keyring); err != nil {
		t.Fatal(err)
	}
	wantOpen(t, b, "k", sealed, "v")
	_, err = b.Seal(nil, []byte("k"), []byte("v"))
	wantErr(t, "unlocking does not make a leader", err, ErrNoLeadership)
}

func TestWrongKeyAndDamageAreTold(t *testing.T) {
	c := newCluster(t)
	other := newCluster(t)
	sealKey := bytes.Repeat([]byte{1}, KeySize)
	wrapped := must[[]byte](t)(WrapRoot(sealKey, c.root))
	if got, err := UnwrapRoot(sealKey, wrapped); err != nil || !bytes.Equal(got, c.root) {
		t.Fatalf("unwrapped %v", err)
	}
	for _, key := range [][]byte{other.root, nil, c.root[:16]} {
		_, err := UnwrapRoot(key, wrapped)
		wantErr(t, "unwrap", err, ErrWrongKey)
		wantErr(t, "unlock", New().Unlock(key, c.keyring), ErrWrongKey)
	}
	wantErr(t, "a root key is no keyring", New().Unlock(sealKey, wrapped), ErrWrongKey)
	if _, err := WrapRoot(sealKey, c.root[1:]); err == nil {
		t.Error("a short root key was wrapped")
	}
	damage := func(what string, blob []byte, open func([]byte) error) {
		for i := range blob {
			bad := bytes.Clone(blob)
			bad[i] ^= 0x10
			wantErr(t, fmt.Sprintf("%s, byte %d", what, i), open(bad), storage.ErrCorrupt)
			wantErr(t, fmt.Sprintf("%s, cut at %d", what, i), open(blob[:i]), storage.ErrCorrupt)
		}
	}
	damage("root", wrapped, func(bad []byte) error { _, err := UnwrapRoot(sealKey, bad); return err })
	b := c.node()
	damage("keyring", c.keyring, func(bad []byte) error { return b.Unlock(c.root, bad) })
	damage("keyring", c.keyring, b.Reload)
	if b.Sealed() {
		t.Error("a failed unlock sealed the barrier")
	}
}

func TestRowsStayWhereTheyWerePut(t *testing.T) {
	c := newCluster(t)
	b := c.leader()
	sealed := c.seal(b, "row one", "secret")
	for _, key := range []string{"row two", "row on", "row one ", ""} {
		_, err := b.Open(nil, []byte(key), sealed)
		wantErr(t, "moved to "+key, err, storage.ErrCorrupt)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		_, err := b.Open(nil, []byte("row one"), bad)
		wantErr(t, fmt.Sprintf("byte %d", i), err, storage.ErrCorrupt)
		_, err = b.Open(nil, []byte("row one"), sealed[:i])
		wantErr(t, fmt.Sprintf("cut at %d", i), err, storage.ErrCorrupt)
	}
	_, err := newCluster(t).leader().Open(nil, []byte("row one"), sealed)
	wantErr(t, "in another cluster", err, storage.ErrCorrupt)
	wantOpen(t, b, "row one", sealed, "secret")
	wantOpen(t, b, "", c.seal(b, "", ""), "")
}

// Rows of every term and leadership stay readable, everywhere.
func TestOldRowsOpenAfterRotation(t *testing.T) {
	c := newCluster(t)
	first := c.leader()
	rows := [][]byte{c.seal(first, "k", "term 1")}
	c.commit(first.Rotate(c.keyring))
	rows = append(rows, c.seal(first, "k", "term 2"))
	second := c.leader()
	rows = append(rows, c.seal(second, "k", "term 2"))

	_, err := first.Open(nil, []byte("k"), rows[2])
	wantErr(t, "before reload", err, ErrUnknownKey)
	wantErr(t, "before reload", err, storage.ErrCorrupt)
	if err := first.Reload(c.keyring); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*Barrier{first, second, c.node()} {
		for i, want := range []string{"term 1", "term 2", "term 2"} {
			wantOpen(t, b, "k", rows[i], want)
		}
		if status, _ := b.KeyStatus(); status.Term != 2 {
			t.Errorf("term %d, want 2", status.Term)
		}
	}
	// The first leader was deposed: its own key is no longer the newest.
	_, err = first.Seal(nil, []byte("k"), nil)
	wantErr(t, "deposed", err, ErrNoLeadership)
}

func TestPrunedKeysOpenNothing(t *testing.T) {
	c := newCluster(t)
	b := c.leader()
	old := c.seal(b, "k", "old")
	c.commit(b.NewLeadership(c.keyring))
	kept := c.seal(b, "k", "new")
	oldID, _ := KeyOf(old)
	before, _ := b.KeyStatus()
	c.commit(b.Prune(c.keyring, func(uint32) bool { return false }))
	keys := must[[]KeyInfo](t)(b.Keys())
	if len(keys) != 1 || keys[0].ID == oldID {
		t.Errorf("keys %v", keys)
	}
	wantOpen(t, b, "k", kept, "new")
	wantOpen(t, b, "k", c.seal(b, "k", "newer"), "newer")
	_, err := b.Open(nil, []byte("k"), old)
	wantErr(t, "pruned", err, ErrUnknownKey)
	if after, _ := b.KeyStatus(); after.Encryptions != before.Encryptions+1 {
		t.Errorf("pruning forgot encryptions: %d, then %d", before.Encryptions, after.Encryptions)
	}
}

func TestChangesCannotOverwriteEachOther(t *testing.T) {
	c := newCluster(t)
	b := c.leader()
	stale, err := b.Rotate(c.keyring)
	if err != nil {
		t.Fatal(err)
	}
	c.commit(b.Rotate(c.keyring))
	wantErr(t, "install after a newer one", stale.Install(), ErrSuperseded)
	old := c.keyring
	c.commit(b.Checkpoint(c.keyring))
	_, err = b.Rotate(old)
	wantErr(t, "change of an older keyring", err, ErrSuperseded)
	if err := b.Reload(old); err != nil {
		t.Errorf("a late reload: %v", err)
	}
	if !b.Leading() {
		t.Error("a late reload took the key away")
	}

	// The log may bring the change before it is installed, or it is locked.
	change := must[*Change](t)(b.Rotate(c.keyring))
	c.keyring = change.Sealed
	if err := b.Reload(c.keyring); err != nil {
		t.Fatal(err)
	}
	if b.Leading() {
		t.Error("a key from the store seals")
	}
	for range 2 {
		if err := change.Install(); err != nil || !b.Leading() {
			t.Errorf("install after reload: %v", err)
		}
	}
	change = must[*Change](t)(b.Rotate(c.keyring))
	b.Lock()
	wantErr(t, "install when locked", change.Install(), storage.ErrSealed)
}

// Standbys that are unlocked follow a new root key; others need it.
func TestRootKeyIsReplaced(t *testing.T) {
	c := newCluster(t)
	leader := c.leader()
	standby, asleep := c.node(), c.node()
	row := c.seal(leader, "k", "v")
	newRoot := bytes.Repeat([]byte{7}, KeySize)
	if _, err := leader.Rewrap(c.keyring, newRoot[1:]); err == nil {
		t.Error("a short root key was taken")
	}
	c.commit(leader.Rewrap(c.keyring, newRoot))
	wantErr(t, "the old root key", New().Unlock(c.root, c.keyring), ErrWrongKey)
	c.root = newRoot
	c.commit(leader.Rotate(c.keyring)) // the way to follow outlives later changes
	for _, b := range []*Barrier{leader, standby} {
		if err := b.Reload(c.keyring); err != nil {
			t.Fatal(err)
		}
		if !b.CheckRoot(newRoot) {
			t.Error("a node did not follow to the new root key")
		}
	}
	wantOpen(t, c.node(), "k", row, "v")

	// Two replacements, and the key that leads to them pruned.
	c.commit(leader.Rewrap(c.keyring, bytes.Repeat([]byte{8}, KeySize)))
	wantErr(t, "a node that slept too long", asleep.Reload(c.keyring), ErrWrongKey)
}

func TestNames(t *testing.T) {
	c := newCluster(t)
	b := c.node()
	names := map[[16]byte]string{}
	for _, r := range []storage.Range{storage.Tokens, storage.Leases, {NS: 1, ID: 5, Kind: storage.Flat}, storage.MountRange(1)} {
		for _, path := range []string{"", "a", "b", "a/", strings.Repeat("long/", 100)} {
			name := must[[16]byte](t)(b.Name(r, path))
			key := fmt.Sprint(r, path)
			if other, ok := names[name]; ok {
				t.Errorf("%s and %s share a name", key, other)
			}
			names[name] = key
		}
	}
	here := must[[16]byte](t)(b.Name(storage.Tokens, "a"))
	c.commit(b.Rotate(c.keyring))
	if got := must[[16]byte](t)(c.leader().Name(storage.Tokens, "a")); got != here {
		t.Error("a name changed with the keys")
	}
	if got := must[[16]byte](t)(newCluster(t).node().Name(storage.Tokens, "a")); got == here {
		t.Error("two clusters agree on a name")
	}
}

// A batch token is made and read on any node, and is nothing else.
func TestTokens(t *testing.T) {
	c := newCluster(t)
	leader, standby := c.leader(), c.node()
	for _, maker := range []*Barrier{leader, standby} {
		token := must[[]byte](t)(maker.SealToken([]byte("hvb."), []byte("who")))[4:]
		if len(token) != 3+PurposeOverhead {
			t.Errorf("token of %d bytes", len(token))
		}
		for _, reader := range []*Barrier{leader, standby} {
			got, err := reader.OpenToken(nil, token)
			if err != nil || string(got) != "who" {
				t.Errorf("opened %q, %v", got, err)
			}
		}
		_, err := leader.OpenWithAD(nil, []byte("other"), token)
		wantErr(t, "for another purpose", err, ErrNotSealedHere)
		_, err = leader.Open(nil, adToken, token)
		wantErr(t, "as a row", err, storage.ErrCorrupt)
		for i := range token {
			bad := bytes.Clone(token)
			bad[i] ^= 1
			_, err := leader.OpenToken(nil, bad)
			wantErr(t, "flipped", err, ErrNotSealedHere)
			_, err = leader.OpenToken(nil, token[:i])
			wantErr(t, "cut", err, ErrNotSealedHere)
		}
	}
	_, err := leader.OpenToken(nil, c.seal(leader, "token", "who"))
	wantErr(t, "a row as a token", err, ErrNotSealedHere)
	if a, b := must[[]byte](t)(leader.SealToken(nil, nil)), must[[]byte](t)(leader.SealToken(nil, nil)); bytes.Equal(a, b) {
		t.Error("two tokens are equal")
	}
}

// The vector of the specification (c2sp.org/XAES-256-GCM).
func TestXAESIsTheSpecifiedOne(t *testing.T) {
	nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
	x := must[*xaes](t)(newXAES(bytes.Repeat([]byte{1}, KeySize)))
	aead, err := x.aead(nonce)
	if err != nil {
		t.Fatal(err)
	}
	got := hex.EncodeToString(aead.Seal(nil, nonce[12:], []byte("XAES-256-GCM"), nil))
	if want := "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"; got != want {
		t.Errorf("sealed to %s, want %s", got, want)
	}
}
