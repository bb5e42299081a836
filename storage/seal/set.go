package seal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Patience bounds one question to a service. A node that unseals by several
// seals goes on to the next after it.
const Patience = 15 * time.Second

const sealKeySize = 32

// A Wrap is the root key as one seal keeps it: under a seal key of its own,
// which the service encrypted. Every wrap opens without the others.
type Wrap struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Target string `json:"target"`
	Key    Blob   `json:"key"`
	// Root is the root key under the seal key. Its form is the barrier's.
	Root []byte    `json:"root"`
	Made time.Time `json:"made"`
}

// Wraps is the row that holds the wraps of a cluster. It is readable before
// anything is unsealed, and holds no secret.
type Wraps struct {
	List []Wrap `json:"wraps"`
}

// A Member is one seal of the configuration.
type Member struct {
	Name     string
	Priority int  // the lowest is asked first
	Disabled bool // only there to be moved away from
	Wrapper  Wrapper
}

func (m *Member) owns(w *Wrap) bool {
	return m.Wrapper.Type() == w.Type && m.Wrapper.Target() == w.Target
}

// A Set is the seals of the configuration, asked in the order of their
// priorities. The zero value unseals by shares only.
type Set struct {
	enabled, disabled []*Member

	rand io.Reader
	now  func() time.Time

	mu     sync.Mutex
	health map[string]*Health // by name
}

// NewSet returns a set of the members. now is nil for time.Now.
func NewSet(members []*Member, now func() time.Time) *Set {
	s := &Set{rand: rand.Reader, now: now, health: map[string]*Health{}}
	if now == nil {
		s.now = time.Now
	}
	for _, m := range members {
		if m.Disabled {
			s.disabled = append(s.disabled, m)
		} else {
			s.enabled = append(s.enabled, m)
		}
	}
	slices.SortStableFunc(s.enabled, func(a, b *Member) int { return cmp.Compare(a.Priority, b.Priority) })
	return s
}

// Auto says whether a seal opens by itself.
func (s *Set) Auto() bool { return s != nil && len(s.enabled) > 0 }

// Type is that of the seal that is asked first, or [Shamir].
func (s *Set) Type() string {
	if !s.Auto() {
		return Shamir
	}
	return s.enabled[0].Wrapper.Type()
}

// Configured says whether there is any seal but the shares, enabled or not.
func (s *Set) Configured() bool { return s != nil && len(s.enabled)+len(s.disabled) > 0 }

// Migrating says whether the configuration asks for other keepers of the root
// key than a cluster of this kind has, so that people must agree by shares.
func (s *Set) Migrating(kind string, wraps []Wrap) bool {
	switch {
	case kind == Shamir:
		return s.Auto()
	case !s.Auto():
		return s.Configured()
	}
	return !owned(s.enabled, wraps) && owned(s.disabled, wraps)
}

func owned(members []*Member, wraps []Wrap) bool {
	for _, m := range members {
		if slices.ContainsFunc(wraps, func(w Wrap) bool { return m.owns(&w) }) {
			return true
		}
	}
	return false
}

// Open asks the seals one after the other until use takes a seal key and the
// wrapped root key. The error names what was wrong with each of them.
func (s *Set) Open(ctx context.Context, wraps []Wrap, use func(sealKey, root []byte) error) error {
	var errs []error
	for _, m := range s.enabled {
		err := m.open(ctx, wraps, use)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("seal %q: %w", m.Name, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// open tries the wraps that may be the member's, its own first: a target may
// be spelt in another way than when the wrap was made.
func (m *Member) open(ctx context.Context, wraps []Wrap, use func(sealKey, root []byte) error) error {
	mine := slices.DeleteFunc(slices.Clone(wraps), func(w Wrap) bool { return w.Type != m.Wrapper.Type() })
	slices.SortStableFunc(mine, func(a, b Wrap) int { return cmp.Compare(rank(m, &a), rank(m, &b)) })
	err := errNeverSealed
	for i := range mine {
		tried := m.openOne(ctx, &mine[i], use)
		switch {
		case tried == nil:
			return nil
		case m.owns(&mine[i]):
			err = tried // the others are of other keys: what they say explains nothing
		case errors.Is(err, errNeverSealed):
			err = fmt.Errorf("%w (%w)", errNeverSealed, tried)
		}
	}
	return err
}

var errNeverSealed = errors.New("the root key was never sealed by it as it is configured now: put the old settings back, or unseal with recovery keys, and it will be")

func rank(m *Member, w *Wrap) int {
	if m.owns(w) {
		return 0
	}
	return 1
}

func (m *Member) openOne(ctx context.Context, w *Wrap, use func(sealKey, root []byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	key, err := m.Wrapper.Decrypt(ctx, w.Key)
	if err != nil {
		return err
	}
	defer clear(key)
	return use(key, w.Root)
}

// Wrap asks every enabled seal to keep the root key and returns the wraps of
// those that do, the others' errors joined. wrapRoot seals the root key under a
// seal key. A wrap is opened again before it counts.
func (s *Set) Wrap(ctx context.Context, wrapRoot func(sealKey []byte) ([]byte, error)) ([]Wrap, error) {
	var made []Wrap
	var errs []error
	for _, m := range s.enabled {
		w, err := s.wrap(ctx, m, wrapRoot)
		if err != nil {
			errs = append(errs, fmt.Errorf("seal %q: %w", m.Name, err))
			continue
		}
		made = append(made, *w)
	}
	return made, errors.Join(errs...)
}

func (s *Set) wrap(ctx context.Context, m *Member, wrapRoot func(sealKey []byte) ([]byte, error)) (*Wrap, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*Patience)
	defer cancel()
	key := make([]byte, sealKeySize)
	defer clear(key)
	if _, err := io.ReadFull(s.rand, key); err != nil {
		return nil, fmt.Errorf("draw seal key: %w", err)
	}
	root, err := wrapRoot(key)
	if err != nil {
		return nil, err
	}
	blob, err := m.Wrapper.Encrypt(ctx, key)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(blob.Data, key) {
		return nil, errors.New("it gave the seal key back as it was, not encrypted: it is no key service")
	}
	again, err := m.Wrapper.Decrypt(ctx, blob)
	if err != nil {
		return nil, fmt.Errorf("open what it has just sealed: %w", err)
	}
	defer clear(again)
	if !bytes.Equal(key, again) {
		return nil, errors.New("it gave back another key than it was given: look into the service before you rely on it")
	}
	return &Wrap{Name: m.Name, Type: m.Wrapper.Type(), Target: m.Wrapper.Target(), Key: blob, Root: root, Made: s.now().UTC()}, nil
}

// Close closes all wrappers.
func (s *Set) Close() error {
	if s == nil {
		return nil
	}
	var errs []error
	for _, m := range slices.Concat(s.enabled, s.disabled) {
		if err := m.Wrapper.Close(); err != nil {
			errs = append(errs, fmt.Errorf("seal %q: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}
