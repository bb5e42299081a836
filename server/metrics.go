package server

import (
	"bytes"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/wire"
)

// metrics are what sys/metrics shows. Handles are resolved once, so that a
// request pays for an addition and not for a lookup by label.
type metrics struct {
	registry *prometheus.Registry
	requests [5]prometheus.Observer // by operation
	refused  prometheus.Counter
	overRate prometheus.Counter
}

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "vault_core_handle_request_seconds",
		Help: "Time to answer a request, in seconds.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}, []string{"operation"})
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{Name: "vault_core_refused_requests_total", Help: "Requests answered with an error."})
	m.overRate = prometheus.NewCounter(prometheus.CounterOpts{Name: "vault_quota_rate_limit_violation", Help: "Requests refused for their rate."})
	gauge := func(name, help string, f func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	m.registry.MustRegister(seconds, m.refused, m.overRate)
	for op := engine.OpRead; op <= engine.OpPatch; op++ {
		m.requests[op] = seconds.WithLabelValues(op.String())
	}
	gauge("vault_core_unsealed", "1 while the node is unsealed.", func() float64 { return number(s.sys.Serving()) })
	gauge("vault_core_active", "1 while the node is the active one.", func() float64 { return number(s.store.Leading() && s.sys.Serving()) })
	gauge("vault_core_in_flight_requests", "Requests being answered.", func() float64 { return float64(len(s.InFlight())) })
	gauge("fastness_storage_index", "Index of the last applied entry of the log.", func() float64 { return float64(s.store.Index()) })
	gauge("fastness_storage_retries_total", "Transactions that ran again because of a conflict.", func() float64 { return float64(s.store.Retries()) })
	return m
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
	if err != nil {
		m.refused.Inc()
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
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, fmt.Errorf("write metrics: %w", err)
		}
	}
	return b.Bytes(), nil
}
