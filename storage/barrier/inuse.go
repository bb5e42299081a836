package barrier

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/fastness-dev/fastness/storage"
)

// The root key in use never leaves a barrier but under a seal key: whoever
// keeps it (shares of people, a key service) is given an envelope to hold.

// ErrOtherRoot says that an envelope opens, but holds another root key than the
// one in use.
var ErrOtherRoot = errors.New("it holds another root key than the one in use")

// WrapRootInUse is [WrapRoot] of the root key in use. It returns
// [storage.ErrSealed] while sealed.
func (b *Barrier) WrapRootInUse(sealKey []byte) ([]byte, error) {
	root, err := b.rootInUse()
	if err != nil {
		return nil, err
	}
	defer clear(root[:])
	return WrapRoot(sealKey, root[:])
}

// CheckWrapped opens an envelope of WrapRoot and returns [ErrOtherRoot] unless
// it holds the root key in use.
func (b *Barrier) CheckWrapped(sealKey, wrapped []byte) error {
	root, err := b.rootInUse()
	if err != nil {
		return err
	}
	defer clear(root[:])
	held, err := UnwrapRoot(sealKey, wrapped)
	if err != nil {
		return err
	}
	defer clear(held)
	if subtle.ConstantTimeCompare(held, root[:]) != 1 {
		return ErrOtherRoot
	}
	return nil
}

// RootID names the root key in use: 32 bytes that tell it from others and say
// nothing about it.
func (b *Barrier) RootID() ([]byte, error) {
	root, err := b.rootInUse()
	if err != nil {
		return nil, err
	}
	defer clear(root[:])
	mac := hmac.New(sha256.New, root[:])
	mac.Write([]byte("fastness root key id"))
	return mac.Sum(nil), nil
}

func (b *Barrier) rootInUse() (root [KeySize]byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.Load() == nil {
		return root, storage.ErrSealed
	}
	return b.root, nil
}
