package seal

import (
	"crypto/subtle"
	"errors"
	"sync"
)

// ErrIncomplete says that a ceremony's secret was asked for too early.
var ErrIncomplete = errors.New("not enough key shares yet")

// A Ceremony collects shares until there are enough to restore the secret:
// for unsealing, for a rekey and its verification, for a new root token.
// It is safe for concurrent use.
//
//	idle ──Start or first Add──▶ collecting ──required shares──▶ complete
//	 ▲                             ▲   │                            │
//	 │                             └───┴─────────── Reset ──────────┤
//	 └────────────────────────── Clear ─────────────────────────────┘
//
// It cannot tell a wrong share from a right one: whoever takes the secret
// finds out, and then drops all shares with Reset or Clear.
type Ceremony struct {
	required int
	newNonce func() string

	mu     sync.Mutex
	nonce  string
	shares [][]byte
}

// NewCeremony returns an idle ceremony of required shares, at least one.
// newNonce makes the names by which clients refer to an attempt.
func NewCeremony(required int, newNonce func() string) *Ceremony {
	return &Ceremony{required: max(required, 1), newNonce: newNonce}
}

// Progress is the visible state of a ceremony.
type Progress struct {
	Nonce    string // empty while idle
	Required int
	Progress int
}

// Progress returns how far the ceremony is.
func (c *Ceremony) Progress() Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Progress{Nonce: c.nonce, Required: c.required, Progress: len(c.shares)}
}

// Start gives the ceremony its nonce and returns it. A ceremony that has one
// keeps it.
func (c *Ceremony) Start() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start()
	return c.nonce
}

func (c *Ceremony) start() {
	if c.nonce == "" {
		c.nonce = c.newNonce()
	}
}

// IsNonce says whether the ceremony was started and nonce is its name.
func (c *Ceremony) IsNonce(nonce string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nonce != "" && subtle.ConstantTimeCompare([]byte(c.nonce), []byte(nonce)) == 1
}

// Has says whether the share was added already.
func (c *Ceremony) Has(share []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.has(share)
}

func (c *Ceremony) has(share []byte) bool {
	found := 0
	for _, s := range c.shares {
		found |= subtle.ConstantTimeCompare(s, share)
	}
	return found == 1
}

// Add adds a copy of the share and says whether the ceremony is complete. A
// share that was added already, or comes after the last one needed, changes
// nothing. The only error is [ErrShareLength].
func (c *Ceremony) Add(share []byte) (done bool, err error) {
	if err := CheckShare(share); err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start()
	if len(c.shares) < c.required && !c.has(share) {
		c.shares = append(c.shares, append([]byte(nil), share...))
	}
	return len(c.shares) >= c.required, nil
}

// Secret restores the secret of a complete ceremony. The caller owns it and
// wipes it. With one required share, that share is the secret.
func (c *Ceremony) Secret() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.shares) < c.required:
		return nil, ErrIncomplete
	case c.required == 1:
		return append([]byte(nil), c.shares[0]...), nil
	}
	return Combine(c.shares)
}

// Reset wipes the shares. The nonce stays: the attempt goes on from zero.
func (c *Ceremony) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wipe()
}

// Clear wipes the shares and forgets the nonce: the attempt is over.
func (c *Ceremony) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wipe()
	c.nonce = ""
}

func (c *Ceremony) wipe() {
	for _, s := range c.shares {
		clear(s)
	}
	c.shares = nil
}
