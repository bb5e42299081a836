package barrier

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/fastness-dev/fastness/storage"
)

// A sealed row, all big-endian:
//
//	version 1 = 1 | key id 4 | nonce 12 | ciphertext | tag 16
//
// The nonce is 4 zero bytes and a counter of 8. The associated data is the
// whole row key. A changed version or key id finds no key or the wrong one,
// so the header needs no place in the associated data.
const (
	rowVersion = 1
	rowHead    = 1 + 4 + nonceSize
	nonceSize  = 12
	tagSize    = 16

	// Overhead is by how much a sealed row is longer than its value, in bytes.
	Overhead = rowHead + tagSize
)

// Seal implements [storage.Sealer]. It also returns [ErrNoLeadership].
// It allocates only when dst lacks len(value)+[Overhead] bytes of capacity.
func (b *Barrier) Seal(dst, rowKey, value []byte) ([]byte, error) {
	st := b.state.Load()
	if st == nil {
		return nil, storage.ErrSealed
	}
	k := st.fresh
	if k == nil {
		return nil, ErrNoLeadership
	}
	dst = slices.Grow(dst, len(value)+Overhead)
	dst = append(dst, rowVersion)
	dst = binary.BigEndian.AppendUint32(dst, k.id)
	// The nonce is used from where it lies: one on the stack would escape.
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, k.rows.Add(1))
	return k.row.Seal(dst, dst[at:at+nonceSize], value, rowKey), nil
}

// Open implements [storage.Sealer]. What was not sealed for rowKey by a key
// of the keyring is [storage.ErrCorrupt].
func (b *Barrier) Open(dst, rowKey, sealed []byte) ([]byte, error) {
	st := b.state.Load()
	if st == nil {
		return nil, storage.ErrSealed
	}
	id, ok := KeyOf(sealed)
	if !ok {
		return nil, fmt.Errorf("%w: not a sealed row", storage.ErrCorrupt)
	}
	k := st.active
	if k.id != id {
		if k = st.keys[id]; k == nil {
			return nil, fmt.Errorf("%w: row sealed by an %w: %d", storage.ErrCorrupt, ErrUnknownKey, id)
		}
	}
	out, err := k.row.Open(dst, sealed[rowHead-nonceSize:rowHead], sealed[rowHead:], rowKey)
	if err != nil {
		return nil, fmt.Errorf("%w: a row does not authenticate", storage.ErrCorrupt)
	}
	return out, nil
}

// KeyOf returns the id of the data key that a row says it was sealed by.
// Whoever re-seals rows compares it with [Barrier.Keys].
func KeyOf(sealed []byte) (id uint32, ok bool) {
	if len(sealed) < Overhead || sealed[0] != rowVersion {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:]), true
}

// Name implements [storage.Sealer]: the first 16 bytes of HMAC-SHA256, under
// the name key, over NS (4 bytes), ID (4 bytes) and the path.
func (b *Barrier) Name(r storage.Range, path string) ([16]byte, error) {
	st := b.state.Load()
	if st == nil {
		return [16]byte{}, storage.ErrSealed
	}
	n := st.names.Get().(*namer)
	n.in = binary.BigEndian.AppendUint32(n.in[:0], r.NS)
	n.in = binary.BigEndian.AppendUint32(n.in, r.ID)
	n.in = append(n.in, path...)
	n.mac.Reset()
	n.mac.Write(n.in)
	n.mac.Sum(n.sum[:0])
	name := [16]byte(n.sum[:16])
	st.names.Put(n)
	return name, nil
}
