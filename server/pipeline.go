// Package server joins the parts: it takes a request from the wire through
// quotas, authentication, policy, audit and engine back to the wire, and owns
// the life of the process: listeners, signals, the unsealed node's upkeep.
//
// It promises that a request is one transaction, that nothing runs that was
// neither authorised nor recorded, and that no answer leaves before its record.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/access/password"
	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

var _ sys.Requester = (*exchange)(nil)

// An exchange is one request on its way through the stages.
type exchange struct {
	door    *door
	q       *wire.Request
	asked   string           // the path as it was asked for, namespaces included
	ns      *mount.Namespace // that the request is for
	live    *mount.Live
	rest    string // of the path, below the mount
	match   engine.Match
	noRoute error // why there is no match; told only to who may know
	caller  engine.Caller
	op      policy.Operation
	call    *engine.Call
	outcome any         // of the part of a login that is outside of the transaction
	calls   engine.Call // what call points to
	pass
	consent
	rated
	record
}

// A pass is what one run of the transaction has found out. A conflict makes it
// run again, and nothing of an earlier pass may count then.
type pass struct {
	who     *token.Entry
	verdict policy.Verdict
	denied  bool         // by policy
	lease   *lease.Lease // reserved for what the request has made
	letIn   string       // the token that the request, a login, was given
	identified
	stepped
}

// serve takes a request from the wire to the wire; its stages are its lines.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, d *door) {
	q, err := wire.Decode(r, d.limits)
	if err != nil {
		wire.Fail(w, q, err)
		return
	}
	q.Namespace = d.namespace(q.Namespace)
	n := s.inflight.begin(q)
	defer s.inflight.end(n)
	x := &exchange{door: d, q: q, asked: q.Path}
	defer s.interrupted(x)
	rep, err := s.answer(r.Context(), w, x)
	s.metrics.observe(q, err)
	if err != nil {
		s.report(q, err)
		s.remember(w, x, err)
		wire.Fail(w, q, err)
		return
	}
	if rep.Stream != nil {
		s.inflight.end(n) // it is on record, and lasts: nobody shall wait for it
	}
	wire.Send(w, q, rep)
}

// report logs what the client is not told.
func (s *Server) report(q *wire.Request, err error) {
	var told *api.Error
	if !errors.As(err, &told) && !errors.Is(err, storage.ErrSealed) {
		s.logger.Error("request failed", "id", q.ID, "path", q.Path, "error", err)
	}
}

func (s *Server) answer(ctx context.Context, w http.ResponseWriter, x *exchange) (*wire.Reply, error) {
	if !s.sys.Serving() {
		return s.answerSealed(ctx, w, x)
	}
	if err := s.withinRate(ctx, w, x); err != nil {
		return nil, err
	}
	mode := storage.ReadOnly
	if x.q.Op != engine.OpRead && x.q.Op != engine.OpList {
		// Who asks is looked at before what they sent is read.
		if err := s.store.View(ctx, func(tx *storage.Tx) error { return s.greet(tx, x) }); err != nil {
			return nil, err
		}
		bad := x.readBody(w)
		if err := s.roleWithinRate(ctx, w, x); err != nil {
			return nil, err
		}
		if bad != nil {
			return nil, bad
		}
		if x.noRoute == nil {
			mode = x.match.Info.Mode
		}
	}
	if x.noRoute == nil && x.match.Info != nil && x.match.Info.Verifies {
		if err := s.verify(ctx, x); err != nil {
			return s.finish(x, nil, err)
		}
	}
	var a *engine.Answer
	_, err := s.store.Do(ctx, mode, func(tx *storage.Tx) (err error) {
		a, err = s.run(ctx, tx, x)
		return err
	})
	if err == nil && a == nil && x.noRoute == nil && x.match.Info.Outside && !x.q.Help {
		a, err = s.runOutside(ctx, x)
	}
	if err == nil && x.challenge != nil {
		a, err = s.meet(ctx, x)
	}
	if err == nil && a != nil && a.Loan != nil {
		a, err = s.create(ctx, x, a.Loan)
	}
	if err == nil && a != nil && a.After != nil {
		if err = a.After(ctx); err == nil && a.Data == nil && a.Lease == nil {
			a = nil
		}
	}
	return s.finish(x, a, err)
}

// runOutside runs a route that acts on the world. Its answer is wrapped after
// the deed, in a transaction of its own.
func (s *Server) runOutside(ctx context.Context, x *exchange) (*engine.Answer, error) {
	a, err := x.act()
	if err != nil || a == nil || x.q.WrapTTL <= 0 || x.quiet() {
		return a, err
	}
	_, err = s.store.Update(ctx, func(tx *storage.Tx) (err error) {
		a, err = s.wrap(tx.Of(x.ns.Number), x, a)
		return err
	})
	return a, err
}

// uploads says that the route reads the body itself.
func (x *exchange) uploads() bool {
	return x.noRoute == nil && x.match.Info != nil && x.match.Info.Uploads
}

func (x *exchange) upload() engine.Upload {
	if !x.uploads() {
		return engine.Upload{}
	}
	return engine.Upload{Reader: x.q.HTTP.Body, Header: x.q.HTTP.Header}
}

// readBody reads the body, but for a route that does so itself, as slowly as
// it comes.
func (x *exchange) readBody(w http.ResponseWriter) error {
	if x.uploads() {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // not every connection has one
		return nil
	}
	return x.q.ReadBody(w, x.door.limits)
}

// greet finds the route and whether the token is one, without spending it.
func (s *Server) greet(tx *storage.Tx, x *exchange) error {
	tx, err := s.find(tx, x)
	if err != nil {
		return err
	}
	if x.public() {
		return nil
	}
	e, err := s.tokens.Find(tx, x.q.Token)
	if err == nil && e == nil {
		// Told in run, after the refusal is on record, with an empty body.
		x.q.HTTP.Body = http.NoBody
	}
	return err
}

// find sets namespace, mount, route and captures. It returns the transaction as
// that namespace sees it, which everything after works on.
func (s *Server) find(tx *storage.Tx, x *exchange) (*storage.Tx, error) {
	tree, err := s.mounts.Spaces.Tree(tx)
	if err != nil {
		return nil, err
	}
	if x.ns, x.q.Path = tree.Resolve(x.q.Namespace, x.asked); x.ns == nil {
		return nil, engine.Missing("namespace not found")
	}
	if locked := tree.LockedAt(x.ns); locked != nil {
		return nil, locked.Locked()
	}
	tx = tx.Of(x.ns.Number)
	table, err := s.mounts.Table(tx)
	if err != nil {
		return nil, err
	}
	x.live, x.rest = table.Find(x.q.Path)
	if x.live == nil {
		x.noRoute = engine.Missing(fmt.Sprintf("no handler for route %q. route entry not found.", x.q.Path))
		return tx, nil
	}
	x.match, x.noRoute = x.live.Instance.Find(x.q.Op, x.rest)
	if x.q.Head && x.noRoute == nil && !x.match.Info.Bare {
		x.noRoute = engine.ErrNoOperation // engines do not know HEAD
	}
	if x.noRoute == nil && x.match.Info.RootOnly && !x.match.Info.Login && x.ns.Number != 0 {
		x.noRoute = engine.Bad("operation only available in root namespace")
	}
	return tx, nil
}

// run is the transaction of a request: it may run again from the start.
func (s *Server) run(ctx context.Context, tx *storage.Tx, x *exchange) (*engine.Answer, error) {
	x.restore()
	tx, err := s.find(tx, x)
	if err != nil {
		return nil, err
	}
	if x.noRoute == nil && !x.q.Help && x.match.Info.Mode == storage.ReadWrite && tx.Mode() == storage.ReadOnly {
		return nil, storage.ErrUpgrade
	}
	x.pass = pass{}
	x.call = s.newCall(ctx, tx, x)
	if err := s.admit(tx, x); err != nil {
		return nil, err
	}
	if x.q.Help {
		return s.help(x)
	}
	if x.noRoute != nil {
		return nil, x.noRoute
	}
	if factors, ttl := x.controlled(); factors != nil {
		return s.hold(tx, x, factors, ttl)
	}
	if tx, err = s.release(tx, x); err != nil {
		return nil, err
	}
	if x.match.Info.Outside {
		x.call.Whole = nil
		return nil, nil
	}
	a, err := s.attempt(tx, x)
	switch {
	case err != nil:
		return nil, err
	case a != nil && a.Loan != nil:
		return a, s.reserve(tx, x, a.Loan) // it is made after this transaction
	case a != nil && a.Grant != nil:
		if a, err = s.grant(tx, x, a.Grant); err != nil {
			return nil, err
		}
	}
	if err := s.introduce(tx, x, a); err != nil {
		return nil, err
	}
	return s.wrap(tx, x, a)
}

// admit asks who calls and whether they may, and records the request.
func (s *Server) admit(tx *storage.Tx, x *exchange) error {
	authErr := s.authenticate(tx, x)
	if authErr == nil {
		authErr = s.decide(tx, x)
	}
	if errors.Is(authErr, storage.ErrUpgrade) {
		return authErr
	}
	if err := s.auditRequest(tx, x, authErr); err != nil {
		return err
	}
	return authErr
}

// verify does the part of a login that takes long or asks somebody else, once
// the request is on record and before the transaction, which may run more than
// once. What it came to, a refusal included, is told in the transaction.
func (s *Server) verify(ctx context.Context, x *exchange) error {
	var outside func(context.Context) any
	err := s.store.View(ctx, func(tx *storage.Tx) error {
		tx, err := s.find(tx, x)
		if err != nil || x.noRoute != nil || !x.match.Info.Verifies || x.q.Help {
			return err
		}
		x.call = s.newCall(ctx, tx, x)
		if err := s.admit(tx, x); err != nil {
			return err
		}
		if _, _, err := s.listening(tx, x); err != nil {
			return err // who is locked out costs nothing
		}
		outside, err = x.match.Verify(x.call)
		return err
	})
	if err == nil && outside != nil {
		x.outcome = outside(ctx)
	}
	return err
}

func (s *Server) newCall(ctx context.Context, tx *storage.Tx, x *exchange) *engine.Call {
	c := &x.calls
	*c = engine.Call{Whole: tx, Ctx: ctx, By: &x.caller, Time: s.now(), Body: x.q.Body, Query: x.q.Query, Scheduler: s.due, Passwords: password.Store{},
		Data: x, Verified: x.outcome, Upload: x.upload()}
	x.caller = engine.Caller{Address: x.q.RemoteAddr, Namespace: x.ns.Path}
	if x.live != nil {
		c.Rows, c.At_ = tx.In(x.live.Range()), &x.live.Mount
	}
	return c
}

// act is the engine's function. What the listener hides is gone from its answer
// before that is wrapped, recorded or sent.
func (x *exchange) act() (*engine.Answer, error) {
	a, err := x.match.Run(x.call)
	x.door.redact(a)
	return a, err
}

// public says that the route asks nobody who they are.
func (x *exchange) public() bool {
	return x.noRoute == nil && (x.match.Info.Login || x.door.opens(x.q.Path))
}

// authenticate finds who asks. A route for everyone asks nobody.
func (s *Server) authenticate(tx *storage.Tx, x *exchange) error {
	if x.public() && !x.q.Help && !x.forAnother() {
		return nil
	}
	if x.q.Token == "" {
		return engine.Status(http.StatusForbidden, "permission denied")
	}
	ip, _ := netip.ParseAddr(x.q.RemoteAddr) // a unix socket has none
	e, err := s.tokens.Authenticate(tx, x.q.Token, ip)
	if err != nil {
		return err
	}
	x.who = e
	x.caller.TokenID, x.caller.Accessor, x.caller.DisplayName = e.ID, e.Accessor, e.DisplayName
	x.caller.EntityID, x.caller.Root = e.EntityID, e.Root()
	return s.identify(tx, x)
}

// forAnother says whether a request to unwrap names a wrapping token that is
// not its own: then it asks in its own name, and is asked who it is.
func (x *exchange) forAnother() bool {
	if !x.match.Info.Unwraps {
		return false
	}
	return x.wrapping() != x.q.Token
}

// wrapping is the wrapping token that a request to unwrap is about: the one in
// its body, or its own.
func (x *exchange) wrapping() string {
	var body struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(x.q.Body, &body); err != nil || body.Token == "" {
		return x.q.Token
	}
	return body.Token
}

var operations = map[engine.Op]policy.Operation{
	engine.OpRead: policy.Read, engine.OpList: policy.List, engine.OpWrite: policy.Update,
	engine.OpDelete: policy.Delete, engine.OpPatch: policy.Patch,
}

// decide asks the policies.
func (s *Server) decide(tx *storage.Tx, x *exchange) error {
	x.op, x.denied = operations[x.q.Op], false
	if x.q.Help {
		x.op = policy.Help
	}
	if x.noRoute == nil && x.q.Op == engine.OpWrite && x.match.Info.Creates {
		exists, err := x.match.Exists(x.call)
		if err != nil {
			return err
		}
		if !exists {
			x.op = policy.Create
		}
	}
	if x.who == nil {
		return nil // a public route
	}
	down, reaches, err := s.tokens.Down(tx, x.who)
	if err != nil {
		return err
	}
	if !reaches {
		return x.deny()
	}
	x.verdict = x.grants.Decide(policy.Query{
		Path: down + x.q.Path, Op: x.op, Params: x.q.Body, WrapTTL: x.q.WrapTTL,
		Sudo: x.noRoute == nil && x.match.Info.Sudo,
	})
	if !x.verdict.Allowed {
		return x.deny()
	}
	if len(x.verdict.MFAMethods) > 0 && !x.released { // else it was proved before others were asked to agree
		return s.stepUp(tx, x)
	}
	return nil
}

// Sudo says whether the caller may do what only sudo or root may, on this path.
func (x *exchange) Sudo() bool { return x.verdict.Root || x.verdict.Capabilities.Has(policy.CanSudo) }

// Token is the entry of the caller's token, for the system's own engines.
func (x *exchange) Token() *token.Entry { return x.who }

// RawToken is the token as it came, which wrapping and lookup need.
func (x *exchange) RawToken() string { return x.q.Token }

// BasicAuth is the name and password of the Authorization header, for routes of
// protocols that use it.
func (x *exchange) BasicAuth() (name, password string, ok bool) { return x.q.HTTP.BasicAuth() }

// WrapFor is how long the answer is to be wrapped for; 0 is not at all.
func (x *exchange) WrapFor() time.Duration { return x.q.WrapTTL }

// RequestPath is the path of the request, as leases and tokens note it.
func (x *exchange) RequestPath() string { return x.q.Path }

// finish makes the reply of an answer or error and records it.
func (s *Server) finish(x *exchange, a *engine.Answer, err error) (*wire.Reply, error) {
	var rep *wire.Reply
	if err == nil {
		info, kind := &engine.RouteInfo{}, ""
		if x.live != nil {
			kind = x.live.Type
		}
		if x.q.Help {
			info = &engine.RouteInfo{Bare: true}
		} else if x.noRoute == nil {
			info = x.match.Info
		}
		if a != nil && a.Wrap != nil {
			info = &engine.RouteInfo{}
		}
		rep, err = wire.Envelope(x.q, info, kind, a, x.call.Warnings)
	}
	if aerr := s.auditResponse(x, a, err); aerr != nil {
		return nil, aerr
	}
	return rep, err
}

// answerSealed serves the few routes that need no keys.
func (s *Server) answerSealed(ctx context.Context, w http.ResponseWriter, x *exchange) (*wire.Reply, error) {
	rest, ok := strings.CutPrefix(x.q.Path, "sys/")
	if !ok {
		return nil, storage.ErrSealed
	}
	x.rest = rest
	x.match, x.noRoute = s.sysInstance.Find(x.q.Op, rest)
	if x.noRoute != nil || !x.match.Info.Sealed && !x.door.tellsStrangers(x.q.Path) {
		return nil, storage.ErrSealed
	}
	if err := x.readBody(w); err != nil {
		return nil, err
	}
	x.live = s.sysLive
	var a *engine.Answer
	var err error
	x.call = &engine.Call{Ctx: ctx, By: &x.caller, At_: &x.live.Mount, Time: s.now(), Body: x.q.Body, Query: x.q.Query, Data: x, Upload: x.upload()}
	if x.match.Info.Outside {
		a, err = x.act()
	} else {
		err = s.store.View(ctx, func(tx *storage.Tx) error {
			x.call.Whole, x.call.Rows = tx, tx.In(storage.Core)
			a, err = x.act()
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	return wire.Envelope(x.q, x.match.Info, "system", a, x.call.Warnings)
}

// wrappable says whether an answer is one that is handed out: not a refusal, a
// stream, a login that waits for its second factor, or wrapped already.
func wrappable(a *engine.Answer) bool {
	if r := a.Raw; r != nil && (r.Stream != nil || len(r.Body) == 0 || r.Status >= 400) {
		return false
	}
	return a.Wrap == nil && a.Status < 400 && (a.Auth == nil || a.Auth.MFARequirement == nil)
}

// wrap puts the answer into a wrapping token when one is asked for. What is not
// on record leaves no token behind.
func (s *Server) wrap(tx *storage.Tx, x *exchange, a *engine.Answer) (*engine.Answer, error) {
	if x.q.WrapTTL <= 0 || x.quiet() || a == nil || !wrappable(a) {
		return a, nil
	}
	if tx.Mode() == storage.ReadOnly {
		return nil, storage.ErrUpgrade
	}
	if a.Raw != nil {
		info, err := s.wrapping.WrapRaw(tx, x.q.FullPath(), a.Raw, x.q.WrapTTL)
		return &engine.Answer{Wrap: info}, err
	}
	rep, err := wire.Envelope(x.q, x.match.Info, x.live.Type, a, x.call.Warnings)
	if err != nil {
		return nil, err
	}
	x.call.Warnings = nil
	accessor := a.Accessor
	if a.Auth != nil {
		accessor = a.Auth.Accessor
	}
	info, err := s.wrapping.Wrap(tx, x.q.FullPath(), rep.Body, x.q.WrapTTL, accessor)
	if err != nil {
		return nil, err
	}
	return &engine.Answer{Wrap: info}, nil
}

func (s *Server) now() time.Time { return s.clock() }
