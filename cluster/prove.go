package cluster

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// How a node joins: it asks for a challenge, answers it under a key derived from
// the root key, and what it gets back is authenticated under the same key. So
// each knows that the other holds the root key, and the key stays where it is.
//
//	challenge: time (8, ns since 1970) | random (16) | HMAC under the process's key (32)
//	answer:    HMAC(join key, "answer" | challenge | node id | address | public key)
//	seal:      HMAC(join key, "reply"  | challenge | node id | address | public key | reply)
//
// Each field goes with its length before it, so that no two claims are the same
// bytes. A challenge may be answered twice: the answer is bound to the joiner's
// key, and whoever repeats it lets in the same node. The seal is bound to that
// key too, so that the reply to one join is none to another.

const (
	challengeLife   = time.Minute
	challengeRandom = 16
	challengeSize   = 8 + challengeRandom + sha256.Size
	joinInfo        = "fastness join"
)

var (
	// ErrChallenge is for a challenge that this process did not give or that is
	// older than a minute.
	ErrChallenge = errors.New("the challenge is not of this node or has passed: ask for another one")
	// ErrProof is for an answer or a reply by someone who does not hold the root key.
	ErrProof = errors.New("the proof is wrong: the nodes do not hold the same root key, or someone stands between them")
)

// A Claim is what a joiner says of itself.
type Claim struct {
	NodeID    string `json:"node_id"`
	Address   string `json:"address"`    // host:port of its cluster listener
	PublicKey []byte `json:"public_key"` // PKIX in DER
}

// A Challenger gives challenges and checks the answers. It remembers none: a
// challenge holds what is needed, sealed under a key of this process.
type Challenger struct {
	key [32]byte
	now func() time.Time
}

// NewChallenger draws the key.
func NewChallenger(now func() time.Time) (*Challenger, error) {
	c := &Challenger{now: now}
	if _, err := rand.Read(c.key[:]); err != nil {
		return nil, fmt.Errorf("draw the key of challenges: %w", err)
	}
	return c, nil
}

// Challenge makes one, valid for a minute.
func (c *Challenger) Challenge() ([]byte, error) {
	b := make([]byte, 8+challengeRandom, challengeSize)
	binary.BigEndian.PutUint64(b, uint64(c.now().UnixNano()))
	if _, err := rand.Read(b[8:]); err != nil {
		return nil, fmt.Errorf("draw a challenge: %w", err)
	}
	return append(b, authenticate(c.key[:], "challenge", b)...), nil
}

// Check reports whether answer proves, for one of its own challenges, that who
// claims this holds the root key. Errors are [ErrChallenge] and [ErrProof].
func (c *Challenger) Check(rootKey, challenge []byte, claim Claim, answer []byte) error {
	if len(challenge) != challengeSize {
		return ErrChallenge
	}
	head, tag := challenge[:8+challengeRandom], challenge[8+challengeRandom:]
	if !hmac.Equal(tag, authenticate(c.key[:], "challenge", head)) {
		return ErrChallenge
	}
	age := c.now().Sub(time.Unix(0, int64(binary.BigEndian.Uint64(head))))
	if age < 0 || age > challengeLife {
		return ErrChallenge
	}
	right, err := Answer(rootKey, challenge, claim)
	if err != nil {
		return err
	}
	if !hmac.Equal(answer, right) {
		return ErrProof
	}
	return nil
}

// Answer is the joiner's part. The root key has 32 bytes.
func Answer(rootKey, challenge []byte, claim Claim) ([]byte, error) {
	key, err := joinKey(rootKey)
	if err != nil {
		return nil, err
	}
	return authenticate(key, "answer", challenge, []byte(claim.NodeID), []byte(claim.Address), claim.PublicKey), nil
}

// SealReply authenticates what a node that lets the claimer in says to it.
func SealReply(rootKey, challenge []byte, claim Claim, reply []byte) ([]byte, error) {
	key, err := joinKey(rootKey)
	if err != nil {
		return nil, err
	}
	return authenticate(key, "reply", challenge, []byte(claim.NodeID), []byte(claim.Address), claim.PublicKey, reply), nil
}

// CheckReply is the joiner's check of SealReply; a wrong seal is [ErrProof].
func CheckReply(rootKey, challenge []byte, claim Claim, reply, seal []byte) error {
	right, err := SealReply(rootKey, challenge, claim, reply)
	if err != nil {
		return err
	}
	if !hmac.Equal(seal, right) {
		return ErrProof
	}
	return nil
}

func joinKey(rootKey []byte) ([]byte, error) {
	if len(rootKey) != 32 {
		return nil, fmt.Errorf("the root key has %d bytes and not 32", len(rootKey))
	}
	key, err := hkdf.Key(sha256.New, rootKey, nil, joinInfo, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the key for joining: %w", err)
	}
	return key, nil
}

// authenticate covers the purpose and each field with its length.
func authenticate(key []byte, purpose string, fields ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	var size [8]byte
	for _, field := range append([][]byte{[]byte(purpose)}, fields...) {
		binary.BigEndian.PutUint64(size[:], uint64(len(field)))
		mac.Write(size[:])
		mac.Write(field)
	}
	return mac.Sum(nil)
}
