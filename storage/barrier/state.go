package barrier

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"
	"sync/atomic"
)

// A state is a keyring made ready for use. It never changes once published,
// but for the counters inside its keys.
type state struct {
	ring *keyring // raw keys: only under Barrier.mu
	keys map[uint32]*dataKey
	// active is the newest key of the ring: it seals for purposes.
	active *dataKey
	// fresh is active if this process drew it, else nil: it seals rows.
	fresh *dataKey
	names *sync.Pool // of *namer
}

// A dataKey is a data key with its schedules computed. Whoever draws a key
// makes the only dataKey whose rows counter is ever used, so it starts at
// zero and counts on for as long as the process lives.
type dataKey struct {
	id      uint32
	row     cipher.AEAD
	purpose *xaes
	base    uint64        // encryptions known when the key was loaded
	rows    atomic.Uint64 // nonces given out
	other   atomic.Uint64 // encryptions for purposes
}

func newDataKey(e *dataKeyEntry) (*dataKey, error) {
	row, err := newGCM(e.key[:])
	if err != nil {
		return nil, err
	}
	// Purposes have a key of their own: theirs are random nonces, and no
	// token may ever be taken for a row.
	mac := hmac.New(sha256.New, e.key[:])
	mac.Write([]byte("fastness purpose key"))
	key := mac.Sum(nil)
	defer clear(key)
	purpose, err := newXAES(key)
	if err != nil {
		return nil, err
	}
	return &dataKey{id: e.id, row: row, purpose: purpose, base: e.encryptions}, nil
}

func (k *dataKey) encryptions() uint64 { return k.base + k.rows.Load() + k.other.Load() }

// newState prepares a ring. It takes keys over from old where they are the
// same, since their counters must go on, and fresh where it is the ring's
// newest key. The state owns the ring.
func newState(ring *keyring, old *state, fresh *dataKey) (*state, error) {
	st := &state{ring: ring, keys: make(map[uint32]*dataKey, len(ring.keys))}
	for i := range ring.keys {
		e := &ring.keys[i]
		k := old.sameKey(e)
		if fresh != nil && fresh.id == e.id {
			k = fresh
		}
		if k == nil {
			var err error
			if k, err = newDataKey(e); err != nil {
				return nil, err
			}
		}
		st.keys[e.id] = k
	}
	st.active = st.keys[ring.active().id]
	switch {
	case fresh != nil && st.active == fresh:
		st.fresh = fresh
	case old != nil && st.active == old.fresh:
		st.fresh = old.fresh
	}
	if old != nil && equalKeys(&old.ring.nameKey, &ring.nameKey) {
		st.names = old.names
	} else {
		st.names = newNames(ring.nameKey)
	}
	return st, nil
}

// sameKey returns the prepared form of a key, or nil.
func (st *state) sameKey(e *dataKeyEntry) *dataKey {
	if st == nil {
		return nil
	}
	mine := st.ring.find(e.id)
	if mine == nil || !equalKeys(&mine.key, &e.key) {
		return nil
	}
	return st.keys[e.id]
}

func equalKeys(a, b *[KeySize]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// count brings the ring's numbers of encryptions up to date.
func (st *state) count(ring *keyring) {
	for i := range ring.keys {
		e := &ring.keys[i]
		if k := st.sameKey(e); k != nil {
			e.encryptions = max(e.encryptions, k.encryptions())
		}
	}
}

// A namer is one keyed hash and its buffers, used by one call at a time.
type namer struct {
	mac hash.Hash
	in  []byte
	sum [sha256.Size]byte
}

func newNames(key [KeySize]byte) *sync.Pool {
	template := hmac.New(sha256.New, key[:])
	template.Reset() // the padded key is hashed here once, then shared by all clones
	clear(key[:])
	return &sync.Pool{New: func() any {
		mac, err := template.(hash.Cloner).Clone()
		if err != nil {
			panic("barrier: SHA-256 cannot be cloned: " + err.Error())
		}
		return &namer{mac: mac}
	}}
}
