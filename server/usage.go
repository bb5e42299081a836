package server

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/storage"
)

// leaseEvents are Vault's names for what happens to leases.
var leaseEvents = map[lease.Event]string{
	lease.Registered: "register", lease.Renewed: "renew", lease.Revoked: "revoke",
	lease.RevokedPrefix: "revoke_prefix", lease.RevokedForce: "revoke_force", lease.RevokedByToken: "revoke_by_token",
	lease.Expired: "lease_expiration", lease.ExpiredFailed: "lease_expiration_error",
}

// observeLease notes something that happened to leases.
func (m *metrics) observeLease(e lease.Event, took time.Duration) {
	m.leases[e].Observe(float64(took) / float64(time.Millisecond))
}

// usage is what is counted now and then, since no row says it: a scrape shows the
// last count.
type usage struct {
	leases      atomic.Int64
	irrevocable atomic.Int64
}

// usagePeriod is how long after one count the next begins, unless telemetry says.
const usagePeriod = 10 * time.Minute

// countUsage counts until the context ends.
func (s *Server) countUsage(ctx context.Context) {
	period := s.usagePeriod
	if period <= 0 {
		period = usagePeriod
	}
	u := &s.metrics.usage
	defer func() { u.leases.Store(0); u.irrevocable.Store(0) }()
	for {
		if err := s.countLeases(ctx, u); err != nil && ctx.Err() == nil && !errors.Is(err, storage.ErrNotLeader) {
			s.logger.Error("count leases", "error", err)
		}
		t := time.NewTimer(period)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

func (s *Server) countLeases(ctx context.Context, u *usage) error {
	tree, err := s.mounts.Spaces.Latest(ctx, s.store)
	if err != nil {
		return err
	}
	all, stuck := 0, 0
	for _, n := range tree.All() {
		count, err := lease.Size(ctx, s.store, n.Number)
		if err != nil {
			return err
		}
		if err := s.store.View(ctx, func(tx *storage.Tx) error {
			_, byMount, err := s.leases.Irrevocable(tx.Of(n.Number), 0)
			for _, n := range byMount {
				stuck += n
			}
			return err
		}); err != nil {
			return err
		}
		all += count
	}
	u.leases.Store(int64(all))
	u.irrevocable.Store(int64(stuck))
	return nil
}

// counted shows the lease-count quotas, which know what they count.
type counted struct {
	s          *Server
	count, max *prometheus.Desc
}

func newCounted(s *Server, prefix string) *counted {
	return &counted{s,
		prometheus.NewDesc(prefix+"_quota_lease_count_counter", "Leases that a quota counts.", []string{"name"}, nil),
		prometheus.NewDesc(prefix+"_quota_lease_count_max", "Leases that a quota allows.", []string{"name"}, nil)}
}

// Describe is of prometheus.Collector.
func (c *counted) Describe(to chan<- *prometheus.Desc) { to <- c.count; to <- c.max }

// Collect is of prometheus.Collector.
func (c *counted) Collect(to chan<- prometheus.Metric) {
	type held struct {
		q *quota.Leases
		n int64
	}
	var all []held
	err := c.s.store.View(context.Background(), func(tx *storage.Tx) error {
		all = all[:0]
		quotas, err := quota.AllLeases(tx)
		if err != nil {
			return err
		}
		for _, q := range quotas {
			n, err := quota.Held(tx, q)
			if err != nil {
				return err
			}
			all = append(all, held{q, n})
		}
		return nil
	})
	if err != nil {
		return // sealed, or about to be: there is nothing to show
	}
	for _, h := range all {
		to <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(h.n), h.q.Name)
		to <- prometheus.MustNewConstMetric(c.max, prometheus.GaugeValue, float64(h.q.Max), h.q.Name)
	}
}
