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
// there were enough. It returns the key as it then is; the request that was
// counted is still served.
func (e *Engine) count(tx engine.Tx, name string, k *key, asked int) (*key, error) {
	n, unusable := k.toUse(asked, "encryption")
	if unusable != nil || !k.wears() {
		return k, nil //nolint:nilerr // the item is told of its version
	}
	v, err := k.version(tx, n)
	switch {
	case err != nil:
		return nil, err
	case v.Worn:
		return nil, worn(n)
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
	case uses >= e.limit && n == k.Latest && k.mayRotate():
		k = k.clone()
		return k, e.rotateKey(tx, name, k)
	case uses < 2*e.limit:
		return k, nil
	}
	return k, k.putVersion(tx, n, &version{Created: v.Created, Secret: v.Secret, Public: v.Public, HMAC: v.HMAC, Chain: v.Chain, Worn: true})
}

func worn(n int) error {
	return engine.Bad("version %d of the key has encrypted as often as it may", n)
}
