package token

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/draw"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Params are what a token is made with. Whether the caller may ask for that is
// not Create's business.
type Params struct {
	ID             string // chosen by the caller; "" draws one
	Policies       []string
	Path           string // of the request
	DisplayName    string
	Meta           map[string]string
	NumUses        int
	TTL            time.Duration // 0 is DefaultTTL; root lives forever
	DefaultTTL     time.Duration // of role or mount; 0 is the system's
	MaxTTL         time.Duration // of role or mount; 0 is the system's
	ExplicitMaxTTL time.Duration
	Period         time.Duration
	// RolePeriod and RoleExplicitMaxTTL hold as Period and ExplicitMaxTTL do, the
	// smaller of two, but are not the token's own: a renewal asks the role again.
	RolePeriod         time.Duration
	RoleExplicitMaxTTL time.Duration
	NotRenewable       bool
	Type               string // "" is Service
	BoundCIDRs         []string
	EntityID           string
	NoDefaultPolicy    bool // keeps "default" from being added
	Role               string
	Mount              string // UUID of the auth method that gives it
	Held               map[string]string
	LoginRole          string // of the auth method that gives it, which quotas go by
}

// Created is a new token.
type Created struct {
	Entry    *Entry
	Raw      string // the token itself; stored nowhere
	Warnings []string

	loginRole string
}

// CreateRoot makes a root token that never ends, with the given id or, when
// that is empty, a drawn one.
func (s *Store) CreateRoot(tx *storage.Tx, id string) (*Entry, string, error) {
	p := Params{ID: id, Policies: []string{"root"}, Path: "auth/token/root", DisplayName: "root"}
	if id != "" {
		p.Path, p.DisplayName = "auth/token/create", "token" // as if somebody had created it by its id
	}
	c, err := s.Create(tx, nil, p)
	if err != nil {
		return nil, "", err
	}
	return c.Entry, c.Raw, nil
}

// Create makes a token below parent, or an orphan when parent is nil. A child
// that is bound to no networks is bound to its parent's.
func (s *Store) Create(tx *storage.Tx, parent *Entry, p Params) (*Created, error) {
	now := s.o.Now()
	e := &Entry{
		Policies: policy.NormalizeList(p.Policies, !p.NoDefaultPolicy), Path: p.Path, DisplayName: p.DisplayName,
		Meta: maps.Clone(p.Meta), NumUses: p.NumUses, Created: now, Type: p.Type, BoundCIDRs: p.BoundCIDRs,
		EntityID: p.EntityID, Role: p.Role,
		Mount: p.Mount, Held: p.Held,
	}
	e.NoDefaultPolicy = !slices.Contains(e.Policies, "default")
	if e.Type == "" {
		e.Type = Service
	}
	mark, id, path, err := s.mark(tx)
	if err != nil {
		return nil, err
	}
	e.NamespaceID, e.NamespacePath = id, path
	if parent != nil {
		e.Parent = parent.ID
		if e.EntityID == parent.EntityID {
			e.EntityHome = parent.entityHome(e)
		}
		if len(e.BoundCIDRs) == 0 {
			e.BoundCIDRs = parent.BoundCIDRs
		}
	}
	c := &Created{Entry: e, loginRole: p.LoginRole}
	s.setTimes(c, p, now)
	if e.Type == Batch {
		return c, s.makeBatch(tx, c)
	}
	e.Renewable = !p.NotRenewable && !e.Expires.IsZero()
	return c, s.makeService(tx, c, p.ID, mark)
}

// setTimes decides how long a token lives.
func (s *Store) setTimes(c *Created, p Params, now time.Time) {
	e := c.Entry
	e.MaxTTL, e.TTL = p.MaxTTL, p.TTL
	e.Period, e.ExplicitMaxTTL = engine.ShorterOf(p.Period, p.RolePeriod), engine.ShorterOf(p.ExplicitMaxTTL, p.RoleExplicitMaxTTL)
	defer func() { // what is the role's is not noted
		e.Period, e.ExplicitMaxTTL = min(e.Period, p.Period), min(e.ExplicitMaxTTL, p.ExplicitMaxTTL)
	}()
	limit := s.limit(e)
	if e.ExplicitMaxTTL > limit {
		c.warn("Explicit max TTL of %q exceeded the effective max_ttl of %q; it is capped accordingly", engine.SpellDuration(e.ExplicitMaxTTL), engine.SpellDuration(limit))
		e.ExplicitMaxTTL = limit
	}
	switch {
	case e.Period > 0:
		if e.Period > limit {
			c.warn("Period of %q exceeded the effective max_ttl of %q; Period value is capped accordingly", engine.SpellDuration(e.Period), engine.SpellDuration(limit))
			e.Period = limit
		}
		e.TTL = e.Period
	case e.TTL == 0 && e.Root() && e.ExplicitMaxTTL == 0:
		return // forever
	case e.TTL == 0:
		e.TTL = p.DefaultTTL
		if e.TTL == 0 {
			e.TTL = s.o.DefaultTTL
		}
		e.TTL = min(e.TTL, limit)
	}
	if e.ExplicitMaxTTL > 0 {
		limit = min(limit, e.ExplicitMaxTTL)
	}
	if e.TTL > limit {
		if p.TTL > 0 {
			c.warn(capped, engine.SpellDuration(e.TTL), engine.SpellDuration(limit))
		}
		e.TTL = limit
	}
	e.Expires = now.Add(e.TTL)
}

const capped = "TTL of %q exceeded the effective max_ttl of %q; TTL value is capped accordingly"

func (c *Created) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// limit is the longest a token may live from its creation, apart from its
// explicit maximum.
func (s *Store) limit(e *Entry) time.Duration {
	if e.MaxTTL > 0 {
		return e.MaxTTL
	}
	return s.o.MaxTTL
}

func (s *Store) makeBatch(tx *storage.Tx, c *Created) (err error) {
	if c.Raw, err = s.sealBatch(c.Entry); err != nil {
		return err
	}
	if c.Entry.ID, err = s.id(tx, c.Raw); c.Entry.NamespaceID != "" {
		c.Entry.ID += "." + c.Entry.NamespaceID
	}
	return err
}

// makeService makes the rows of a token. mark is what ends it, its accessor and
// its storage id in a namespace.
func (s *Store) makeService(tx *storage.Tx, c *Created, chosen, mark string) (err error) {
	e := c.Entry
	if c.Raw = chosen; chosen == "" {
		drawn, err := draw.Base62(s.o.Rand, 24)
		if err != nil {
			return err
		}
		c.Raw = PrefixService + drawn
	}
	c.Raw += mark
	if e.ID, err = s.id(tx, c.Raw); err != nil {
		return err
	}
	e.ID += mark
	if chosen != "" {
		if old, err := entries(tx).Get(e.ID); err != nil {
			return err
		} else if old != nil {
			return engine.Bad("cannot create a token with a duplicate ID")
		}
	}
	if e.Accessor, err = draw.Base62(s.o.Rand, 24); err != nil {
		return err
	}
	e.Accessor += mark
	if e.CubbyholeID, err = draw.Base62(s.o.Rand, 24); err != nil {
		return err
	}
	entries(tx).Put(e.ID, e)
	accessors(tx).PutNew(e.Accessor, &accessorRow{Token: e.ID})
	if e.Parent != "" {
		of, err := s.home(tx, e.Parent)
		if err != nil {
			return err
		}
		of.In(storage.TokenTree).Put(treeKey(e.Parent, e.ID), nil)
	}
	if !e.Expires.IsZero() {
		schedule.Add(tx, e.Expires, schedule.Job{Kind: KindExpire, ID: e.ID})
		return lease.AttachToken(tx, quota.Lent{Namespace: e.NamespacePath, Path: e.Path, Role: c.loginRole}, e.ID)
	}
	return nil
}

// treeKey is the row that says that a token is another's child. It lies open,
// which is why it is made of storage ids.
func treeKey(parent, child string) string { return parent + "/" + child }
