// Package sealtest is a key service for tests: it encrypts in memory, can be
// switched off, and can lose its key.
package sealtest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/fastness-dev/fastness/storage/seal"
)

// ErrAway is what a service says that is switched off.
var ErrAway = errors.New("the service does not answer")

// A Service is a seal of type "test", or what Kind says.
type Service struct {
	Kind string
	Name string

	mu      sync.Mutex
	away    bool
	version int
	keys    map[int]cipher.AEAD
	asked   int
}

// New returns a service with a key of its own.
func New(name string) *Service {
	s := &Service{Kind: "test", Name: name, keys: map[int]cipher.AEAD{}}
	s.Rotate()
	return s
}

// Member is the service as a seal of a configuration.
func (s *Service) Member(priority int) *seal.Member {
	return &seal.Member{Name: s.Name, Priority: priority, Wrapper: s}
}

// Leaving is the service as a seal that is to be moved away from.
func (s *Service) Leaving() *seal.Member {
	return &seal.Member{Name: s.Name, Disabled: true, Wrapper: s}
}

// Away switches the service off or on.
func (s *Service) Away(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// Rotate gives the service a new version of its key. Old ones still decrypt.
func (s *Service) Rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	s.version++
	s.keys[s.version] = aead
}

// Forget loses all versions of the key and makes a new one of the same name.
func (s *Service) Forget() {
	s.mu.Lock()
	clear(s.keys)
	s.version = 0
	s.mu.Unlock()
	s.Rotate()
}

// Asked is how often the service was asked for anything.
func (s *Service) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Type is Kind.
func (s *Service) Type() string { return s.Kind }

// Target is the service's name.
func (s *Service) Target() string { return s.Name }

// Close does nothing.
func (s *Service) Close() error { return nil }

// Encrypt seals under the newest version.
func (s *Service) Encrypt(_ context.Context, key []byte) (seal.Blob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.away {
		return seal.Blob{}, ErrAway
	}
	aead := s.keys[s.version]
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	return seal.Blob{KeyID: strconv.Itoa(s.version), Data: aead.Seal(nonce, nonce, key, nil)}, nil
}

// Decrypt opens what any version of the key sealed.
func (s *Service) Decrypt(_ context.Context, b seal.Blob) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.away {
		return nil, ErrAway
	}
	version, err := strconv.Atoi(b.KeyID)
	aead := s.keys[version]
	if err != nil || aead == nil || len(b.Data) < aead.NonceSize() {
		return nil, fmt.Errorf("there is no key %q", b.KeyID)
	}
	key, err := aead.Open(nil, b.Data[:aead.NonceSize()], b.Data[aead.NonceSize():], nil)
	if err != nil {
		return nil, errors.New("it was sealed by another key")
	}
	return key, nil
}
