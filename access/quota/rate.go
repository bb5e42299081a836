package quota

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/storage"
)

// Whom a rate limit counts together.
const (
	ByIP             = "ip"
	ByNone           = "none"
	ByEntityThenIP   = "entity_then_ip"
	ByEntityThenNone = "entity_then_none"
)

// A Rate is a rate limit as it is stored: Rate requests in each Interval.
type Rate struct {
	Name string `json:"name"`
	// ID is drawn anew whenever the limit is written, so that its buckets begin
	// anew too.
	ID    uint64 `json:"id"`
	Scope `json:"scope"`
	Rate  float64 `json:"rate"`
	// Secondary is the Rate of clients without an entity; 0 is the same.
	Secondary float64       `json:"secondary_rate"`
	Interval  time.Duration `json:"interval"`
	// Block is for how long a client that went beyond is refused everything; 0 is
	// until the interval ends.
	Block   time.Duration `json:"block_interval"`
	GroupBy string        `json:"group_by"`

	first, second window // of Rate and of Secondary
}

// ByEntity says whether it matters to the limit who asks.
func (r *Rate) ByEntity() bool { return r.GroupBy == ByEntityThenIP || r.GroupBy == ByEntityThenNone }

// windowOf is whole requests in a time: half a request in a second is one in two.
func windowOf(rate float64, interval time.Duration) window {
	w := window{limit: 1, length: int64(interval)}
	if rate >= 1 {
		w.limit = uint64(min(rate, math.MaxInt64))
	} else if scaled := float64(interval) / rate; scaled < math.MaxInt64/2 {
		w.length = int64(scaled)
	} else {
		w.length = math.MaxInt64 / 2
	}
	return w
}

// Config is what holds for all rate limits.
type Config struct {
	Exempt         []string `json:"rate_limit_exempt_paths"`          // in every namespace
	AbsoluteExempt []string `json:"absolute_rate_limit_exempt_paths"` // with their namespace
	Headers        bool     `json:"enable_rate_limit_response_headers"`
	Audit          bool     `json:"enable_rate_limit_audit_logging"`
}

// DefaultExempt are the paths that no limit counts unless told otherwise.
func DefaultExempt() []string {
	return []string{
		"sys/generate-recovery-token/attempt",
		"sys/generate-recovery-token/update",
		"sys/generate-root/attempt",
		"sys/generate-root/update",
		"sys/health",
		"sys/seal-status",
		"sys/unseal",
	}
}

// Rates are the rate limits at one index of the log.
type Rates struct {
	Config Config
	any    bool
	index  index[Rate]
}

// None says that there is no rate limit at all.
func (r *Rates) None() bool { return !r.any }

// Exempt says whether a path of a namespace is never limited.
func (r *Rates) Exempt(namespace, path string) bool {
	for _, e := range r.Config.Exempt {
		if covers(e, path) {
			return true
		}
	}
	for _, e := range r.Config.AbsoluteExempt {
		if rest, ok := strings.CutPrefix(e, namespace); ok && covers(rest, path) {
			return true
		}
	}
	return false
}

func covers(exempt, path string) bool {
	if begin, ok := strings.CutSuffix(exempt, "*"); ok {
		return strings.HasPrefix(path, begin)
	}
	return strings.TrimSuffix(path, "/") == strings.TrimSuffix(exempt, "/")
}

// Find gives the limit of a request, as far as it is not for a role, or nil.
func (r *Rates) Find(namespace, path string) *Rate { return r.index.find(namespace, path) }

// Everywhere is the limit of requests that are for no namespace there is.
func (r *Rates) Everywhere() *Rate { return r.index.all }

// Roles are the limits by role of the mount that a path lies in; nil if there
// are none.
func (r *Rates) Roles(namespace, path string) map[string]*Rate {
	if w, _ := r.index.at(namespace, path); w != nil {
		return w.roles
	}
	return nil
}

// Limits keeps the rate limits and counts by them.
type Limits struct {
	derived storage.Derived[*Rates]
	buckets buckets
}

// NewLimits returns limits that have counted nothing.
func NewLimits() *Limits {
	l := &Limits{}
	l.derived.Range = storage.Quotas
	l.derived.Build = buildRates
	l.buckets.init(bucketsPerShard)
	return l
}

// Drop forgets the limits: the barrier was sealed. What was counted stays.
func (l *Limits) Drop() { l.derived.Drop() }

// Latest are the limits as of the last applied entry.
func (l *Limits) Latest(ctx context.Context, s *storage.Store) (*Rates, error) {
	return l.derived.Latest(ctx, s)
}

func buildRates(rows storage.Rows) (*Rates, error) {
	r := &Rates{}
	config, err := storage.In[Config](rows, "").Get(rowConfig)
	if err != nil {
		return nil, fmt.Errorf("read quota configuration: %w", err)
	}
	if config == nil {
		config = &Config{Exempt: DefaultExempt()}
	}
	r.Config = *config
	table := storage.In[Rate](rows, rowsRate)
	names, err := table.Names("", "")
	if err != nil {
		return nil, fmt.Errorf("list rate limits: %w", err)
	}
	for _, name := range names {
		q, err := table.Get(name)
		if err != nil {
			return nil, fmt.Errorf("read rate limit: %w", err)
		}
		q.first = windowOf(q.Rate, q.Interval)
		q.second = q.first
		if q.Secondary > 0 {
			q.second = windowOf(q.Secondary, q.Interval)
		}
		r.index.add(&q.Scope, q)
		r.any = true
	}
	return r, nil
}

// A Client is whose requests are counted. Entity is needed only where ByEntity
// says so.
type Client struct {
	Address netip.Addr
	Entity  string // "" is none
}

// A Count is where a client stands after a request.
type Count struct {
	Over      bool // the request is one too many
	Limit     uint64
	Remaining uint64
	Reset     time.Duration // until the client may ask for more
}

// Take counts a request.
func (l *Limits) Take(r *Rate, c Client, now time.Time) Count {
	key, w := l.key(r, c)
	return l.buckets.take(key, w, int64(r.Block), now.UnixNano())
}

// Spent says where a client stands without counting anything.
func (l *Limits) Spent(r *Rate, c Client, now time.Time) Count {
	key, w := l.key(r, c)
	return l.buckets.look(key, w, now.UnixNano())
}

func (l *Limits) key(r *Rate, c Client) (bucketKey, *window) {
	k := bucketKey{rule: r.ID}
	switch r.GroupBy {
	case ByNone:
		return k, &r.first
	case ByEntityThenIP, ByEntityThenNone:
		if c.Entity != "" {
			k.kind, k.who = whoEntity, l.buckets.hash(c.Entity)
			return k, &r.first
		}
		if r.GroupBy == ByEntityThenIP {
			k.kind, k.who = whoAddress, c.Address.As16()
		}
		return k, &r.second
	}
	k.kind, k.who = whoAddress, c.Address.As16()
	return k, &r.first
}

// Exceeded is the refusal of a request beyond its rate.
func Exceeded(path string) error {
	return &api.Error{Status: http.StatusTooManyRequests, Errors: []string{fmt.Sprintf("request path %q: rate limit quota exceeded", path)}}
}
