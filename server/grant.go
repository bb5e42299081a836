package server

import (
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/password"
	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
)

// grant makes the token of a login, in the login's transaction.
func (s *Server) grant(tx *storage.Tx, x *exchange, g *engine.Grant) (*engine.Answer, error) {
	p, err := paramsOf(x.live, g)
	if err != nil {
		return nil, err
	}
	p.Path = x.q.Path
	if p.EntityID, err = s.enter(tx, x, g); err != nil {
		return nil, err
	}
	if a, wait, err := s.secondFactor(tx, x, g, p.EntityID); wait || err != nil {
		return a, err
	}
	return s.give(tx, x, p)
}

// give makes a token that was granted.
func (s *Server) give(tx *storage.Tx, x *exchange, p token.Params) (*engine.Answer, error) {
	c, err := s.tokens.Create(tx, nil, p)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		x.call.Warn("%s", w)
	}
	x.who, x.letIn = c.Entry, c.Raw // whom the audit record of the answer names
	return &engine.Answer{Auth: c.Entry.Auth(c.Raw, s.now())}, nil
}

// paramsOf is the token that a grant asks for at a mount. No login gives a root
// token, however root is spelt.
func paramsOf(l *mount.Live, g *engine.Grant) (token.Params, error) {
	t := &g.Terms
	policies := policy.NormalizeList(t.Policies, !t.NoDefaultPolicy)
	if slices.Contains(policies, "root") {
		return token.Params{}, engine.Bad("auth methods cannot create root tokens")
	}
	p := token.Params{
		Policies: policies, NoDefaultPolicy: true, // it is among them already, if it is to be
		DisplayName: displayName(l.Path, g.DisplayName), Meta: g.Meta, NumUses: t.NumUses,
		TTL: time.Duration(t.TTL), DefaultTTL: l.Mount.DefaultTTL, MaxTTL: engine.ShorterOf(time.Duration(t.MaxTTL), l.Mount.MaxTTL),
		ExplicitMaxTTL: time.Duration(t.ExplicitMaxTTL), Period: time.Duration(t.Period),
		NotRenewable: g.NotRenewable, Type: tokenType(l.Config.TokenType, t.Type), BoundCIDRs: t.BoundCIDRs,
		Mount: l.UUID, Held: g.Held, LoginRole: g.Role,
	}
	if p.Type == token.Batch && (p.NumUses > 0 || p.Period > 0) {
		return p, engine.Bad("this login gives batch tokens, which can have neither a period nor a number of uses")
	}
	return p, nil
}

// tokenType is what a login gives: what the mount insists on, else what the
// role does, else their default.
func tokenType(mount, role string) string {
	switch {
	case mount == token.Service || mount == token.Batch:
		return mount
	case role == token.Service || role == token.Batch:
		return role
	case role == "default-batch" || mount == "default-batch" && role != "default-service":
		return token.Batch
	}
	return token.Service
}

// displayName is a login's name after that of its mount: "userpass-ann".
func displayName(mountPath, name string) string {
	at := strings.ReplaceAll(strings.Trim(strings.TrimPrefix(mountPath, "auth/"), "/"), "/", "-")
	return strings.TrimSuffix(at+"-"+name, "-")
}

// renewing asks the mount that gave a token whether it would do so still, and
// on which terms. It returns nil when nothing changes.
func (s *Server) renewing(tx *storage.Tx, e *token.Entry) (*token.Params, error) {
	table, err := s.mounts.Table(tx)
	if err != nil {
		return nil, err
	}
	l := table.ByUUID(e.Mount)
	if l == nil {
		return nil, engine.Bad("the auth method that gave this token is gone")
	}
	if _, err := s.holder(tx, e); err != nil {
		return nil, err // for somebody who is gone or disabled there is nothing to renew
	}
	call := &engine.Call{Whole: tx, Rows: tx.In(l.Range()), Ctx: tx.Context(), By: &engine.Caller{EntityID: e.EntityID},
		At_: &l.Mount, Time: s.now(), Scheduler: s.due, Passwords: password.Store{}}
	g, err := l.Instance.Renew(call, engine.Renewal{Held: e.Held, Meta: e.Meta, Policies: e.Policies, DisplayName: e.DisplayName})
	if err != nil || g == nil {
		return nil, err
	}
	if e.EntityID != "" {
		if err := s.identities.Renewed(tx, e.EntityID, identity.LoginOf(identityMount(l), g), s.now()); err != nil {
			return nil, err
		}
	}
	p, err := paramsOf(l, g)
	return &p, err
}
