package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/storage/seal"
)

// OpenSeals makes the seals of a configuration out of the kinds that this build
// has. It dials nobody. Everything wrong with a stanza is in the error, by key.
func OpenSeals(stanzas []config.Seal, kinds []seal.Kind, getenv func(string) string, logger *slog.Logger) (*seal.Set, error) {
	var members []*seal.Member
	var errs []error
	for _, c := range stanzas {
		if c.Type == seal.Shamir {
			continue
		}
		m, err := openSeal(c, kinds, environmentOf(c, stanzas, getenv), logger)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		members = append(members, m)
	}
	set := seal.NewSet(members, nil)
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, set.Close())...)
	}
	return set, nil
}

// environmentOf is the environment for a stanza that is the only one of its
// type, and nothing where variables could mean either of two.
func environmentOf(c config.Seal, stanzas []config.Seal, getenv func(string) string) func(string) string {
	for _, other := range stanzas {
		if other.Type == c.Type && other.Pos != c.Pos {
			return nil
		}
	}
	return getenv
}

func openSeal(c config.Seal, kinds []seal.Kind, getenv func(string) string, logger *slog.Logger) (*seal.Member, error) {
	where := fmt.Sprintf("seal %q", c.Name)
	if c.Pos.File != "" {
		where = c.Pos.String() + ": " + where
	}
	at := slices.IndexFunc(kinds, func(k seal.Kind) bool { return k.Type == c.Type })
	if at < 0 {
		return nil, fmt.Errorf("%s: this build has no seal of type %q", where, c.Type)
	}
	w, err := kinds[at].Open(seal.NewSettings(c.Settings, getenv), logger.With("seal", c.Name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return &seal.Member{Name: c.Name, Priority: c.Priority, Disabled: c.Disabled, Wrapper: w}, nil
}

// keepUnsealed lets the seals work until the function that it returns is
// called, which waits for them.
func (s *Server) keepUnsealed(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.sys.KeepUnsealed(ctx)
	}()
	return func() { cancel(); <-done }
}

// sealMetrics tells what the self-test of each keeper of the root key found.
type sealMetrics struct {
	set          *seal.Set
	now          func() time.Time
	healthy, age *prometheus.Desc
}

func newSealMetrics(set *seal.Set, now func() time.Time) *sealMetrics {
	return &sealMetrics{set: set, now: now,
		healthy: prometheus.NewDesc("fastness_seal_healthy", "1 if the keeper of the root key passed its last self-test.", []string{"seal", "type"}, nil),
		age: prometheus.NewDesc("fastness_seal_self_test_age_seconds",
			"Time since the keeper last gave back the root key in use, in seconds; -1 if it has not since this node started.", []string{"seal", "type"}, nil),
	}
}

// Describe names both.
func (m *sealMetrics) Describe(c chan<- *prometheus.Desc) {
	c <- m.healthy
	c <- m.age
}

func (m *sealMetrics) Collect(c chan<- prometheus.Metric) {
	for _, h := range m.set.Health() {
		age := -1.0
		if !h.Proved.IsZero() {
			age = m.now().Sub(h.Proved).Seconds()
		}
		c <- prometheus.MustNewConstMetric(m.healthy, prometheus.GaugeValue, number(h.Healthy), h.Name, h.Type)
		c <- prometheus.MustNewConstMetric(m.age, prometheus.GaugeValue, age, h.Name, h.Type)
	}
}

// TrySeal opens one stanza of a configuration and has it encrypt a key and give
// it back, as "operator diagnose" does.
func TrySeal(ctx context.Context, stanzas []config.Seal, at int, kinds []seal.Kind, getenv func(string) string) error {
	c := stanzas[at]
	m, err := openSeal(c, kinds, environmentOf(c, stanzas, getenv), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	m.Disabled = false
	set := seal.NewSet([]*seal.Member{m}, nil)
	_, err = set.Wrap(ctx, func([]byte) ([]byte, error) { return nil, nil })
	return errors.Join(err, set.Close())
}
