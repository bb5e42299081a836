package server

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/wire"
)

// metrics are what sys/metrics shows. Handles are resolved once, so that a
// request pays for an addition and not for a lookup by label.
type metrics struct {
	registry *prometheus.Registry
	shows    func(name string) bool
	requests [5]prometheus.Observer // by operation
	refused  prometheus.Counter
	overRate *prometheus.CounterVec // by name of the quota, as those of leases
	overMany *prometheus.CounterVec
	leases   []prometheus.Observer // by event
	usage    usage
}

func newMetrics(s *Server, t config.Telemetry) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), shows: shown(t)}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	labels := prometheus.Labels{}
	if t.EnableHostnameLabel {
		labels["host"] = hostname()
	}
	ours := prometheus.WrapRegistererWith(labels, m.registry)
	prefix := first(t.MetricsPrefix, "vault")
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + "_core_handle_request_seconds",
		Help: "Time to answer a request, in seconds.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}, []string{"operation"})
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "_core_refused_requests_total", Help: "Requests answered with an error."})
	m.overRate = prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "_quota_rate_limit_violation", Help: "Requests refused for their rate."}, []string{"name"})
	m.overMany = prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "_quota_lease_count_violation", Help: "Leases refused for their number."}, []string{"name"})
	gauge := func(name, help string, f func() float64) {
		ours.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	ours.MustRegister(seconds, m.refused, m.overRate, m.overMany, newCounted(s, prefix))
	for _, e := range lease.Events() {
		o := prometheus.NewSummary(prometheus.SummaryOpts{Name: prefix + "_expire_" + leaseEvents[e], Help: "Milliseconds, of events of leases."})
		ours.MustRegister(o)
		m.leases = append(m.leases, o)
	}
	for op := engine.OpRead; op <= engine.OpPatch; op++ {
		m.requests[op] = seconds.WithLabelValues(op.String())
	}
	gauge(prefix+"_core_unsealed", "1 while the node is unsealed.", func() float64 { return number(s.sys.Serving()) })
	gauge(prefix+"_core_active", "1 while the node is the active one.", func() float64 { return number(s.store.Leading() && s.sys.Serving()) })
	gauge(prefix+"_core_in_flight_requests", "Requests being answered.", func() float64 { return float64(len(s.InFlight())) })
	gauge(prefix+"_expire_num_leases", "Leases, as last counted.", func() float64 { return float64(m.usage.leases.Load()) })
	gauge(prefix+"_expire_num_irrevocable_leases", "Leases that cannot be revoked, as last counted.", func() float64 { return float64(m.usage.irrevocable.Load()) })
	gauge("fastness_storage_index", "Index of the last applied entry of the log.", func() float64 { return float64(s.store.Index()) })
	gauge("fastness_storage_retries_total", "Transactions that ran again because of a conflict.", func() float64 { return float64(s.store.Retries()) })
	return m
}

// shown is telemetry's prefix_filter: of the prefixes with + or - before them,
// the longest that fits a name decides, and otherwise filter_default. Names
// there have dots where ours have underscores.
func shown(t config.Telemetry) func(name string) bool {
	return func(name string) bool {
		verdict, longest := t.FilterDefault == nil || *t.FilterDefault, -1
		for _, f := range t.PrefixFilter {
			prefix := strings.ReplaceAll(f[1:], ".", "_")
			if strings.HasPrefix(name, prefix) && len(prefix) > longest {
				verdict, longest = f[0] == '+', len(prefix)
			}
		}
		return verdict
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// observe notes that a request was answered.
func (m *metrics) observe(q *wire.Request, err error) {
	m.requests[q.Op].Observe(time.Since(q.Start).Seconds())
	if err == nil {
		return
	}
	m.refused.Inc()
	if full := (*quota.Full)(nil); errors.As(err, &full) {
		m.overMany.WithLabelValues(full.Quota).Inc()
	}
}

// Metrics is the page of metrics in Prometheus' text format, version 0.0.4.
func (s *Server) Metrics() ([]byte, error) {
	families, err := s.metrics.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if !s.metrics.shows(f.GetName()) {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, fmt.Errorf("write metrics: %w", err)
		}
	}
	return b.Bytes(), nil
}
