package barrier

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// A keyring is what the root key protects. Its plain form, all big-endian:
//
//	version 1   = 1
//	serial 8    grows with every keyring that is written
//	term 4      what clients see; grows with Rotate only
//	since 8     when the term began, in nanoseconds of Unix
//	retired 8   encryptions of the term under keys that were pruned
//	active 4    id of the newest key
//	rotate      enabled 1, max operations 8, interval 8 (nanoseconds)
//	name key 32
//	count 4, then that many keys, ids ascending, the last is active:
//	  id 4, term 4, key 32, installed 8 (nanoseconds), encryptions 8
//
// It is stored in an [envelope] whose header is upgrade.
type keyring struct {
	serial  uint64
	term    uint32
	since   time.Time
	retired uint64
	rotate  RotateConfig
	nameKey [KeySize]byte
	keys    []dataKeyEntry
	// upgrade is the root key, sealed under a data key when it last changed:
	// by it a standby that holds the old root key follows to the new one.
	upgrade []byte
}

// A dataKeyEntry is a data key at rest. Ids are never given twice.
type dataKeyEntry struct {
	id, term    uint32
	key         [KeySize]byte
	installed   time.Time
	encryptions uint64
}

const (
	keyringVersion = 1
	keyringLabel   = "fastness keyring"
	keyringHead    = 1 + 8 + 4 + 8 + 8 + 4 + (1 + 8 + 8) + KeySize + 4
	keyringEntry   = 4 + 4 + KeySize + 8 + 8
)

func newKeyring(rand io.Reader, now time.Time) (*keyring, error) {
	r := &keyring{serial: 1, term: 1, since: now, rotate: DefaultRotateConfig()}
	if _, err := io.ReadFull(rand, r.nameKey[:]); err != nil {
		return nil, fmt.Errorf("draw name key: %w", err)
	}
	if err := r.freshKey(rand, now); err != nil {
		return nil, err
	}
	return r, nil
}

// freshKey appends a new random data key of the current term: it is active.
func (r *keyring) freshKey(rand io.Reader, now time.Time) error {
	e := dataKeyEntry{id: 1, term: r.term, installed: now}
	if len(r.keys) > 0 {
		e.id = r.active().id + 1
	}
	if _, err := io.ReadFull(rand, e.key[:]); err != nil {
		return fmt.Errorf("draw data key: %w", err)
	}
	r.keys = append(r.keys, e)
	return nil
}

// rotateTerm begins the next term with a fresh key.
func (r *keyring) rotateTerm(rand io.Reader, now time.Time) error {
	r.term++
	r.since, r.retired = now, 0
	return r.freshKey(rand, now)
}

// active is the newest key. A keyring always holds one.
func (r *keyring) active() *dataKeyEntry { return &r.keys[len(r.keys)-1] }

func (r *keyring) find(id uint32) *dataKeyEntry {
	for i := range r.keys {
		if r.keys[i].id == id {
			return &r.keys[i]
		}
	}
	return nil
}

// prune drops the keys that keep refuses, but never the active one.
func (r *keyring) prune(keep func(id uint32) bool) {
	kept := make([]dataKeyEntry, 0, len(r.keys))
	for _, e := range r.keys {
		switch {
		case e.id == r.active().id || keep(e.id):
			kept = append(kept, e)
		case e.term == r.term:
			r.retired += e.encryptions
		}
	}
	clear(r.keys)
	r.keys = kept
}

func (r *keyring) clone() *keyring {
	c := *r
	c.keys = slices.Clone(r.keys)
	c.upgrade = slices.Clone(r.upgrade)
	return &c
}

// wipe overwrites all keys.
func (r *keyring) wipe() {
	clear(r.nameKey[:])
	clear(r.keys)
}

func (r *keyring) seal(rootKey []byte, rand io.Reader) ([]byte, error) {
	plain := r.encode()
	defer clear(plain)
	sealed, err := sealEnvelope(rootKey, keyringLabel, r.upgrade, plain, rand)
	if err != nil {
		return nil, fmt.Errorf("seal keyring: %w", err)
	}
	return sealed, nil
}

func openKeyring(rootKey, sealed []byte) (*keyring, error) {
	header, plain, err := openEnvelope(rootKey, keyringLabel, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	r, err := decodeKeyring(plain)
	if err != nil {
		return nil, err
	}
	r.upgrade = slices.Clone(header)
	return r, nil
}

func (r *keyring) encode() []byte {
	be := binary.BigEndian
	out := make([]byte, 0, keyringHead+len(r.keys)*keyringEntry)
	out = append(out, keyringVersion)
	out = be.AppendUint64(out, r.serial)
	out = be.AppendUint32(out, r.term)
	out = be.AppendUint64(out, uint64(r.since.UnixNano()))
	out = be.AppendUint64(out, r.retired)
	out = be.AppendUint32(out, r.active().id)
	enabled := byte(0)
	if r.rotate.Enabled {
		enabled = 1
	}
	out = append(out, enabled)
	out = be.AppendUint64(out, r.rotate.MaxOperations)
	out = be.AppendUint64(out, uint64(r.rotate.Interval))
	out = append(out, r.nameKey[:]...)
	out = be.AppendUint32(out, uint32(len(r.keys)))
	for i := range r.keys {
		e := &r.keys[i]
		out = be.AppendUint32(out, e.id)
		out = be.AppendUint32(out, e.term)
		out = append(out, e.key[:]...)
		out = be.AppendUint64(out, uint64(e.installed.UnixNano()))
		out = be.AppendUint64(out, e.encryptions)
	}
	return out
}

func decodeKeyring(in []byte) (*keyring, error) {
	bad := func(what string) (*keyring, error) {
		return nil, fmt.Errorf("%w: keyring %s", storage.ErrCorrupt, what)
	}
	if len(in) < keyringHead {
		return bad("is too short")
	}
	if in[0] != keyringVersion {
		return bad(fmt.Sprintf("has version %d; this program knows %d", in[0], keyringVersion))
	}
	be := binary.BigEndian
	take := func(n int) []byte { part := in[:n]; in = in[n:]; return part }
	r := &keyring{}
	take(1)
	r.serial = be.Uint64(take(8))
	r.term = be.Uint32(take(4))
	r.since = time.Unix(0, int64(be.Uint64(take(8)))).UTC()
	r.retired = be.Uint64(take(8))
	active := be.Uint32(take(4))
	r.rotate.Enabled = take(1)[0] == 1
	r.rotate.MaxOperations = be.Uint64(take(8))
	r.rotate.Interval = time.Duration(be.Uint64(take(8)))
	copy(r.nameKey[:], take(KeySize))
	count := int(be.Uint32(take(4)))
	if count < 1 || len(in) != count*keyringEntry {
		return bad("has a wrong length")
	}
	r.keys = make([]dataKeyEntry, count)
	for i := range r.keys {
		e := &r.keys[i]
		e.id, e.term = be.Uint32(take(4)), be.Uint32(take(4))
		copy(e.key[:], take(KeySize))
		e.installed = time.Unix(0, int64(be.Uint64(take(8)))).UTC()
		e.encryptions = be.Uint64(take(8))
		if i > 0 && e.id <= r.keys[i-1].id {
			return bad("has keys out of order")
		}
	}
	if r.active().id != active {
		return bad("names an active key that is not its newest")
	}
	return r, nil
}
