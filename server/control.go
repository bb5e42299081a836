package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/access/control"
	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// consent is what control groups make of a request.
type consent struct {
	released bool   // they have agreed
	unwrap   *asked // the request to unwrap, which another has taken the place of
}

// asked is what a request asks for.
type asked struct {
	path, namespace string
	op              engine.Op
	body            json.RawMessage
	query           url.Values
}

// restore makes the exchange the one that came, before it runs again.
func (x *exchange) restore() {
	if u := x.unwrap; u != nil {
		x.asked, x.q.Namespace, x.q.Op, x.q.Body, x.q.Query = u.path, u.namespace, u.op, u.body, u.query
	}
	x.consent = consent{}
}

// controlled are the consents that the request still needs.
func (x *exchange) controlled() ([]policy.Factor, time.Duration) {
	if len(x.verdict.ControlGroups) == 0 || x.released {
		return nil, 0
	}
	return control.Factors(x.verdict.ControlGroups, x.op.Needs())
}

// hold keeps a request that a control group is to agree to. Its caller is given a
// wrapping token, which unwraps to the answer once everyone has.
func (s *Server) hold(tx *storage.Tx, x *exchange, factors []policy.Factor, ttl time.Duration) (*engine.Answer, error) {
	if x.holder == nil {
		return nil, engine.Listed(http.StatusForbidden, "permission denied") // nobody could tell who asks
	}
	if tx.Mode() == storage.ReadOnly {
		return nil, storage.ErrUpgrade
	}
	ttl, err := control.Waits(tx, ttl)
	if err != nil {
		return nil, err
	}
	c, err := s.tokens.Create(tx, nil, token.Params{Policies: []string{"control-group"}, NoDefaultPolicy: true,
		Path: x.q.Path, TTL: ttl, ExplicitMaxTTL: ttl, NotRenewable: true})
	if err != nil {
		return nil, err
	}
	control.Put(tx, c.Entry.ID, &control.Pending{Op: x.q.Op, Path: x.q.Path, Body: x.q.Body, Query: x.q.Query,
		Token: x.who.ID, Entity: x.holder.ID, EntityName: x.holder.Subject.Entity.Name, Factors: factors, Created: s.now()})
	return &engine.Answer{Wrap: &api.WrapInfo{Token: c.Raw, Accessor: c.Entry.Accessor, TTL: int64(ttl / time.Second),
		CreationTime: s.now().UTC().Format(time.RFC3339Nano), CreationPath: x.q.Path}}, nil
}

// release makes a request to unwrap the request that waits under its token, if
// one does and everyone has agreed: it goes on in the name of who made it, and
// under their policies as they are now.
func (s *Server) release(tx *storage.Tx, x *exchange) (*storage.Tx, error) {
	if !x.match.Info.Unwraps {
		return tx, nil
	}
	e, err := s.tokens.Lookup(tx, x.wrapping())
	if err != nil || e == nil {
		return tx, err // told by the route
	}
	home, err := s.tokens.Home(tx, e)
	if err != nil {
		return nil, err
	}
	p, err := control.Get(home, e.ID)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return tx, nil
	case !p.Approved():
		return nil, engine.Status(http.StatusForbidden, "Request needs further approval")
	}
	who, err := s.tokens.ByID(tx, p.Token)
	if err != nil {
		return nil, err
	}
	if who == nil {
		return nil, engine.Denied()
	}
	control.Delete(home, e.ID)
	if err := s.tokens.Revoke(home, e.ID); err != nil {
		return nil, err
	}
	x.unwrap = &asked{x.asked, x.q.Namespace, x.q.Op, x.q.Body, x.q.Query}
	x.released, x.asked, x.q.Namespace = true, p.Path, strings.TrimSuffix(e.NamespacePath, "/")
	x.q.Op, x.q.Body, x.q.Query = p.Op, p.Body, p.Query
	return s.takeUp(tx, x, who)
}

// takeUp makes the exchange what it asks for now, in the name of another token.
func (s *Server) takeUp(tx *storage.Tx, x *exchange, who *token.Entry) (*storage.Tx, error) {
	ctx := x.call.Ctx
	tx, err := s.find(tx, x)
	if err != nil {
		return nil, err
	}
	if x.noRoute != nil {
		return nil, x.noRoute
	}
	x.call = s.newCall(ctx, tx, x)
	x.who = who
	x.caller.TokenID, x.caller.Accessor, x.caller.DisplayName = who.ID, who.Accessor, who.DisplayName
	x.caller.EntityID, x.caller.Root = who.EntityID, who.Root()
	if err := s.identify(tx, x); err != nil {
		return nil, err
	}
	return tx, s.decide(tx, x)
}

// approver is the caller of a request as one who may agree to another's.
func approver(c *engine.Call) (control.Approver, error) {
	x := c.Data.(*exchange)
	if x.holder == nil || x.holder.Subject.Entity == nil {
		return control.Approver{}, engine.Denied()
	}
	return control.Approver{Entity: x.holder.ID, EntityName: x.holder.Subject.Entity.Name, Groups: x.holder.Subject.Groups}, nil
}
