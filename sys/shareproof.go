package sys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/seal"
)

// rowProof is the row of storage.System that says when shares last opened the
// root key.
const rowProof = "share-proof"

// A shareProof is noted, behind the barrier, whenever shares have opened the
// envelope of the root key: when they are made, when they unseal, when a quorum
// is given for anything. The self-test then shows that shares still open the
// root key in use without needing any: the envelope is the same, byte for byte,
// and so is the root key that was found in it. No share, and no key that could
// stand for the shares, is kept.
type shareProof struct {
	Envelope []byte    `json:"envelope"` // SHA-256 of rowRoot
	Root     []byte    `json:"root"`     // the barrier's RootID
	Proved   time.Time `json:"proved"`
}

// Reasons why the shares do not pass the self-test.
var (
	errNoShares  = errors.New("no key shares hold the root key: make some with \"fastness operator rekey -target=recovery\"")
	errUnproven  = errors.New("shares have not opened the root key since this cluster keeps note of it: unseal with them once, or give a quorum to \"fastness operator generate-root\"")
	errEnvelope  = errors.New("what the shares open is not what they last opened: storage was damaged or changed; make new shares while the node is unsealed")
	errOtherRoot = errors.New("the root key was replaced and the shares still hold the old one: make new shares while the node is unsealed")
)

// proveShares notes that shares open this envelope of the root key in use.
func (s *System) proveShares(tx *storage.Tx, envelope []byte) error {
	id, err := s.Barrier.RootID()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(envelope)
	storage.In[shareProof](tx.In(storage.System), "").Put(rowProof, &shareProof{sum[:], id, time.Now().UTC()})
	return nil
}

// testShares says whether the shares hold the root key in use, and notes it
// among the seals.
func (s *System) testShares(ctx context.Context) bool {
	err := s.sharesHold(ctx)
	if ctx.Err() != nil || errors.Is(err, storage.ErrSealed) {
		return true
	}
	changed := s.Seals.Note(seal.SharesName, seal.Shamir, !errors.Is(err, errNoShares), err)
	switch {
	case !changed:
	case err == nil:
		s.Logger.Info("the key shares hold the root key again")
	default:
		s.Logger.Warn("the key shares failed their self-test", "error", err)
	}
	return err == nil
}

func (s *System) sharesHold(ctx context.Context) error {
	var envelope []byte
	var proof *shareProof
	err := s.Store.View(ctx, func(tx *storage.Tx) (err error) {
		if envelope, err = tx.In(storage.Core).Get(rowRoot); err != nil {
			return err
		}
		proof, err = storage.In[shareProof](tx.In(storage.System), "").Get(rowProof)
		return err
	})
	if err != nil {
		return fmt.Errorf("read what the shares hold: %w", err)
	}
	id, err := s.Barrier.RootID()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(envelope)
	switch {
	case envelope == nil:
		return errNoShares
	case proof == nil:
		return errUnproven
	case !bytes.Equal(proof.Envelope, sum[:]):
		return errEnvelope
	case !bytes.Equal(proof.Root, id):
		return errOtherRoot
	}
	return nil
}
