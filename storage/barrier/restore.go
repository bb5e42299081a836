package barrier

import (
	"fmt"

	"github.com/fastness-dev/fastness/storage"
)

// Peer is a barrier of its own that opens what another keyring under the same
// root key sealed: that of a snapshot. It seals nothing. It returns [ErrWrongKey]
// when the keyring is of another cluster or of before its root key was replaced.
func (b *Barrier) Peer(sealedKeyring []byte) (*Barrier, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.Load() == nil {
		return nil, storage.ErrSealed
	}
	peer := New()
	if err := peer.Unlock(b.root[:], sealedKeyring); err != nil {
		return nil, err
	}
	return peer, nil
}

// Restore takes over the keyring of a snapshot whose rows are now those of the
// store: Lock and Unlock in one, under the same root key. Serials go on, so that
// a change of the time before is never taken for one of the time after.
func (b *Barrier) Restore(sealedKeyring []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.Load() == nil {
		return storage.ErrSealed
	}
	ring, err := openKeyring(b.root[:], sealedKeyring)
	if err != nil {
		return fmt.Errorf("open keyring: %w", err)
	}
	next, err := newState(ring, nil, nil)
	if err != nil {
		return err
	}
	b.replace(next)
	return nil
}
