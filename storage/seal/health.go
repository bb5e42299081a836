package seal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// SharesName is the name by which the shares stand among the seals.
const SharesName = "shares"

// A Health says what the last self-test of a seal found.
type Health struct {
	Name    string
	Type    string
	Healthy bool
	// Proved is when the seal last gave back the root key in use; zero if it
	// never did since this node started.
	Proved time.Time
	// Since is when it stopped being healthy.
	Since time.Time
	// Wrapped says whether the store holds the root key under this seal.
	Wrapped bool
	// Reason is why it is not healthy.
	Reason string
}

// Health returns that of every keeper of the root key that was tested, in the
// order in which they are asked, shares last.
func (s *Set) Health() []Health {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Health
	for _, m := range s.enabled {
		if h := s.health[m.Name]; h != nil {
			all = append(all, *h)
		}
	}
	if h := s.health[SharesName]; h != nil {
		all = append(all, *h)
	}
	return all
}

// Note keeps what a test of a keeper found, and says whether that is another
// verdict than the last one.
func (s *Set) Note(name, kind string, wrapped bool, err error) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.health[name]
	if h == nil {
		h = &Health{Name: name, Type: kind, Healthy: true}
		s.health[name] = h
	}
	was := h.Healthy
	h.Healthy, h.Wrapped = err == nil, wrapped
	now := s.now()
	if err == nil {
		h.Proved, h.Since, h.Reason = now, time.Time{}, ""
		return !was
	}
	h.Reason = err.Error()
	if was {
		h.Since = now
	}
	return was
}

// A Verdict is what Review found about one seal.
type Verdict struct {
	Name    string
	Changed bool
	Err     error // nil is healthy
}

// Review tests every enabled seal: does it give back the root key in use?
// check opens the root key by a seal key and compares. A seal that does not,
// although it can be asked, or whose key has a newer version, wraps anew.
//
// It returns the wraps to be stored, and whether they differ from those given.
// Wraps of seals that are no longer enabled are dropped, but only once all that
// are enabled have one. renew asks for new wraps where the key has a newer
// version, which costs each seal another question.
func (s *Set) Review(ctx context.Context, wraps []Wrap, renew bool, check func(sealKey, root []byte) error,
	wrapRoot func(sealKey []byte) ([]byte, error)) (next []Wrap, differ bool, verdicts []Verdict) {
	whole := true
	for _, m := range s.enabled {
		w, fresh, err := s.review(ctx, m, wraps, renew, check, wrapRoot)
		if ctx.Err() != nil || errors.Is(err, storage.ErrSealed) {
			return wraps, false, nil // the node was stopped or sealed meanwhile
		}
		changed := s.Note(m.Name, m.Wrapper.Type(), w != nil, err)
		verdicts = append(verdicts, Verdict{m.Name, changed, err})
		whole = whole && w != nil && err == nil
		differ = differ || fresh
		if w != nil {
			next = append(next, *w)
		}
	}
	for _, w := range wraps {
		kept := slices.ContainsFunc(next, func(n Wrap) bool { return n.Name == w.Name && n.Type == w.Type })
		switch {
		case kept:
		case whole:
			differ = true // and it is dropped
		default:
			next = append(next, w)
		}
	}
	return next, differ, verdicts
}

// review returns the wrap that the member stands for from now on, nil if there
// is none, and whether it is a new one.
func (s *Set) review(ctx context.Context, m *Member, wraps []Wrap, renew bool, check func(sealKey, root []byte) error,
	wrapRoot func(sealKey []byte) ([]byte, error)) (w *Wrap, fresh bool, err error) {
	at := slices.IndexFunc(wraps, func(w Wrap) bool { return m.owns(&w) })
	if at < 0 {
		at = slices.IndexFunc(wraps, func(w Wrap) bool { return w.Name == m.Name && w.Type == m.Wrapper.Type() })
	}
	if at >= 0 {
		w = &wraps[at]
		err = m.openOne(ctx, w, check)
		if err == nil && !renew && m.owns(w) && w.Name == m.Name {
			return w, false, nil
		}
	}
	made, wrapErr := s.wrap(ctx, m, wrapRoot)
	switch {
	case w == nil && wrapErr != nil:
		return nil, false, fmt.Errorf("it does not hold the root key yet: %w", wrapErr)
	case w == nil || err != nil && wrapErr == nil:
		return made, true, nil
	case err != nil:
		return w, false, err
	case wrapErr != nil:
		return w, false, fmt.Errorf("it opens the root key but cannot seal it anew: %w", wrapErr)
	case w.Key.KeyID == made.Key.KeyID && m.owns(w) && w.Name == m.Name:
		return w, false, nil // the key is the same: nothing is gained by a new wrap
	}
	return made, true, nil
}
