package transit

import (
	"encoding/binary"
	"fmt"

	"github.com/fastness-dev/fastness/engine"
)

// How often a version has encrypted is estimated: one encryption of countEvery,
// chosen at random, is written down as that many. So counting costs a write per
// million uses, works on every node, and is off by less than two parts in a
// hundred when it matters.
//
// A version of a key with random 96-bit nonces is replaced after rotateAfter
// encryptions, well before the 2^32 that NIST SP 800-38D allows one key; a key
// that may not rotate stops there. Derived keys are not counted: each context
// has a key of its own, and what converges must not change by itself.
const (
	countEvery  = 1 << 20
	rotateAfter = 1 << 31
)

// wears says whether the key's encryptions are counted.
func (k *key) wears() bool { return !k.Derived && k.kind().wears }

// count notes uses of a version, and has the key rotate or the version end when
// there were enough. It returns the key as it then is.
func (e *Engine) count(tx engine.Tx, name string, k *key, asked int) (*key, error) {
	n, err := k.toUse(asked, "encryption")
	if err != nil || !k.wears() {
		return k, err
	}
	path := "u/" + rowName(k.ID, n)
	row, err := tx.Get(path)
	if err != nil {
		return nil, fmt.Errorf("read key use: %w", err)
	}
	uses := e.every
	if len(row) == 8 {
		uses += binary.BigEndian.Uint64(row)
	}
	tx.PutUnlisted(path, binary.BigEndian.AppendUint64(nil, uses))
	switch {
	case uses < e.limit:
		return k, nil
	case n == k.Latest && (!k.Imported || k.Rotatable):
		k = k.clone()
		return k, e.rotateKey(tx, name, k)
	case uses < 2*e.limit:
		return k, nil
	}
	old, err := k.version(tx, n)
	if err != nil {
		return nil, err
	}
	return k, k.putVersion(tx, n, &version{Created: old.Created, Secret: old.Secret, Public: old.Public, HMAC: old.HMAC, Chain: old.Chain, Worn: true})
}
