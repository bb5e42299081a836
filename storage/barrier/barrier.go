// Package barrier owns the keys: nothing that is stored can be read without
// it. It seals values on their way down, opens them on their way up and turns
// names into HMACs.
//
//	seal key      shared out among people, or held by a key service
//	└▶ root key   32 bytes, wrapped by the seal key ([WrapRoot])
//	   └▶ keyring wrapped by the root key
//	      ├▶ data keys  seal rows, and from each its purpose key: tokens
//	      └▶ name key   hides names; never changes
//
// It promises:
//   - No nonce is used twice under one data key. A row's nonce is a counter
//     and its key was drawn by this very process: each leadership begins with
//     [Barrier.NewLeadership], before which Seal refuses. So a restart, a
//     restore or a clone of a cluster cannot repeat one either.
//   - A sealed row opens only under the row key that it was sealed for.
//   - A changed byte is found out, never returned: [storage.ErrCorrupt].
//   - Seal, Open and Name take no lock and allocate nothing that they do not
//     return.
//
// It stores nothing. What changes the keyring returns a [Change], whose bytes
// the caller commits before it installs the change.
package barrier

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// KeySize is the length of every key, in bytes.
const KeySize = 32

// Errors that callers may test for, beside those of package storage.
var (
	// ErrWrongKey says that a key does not open what it should, while the
	// bytes are those that were written.
	ErrWrongKey = errors.New("wrong key")
	// ErrNoLeadership says that this process has no data key of its own: see
	// [Barrier.NewLeadership].
	ErrNoLeadership = errors.New("seal before the leadership has a data key")
	// ErrUnknownKey says that a row was sealed by a data key that the keyring
	// does not hold. It comes together with storage.ErrCorrupt; on a standby
	// it may mean that Reload was not called.
	ErrUnknownKey = errors.New("unknown data key")
	// ErrNotSealedHere says that bytes given to OpenWithAD or OpenToken were
	// not made by this barrier for that purpose.
	ErrNotSealedHere = errors.New("not sealed by this barrier")
	// ErrSuperseded says that a change was made to a keyring that is no
	// longer the newest.
	ErrSuperseded = errors.New("the keyring has changed meanwhile")
)

var _ storage.Sealer = (*Barrier)(nil)

// A Barrier is sealed until Unlock. All methods are safe for concurrent use.
type Barrier struct {
	rand io.Reader
	now  func() time.Time

	// state is nil while sealed. Readers load it once per call and never look
	// at the raw keys in it, which belong to mu.
	state atomic.Pointer[state]

	mu     sync.Mutex
	root   [KeySize]byte // zero while sealed
	serial uint64        // highest that this process has given to a keyring
}

// An Option is a choice for New.
type Option func(*Barrier)

// WithRand replaces crypto/rand as the source of keys and nonces.
func WithRand(r io.Reader) Option { return func(b *Barrier) { b.rand = r } }

// WithClock replaces time.Now.
func WithClock(now func() time.Time) Option { return func(b *Barrier) { b.now = now } }

// New returns a sealed barrier.
func New(options ...Option) *Barrier {
	b := &Barrier{rand: rand.Reader, now: time.Now}
	for _, option := range options {
		option(b)
	}
	return b
}

// Create draws a root key and a keyring of term 1, wrapped by it, for a new
// cluster. The barrier stays as it is: Unlock it with what Create returned.
func (b *Barrier) Create() (rootKey, sealedKeyring []byte, err error) {
	rootKey = make([]byte, KeySize)
	if _, err := io.ReadFull(b.rand, rootKey); err != nil {
		return nil, nil, fmt.Errorf("draw root key: %w", err)
	}
	ring, err := newKeyring(b.rand, b.now())
	if err != nil {
		return nil, nil, err
	}
	defer ring.wipe()
	sealedKeyring, err = ring.seal(rootKey, b.rand)
	if err != nil {
		return nil, nil, err
	}
	return rootKey, sealedKeyring, nil
}

// Unlock takes the keys into memory. It returns [ErrWrongKey] or an
// [storage.ErrCorrupt], and then changes nothing. An unlocked barrier is
// unlocked anew: data keys of this process's leadership do not survive.
func (b *Barrier) Unlock(rootKey, sealedKeyring []byte) error {
	ring, err := openKeyring(rootKey, sealedKeyring)
	if err != nil {
		return fmt.Errorf("open keyring: %w", err)
	}
	next, err := newState(ring, nil, nil)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	copy(b.root[:], rootKey)
	b.replace(next)
	return nil
}

// Lock drops the keys and overwrites them. Calls that are under way finish
// with the ciphers they hold; the expanded forms of keys inside of those
// cannot be overwritten and are left to the garbage collector.
func (b *Barrier) Lock() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.root[:])
	b.replace(nil)
}

// replace installs a state and wipes the raw keys of the one before it.
func (b *Barrier) replace(next *state) {
	if old := b.state.Swap(next); old != nil {
		old.ring.wipe()
	}
}

// Sealed says whether the keys are absent.
func (b *Barrier) Sealed() bool { return b.state.Load() == nil }

// Leading says whether Seal works: this process has a data key of its own.
func (b *Barrier) Leading() bool {
	st := b.state.Load()
	return st != nil && st.fresh != nil
}

// UseRoot calls f with the root key, which f must not keep: for who proves to
// another node that this one holds it. It returns [storage.ErrSealed] while
// sealed.
func (b *Barrier) UseRoot(f func(root []byte) error) error {
	var root [KeySize]byte
	b.mu.Lock()
	if b.state.Load() == nil {
		b.mu.Unlock()
		return storage.ErrSealed
	}
	root = b.root
	b.mu.Unlock()
	defer clear(root[:])
	return f(root[:])
}

// CheckRoot says whether rootKey is the one in use. The comparison takes the
// same time wherever the two differ.
func (b *Barrier) CheckRoot(rootKey []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Load() != nil && subtle.ConstantTimeCompare(b.root[:], rootKey) == 1
}
