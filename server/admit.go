package server

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
)

// A rated request lies in a rate limit.
type rated struct {
	rates  *quota.Rates
	rule   *quota.Rate            // that counts unless the role has one; nil is none
	roles  map[string]*quota.Rate // of the mount, if the request may be a login
	client quota.Client
}

// withinRate is asked before anything is read or looked up for a request: one
// beyond its rate limit costs the same whatever it carries. Where logins are
// limited by role, what the role is stands in the body; that is read only if
// there is a limit that would let the request pass.
func (s *Server) withinRate(ctx context.Context, w http.ResponseWriter, x *exchange) error {
	rates, err := s.limits.Latest(ctx, s.store)
	if err != nil || rates.None() {
		return err
	}
	tree, err := s.mounts.Spaces.Latest(ctx, s.store)
	if err != nil {
		return err
	}
	r := &x.rated
	r.rates = rates
	if space, path := tree.Resolve(x.q.Namespace, x.asked); space == nil {
		r.rule = rates.Everywhere()
	} else if rates.Exempt(space.Path, path) {
		return nil
	} else {
		r.rule = rates.Find(space.Path, path)
		if x.q.Op == engine.OpWrite {
			r.roles = rates.Roles(space.Path, path)
		}
	}
	r.client.Address, _ = netip.ParseAddr(x.q.RemoteAddr) // those of a unix socket are one client
	if r.rule != nil && r.rule.ByEntity() || len(r.roles) > 0 {
		if err := s.rateOf(ctx, x); err != nil {
			return err
		}
	}
	if len(r.roles) > 0 {
		return s.maybeWithin(ctx, w, x)
	}
	if r.rule == nil {
		return nil
	}
	return s.count(ctx, w, x, r.rule)
}

// rateOf looks up what a limit by entity or role goes by: whose the token is,
// and whether the request is a login.
func (s *Server) rateOf(ctx context.Context, x *exchange) error {
	return s.store.View(ctx, func(tx *storage.Tx) error {
		r := &x.rated
		tx, err := s.find(tx, x)
		if err != nil {
			r.roles = nil
			return nil //nolint:nilerr // it is refused for that in its turn
		}
		if x.noRoute != nil || !x.match.Info.Grants {
			r.roles = nil
		}
		e, err := s.tokens.Find(tx, x.q.Token)
		if err == nil && e != nil {
			r.client.Entity = e.EntityID
		}
		return err
	})
}

// maybeWithin refuses a login that is beyond every limit that might be its own.
func (s *Server) maybeWithin(ctx context.Context, w http.ResponseWriter, x *exchange) error {
	r, now := &x.rated, s.now()
	spent := r.rule
	if r.rule == nil || !s.limits.Spent(r.rule, r.client, now).Over {
		return nil
	}
	for _, rule := range r.roles {
		if !s.limits.Spent(rule, r.client, now).Over {
			return nil
		}
	}
	return s.count(ctx, w, x, spent)
}

// roleWithinRate counts a login of a mount with limits by role, once its body
// is there. It counts nothing else.
func (s *Server) roleWithinRate(ctx context.Context, w http.ResponseWriter, x *exchange) error {
	r := &x.rated
	if len(r.roles) == 0 {
		return nil
	}
	err := s.store.View(ctx, func(tx *storage.Tx) error {
		tx, err := s.find(tx, x)
		if err != nil || x.noRoute != nil {
			return nil //nolint:nilerr // told later, with the record
		}
		who, err := x.match.Who(s.newCall(ctx, tx, x))
		if rule := r.roles[who.Role]; err == nil && rule != nil {
			r.rule = rule
		}
		return nil
	})
	if err != nil || r.rule == nil {
		return err
	}
	return s.count(ctx, w, x, r.rule)
}

// count takes one request off what a limit allows.
func (s *Server) count(ctx context.Context, w http.ResponseWriter, x *exchange, rule *quota.Rate) error {
	r := &x.rated
	c := s.limits.Take(rule, r.client, s.now())
	if r.rates.Config.Headers {
		headCount(w.Header(), c)
	}
	if !c.Over {
		return nil
	}
	s.metrics.overRate.WithLabelValues(rule.Name).Inc()
	err := quota.Exceeded(x.asked)
	if r.rates.Config.Audit {
		return s.refuse(ctx, x, err)
	}
	return err
}

// headCount tells a client how it stands, in whole requests and seconds.
func headCount(h http.Header, c quota.Count) {
	reset := strconv.FormatInt(int64((c.Reset+time.Second-1)/time.Second), 10)
	h.Set("X-Ratelimit-Limit", strconv.FormatUint(c.Limit, 10))
	h.Set("X-Ratelimit-Remaining", strconv.FormatUint(c.Remaining, 10))
	h.Set("X-Ratelimit-Reset", reset)
	if c.Over {
		h.Set("Retry-After", reset)
	}
}

// refuse puts a request on record that goes no further. One that is for no
// namespace has no place there.
func (s *Server) refuse(ctx context.Context, x *exchange, refusal error) error {
	err := s.store.View(ctx, func(tx *storage.Tx) error {
		tx, err := s.find(tx, x)
		if err != nil {
			return nil //nolint:nilerr // it is refused all the same
		}
		x.call = s.newCall(ctx, tx, x)
		return s.auditRequest(tx, x, refusal)
	})
	if err != nil || x.ns == (*mount.Namespace)(nil) || x.call == nil {
		return orElse(err, refusal)
	}
	_, err = s.finish(x, nil, refusal)
	return err
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
