package barrier

import (
	"errors"
	"io"
	"time"

	"fmt"

	"github.com/fastness-dev/fastness/storage"
)

// A Change is a keyring that is not in use yet. Every change goes the same
// way, inside of one transaction, so that two can never overwrite each other:
//
//	read stored ──▶ b.Rotate(stored) ──▶ write Sealed ──commit──▶ Install
//
// If the transaction runs again, make the change again. If it fails, or its
// outcome is unknown, do not install: should it have been committed after
// all, Reload brings it, and the active node calls NewLeadership again if its
// Seal then says [ErrNoLeadership]. A data key seals nothing before Install, so none is
// ever lost with rows sealed by it.
type Change struct {
	// Sealed is the keyring to store.
	Sealed []byte
	// Term is the visible term of the keyring.
	Term uint32

	barrier *Barrier
	ring    *keyring // the barrier's after Install
	root    [KeySize]byte
	fresh   *dataKey // nil unless the change brings a key
}

// NewLeadership adds a fresh data key of the current term, by which this
// process may seal. Call it once this node has become the active one and has
// applied all that was committed before; stored is the keyring as it lies in
// the store.
func (b *Barrier) NewLeadership(stored []byte) (*Change, error) {
	return b.change(stored, func(c *Change) error { return c.addKey((*keyring).freshKey) })
}

// Rotate begins the next term, with a fresh data key. Rows that were sealed
// before open as they did.
func (b *Barrier) Rotate(stored []byte) (*Change, error) {
	return b.change(stored, func(c *Change) error { return c.addKey((*keyring).rotateTerm) })
}

// Rewrap puts the keyring under a new root key of 32 bytes. Store, in the
// same transaction, WrapRoot of it. Standbys that are unlocked follow by
// Reload.
func (b *Barrier) Rewrap(stored, newRootKey []byte) (*Change, error) {
	if len(newRootKey) != KeySize {
		return nil, fmt.Errorf("rewrap keyring: the root key has %d bytes instead of %d", len(newRootKey), KeySize)
	}
	return b.change(stored, func(c *Change) error {
		upgrade, err := b.state.Load().sealFor(nil, adRoot, newRootKey, b.rand)
		if err != nil {
			return err
		}
		c.ring.upgrade = upgrade
		copy(c.root[:], newRootKey)
		return nil
	})
}

// SetRotateConfig changes when terms end by themselves.
func (b *Barrier) SetRotateConfig(stored []byte, config RotateConfig) (*Change, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return b.change(stored, func(c *Change) error { c.ring.rotate = config; return nil })
}

// Checkpoint changes nothing but the numbers of encryptions, which every
// change brings up to date. Those since the last change are lost in a crash;
// [Barrier.Unsaved] says how many.
func (b *Barrier) Checkpoint(stored []byte) (*Change, error) {
	return b.change(stored, func(*Change) error { return nil })
}

// Prune drops the data keys that keep refuses; the newest always stays. What
// was sealed by a dropped key never opens again: first re-seal all rows, and
// let the longest lifetime of a batch token pass.
func (b *Barrier) Prune(stored []byte, keep func(id uint32) bool) (*Change, error) {
	return b.change(stored, func(c *Change) error { c.ring.prune(keep); return nil })
}

func (b *Barrier) change(stored []byte, edit func(*Change) error) (*Change, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.follow(stored); err != nil {
		return nil, err
	}
	st := b.state.Load()
	c := &Change{barrier: b, ring: st.ring.clone(), root: b.root}
	st.count(c.ring)
	// A change that was never installed may have been stored all the same, so
	// its serial is not given again.
	b.serial = max(b.serial, c.ring.serial) + 1
	c.ring.serial = b.serial
	if err := edit(c); err != nil {
		return nil, err
	}
	c.Term = c.ring.term
	sealed, err := c.ring.seal(c.root[:], b.rand)
	if err != nil {
		return nil, err
	}
	c.Sealed = sealed
	return c, nil
}

func (c *Change) addKey(add func(*keyring, io.Reader, time.Time) error) error {
	if err := add(c.ring, c.barrier.rand, c.barrier.now()); err != nil {
		return err
	}
	var err error
	c.fresh, err = newDataKey(c.ring.active())
	return err
}

// Install puts a stored change to use; again is harmless. It returns
// [storage.ErrSealed] if the barrier was locked meanwhile, and
// [ErrSuperseded] if a newer keyring without this change is in use.
func (c *Change) Install() error {
	b := c.barrier
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.state.Load()
	switch {
	case c.ring == nil:
		return nil
	case st == nil:
		return storage.ErrSealed
	case st.ring.serial >= c.ring.serial:
		return c.adopt(st)
	}
	next, err := newState(c.ring, st, c.fresh)
	if err != nil {
		return err
	}
	b.root = c.root
	b.replace(next)
	c.done()
	return nil
}

// adopt is Install when Reload was faster: the keyring is in use, but as one
// that came from the store, whose keys do not seal.
func (c *Change) adopt(st *state) error {
	if c.fresh == nil && st.ring.serial == c.ring.serial {
		c.ring.wipe()
		c.done()
		return nil
	}
	newest := st.ring.active()
	if c.fresh == nil || newest.id != c.fresh.id || !equalKeys(&newest.key, &c.ring.active().key) {
		return ErrSuperseded
	}
	next, err := newState(st.ring.clone(), st, c.fresh)
	if err != nil {
		return err
	}
	c.barrier.replace(next)
	c.ring.wipe()
	c.done()
	return nil
}

func (c *Change) done() {
	c.ring = nil
	clear(c.root[:])
}

// Reload takes over the keyring that another node stored; every unlocked node
// calls it when the stored keyring has changed. An older one than that in use
// is ignored. [ErrWrongKey] says that the root key was replaced so long ago
// that this node cannot follow: lock it, and let it be unsealed.
//
// After a snapshot was restored, do not reload: lock, and unlock.
func (b *Barrier) Reload(stored []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.follow(stored)
	if errors.Is(err, errOlder) {
		return nil
	}
	return err
}

var errOlder = fmt.Errorf("%w: the stored one is older than the one in use", ErrSuperseded)

// follow makes the stored keyring the one in use.
func (b *Barrier) follow(stored []byte) error {
	st := b.state.Load()
	if st == nil {
		return storage.ErrSealed
	}
	ring, root, err := b.openStored(st, stored)
	if err != nil {
		return fmt.Errorf("open stored keyring: %w", err)
	}
	switch {
	case ring.serial < st.ring.serial:
		ring.wipe()
		return errOlder
	case ring.serial == st.ring.serial && equalKeys(&root, &b.root):
		ring.wipe()
		return nil
	}
	next, err := newState(ring, st, nil)
	if err != nil {
		return err
	}
	b.root = root
	b.replace(next)
	return nil
}

// openStored opens a keyring by the root key in use or by the one that its
// header brings, sealed under a data key that this node holds.
func (b *Barrier) openStored(st *state, stored []byte) (*keyring, [KeySize]byte, error) {
	ring, err := openKeyring(b.root[:], stored)
	if err == nil {
		return ring, b.root, nil
	}
	header, headerErr := envelopeHeader(stored)
	if headerErr != nil {
		return nil, b.root, err
	}
	root, upgradeErr := st.openFor(nil, adRoot, header)
	if upgradeErr != nil || len(root) != KeySize {
		return nil, b.root, err
	}
	defer clear(root)
	ring, err = openKeyring(root, stored)
	if err != nil {
		return nil, b.root, err
	}
	return ring, [KeySize]byte(root), nil
}
