package sys

import (
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage/seal"
)

// SealBackends is the answer of sys/seal-backend-status. The shares stand among
// the keepers once they were tested.
type SealBackends struct {
	Healthy        bool          `json:"healthy"`
	UnhealthySince *time.Time    `json:"unhealthy_since,omitempty"`
	FullyWrapped   bool          `json:"fully_wrapped"`
	Backends       []SealBackend `json:"backends"`
}

// A SealBackend is one keeper of the root key.
type SealBackend struct {
	Name           string     `json:"name"`
	Type           string     `json:"type"`
	Healthy        bool       `json:"healthy"`
	UnhealthySince *time.Time `json:"unhealthy_since,omitempty"`
	// LastProved is when the keeper last gave back the root key in use.
	LastProved *time.Time `json:"last_proved,omitempty"`
}

func (s *System) sealBackends(engine.View, engine.None) (*SealBackends, error) {
	a := &SealBackends{Healthy: true, FullyWrapped: true, Backends: []SealBackend{}}
	for _, h := range s.Seals.Health() {
		b := SealBackend{Name: h.Name, Type: h.Type, Healthy: h.Healthy, UnhealthySince: orNoTime(h.Since), LastProved: orNoTime(h.Proved)}
		a.Backends = append(a.Backends, b)
		a.FullyWrapped = a.FullyWrapped && h.Wrapped
		if !h.Healthy {
			a.Healthy = false
			if a.UnhealthySince == nil || h.Since.Before(*a.UnhealthySince) {
				a.UnhealthySince = b.UnhealthySince
			}
		}
	}
	if len(a.Backends) == 0 {
		a.Backends = append(a.Backends, SealBackend{Name: s.Seals.Type(), Type: seal.Shamir, Healthy: true})
	}
	return a, nil
}

func orNoTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
