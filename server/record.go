package server

import (
	"encoding/json"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/audit"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// auditRequest records a request before it runs, once.
func (s *Server) auditRequest(x *exchange, refused error) error {
	if x.audited || x.quiet() {
		return nil
	}
	e := s.entry(x, refused)
	if err := s.audit.Request(x.call.Ctx, e); err != nil {
		return engine.Status(500, "the request could not be recorded by any audit device: see the server's log")
	}
	x.audited = true
	return nil
}

// auditResponse records an answer before it is sent.
func (s *Server) auditResponse(x *exchange, a *engine.Answer, failed error) error {
	if !x.audited {
		return nil
	}
	e := s.entry(x, failed)
	e.Response = &audit.Response{MountPoint: e.Request.MountPoint, MountType: e.Request.MountType,
		MountAccessor: e.Request.MountAccessor, MountClass: e.Request.MountClass, MountRunningVersion: e.Request.MountRunningVersion}
	if x.live != nil {
		e.Response.PlainKeys = x.live.Config.AuditNonHMACResponseKeys
	}
	if a != nil {
		e.Response.Warnings = x.call.Warnings
		switch d := a.Data.(type) {
		case nil:
		case json.RawMessage:
			e.Response.Data = d
		default:
			b, err := json.Marshal(d)
			if err != nil {
				return err
			}
			e.Response.Data = b
		}
		if w := a.Wrap; w != nil {
			created, _ := time.Parse(time.RFC3339Nano, w.CreationTime) // we wrote it
			e.Response.WrapInfo = &audit.WrapInfo{TTL: time.Duration(w.TTL) * time.Second, Token: w.Token, Accessor: w.Accessor,
				CreationTime: created, CreationPath: w.CreationPath, WrappedAccessor: w.WrappedAccessor}
		}
		if t := a.Auth; t != nil {
			e.Response.Auth = &audit.Auth{ClientToken: t.ClientToken, Accessor: t.Accessor, Policies: t.Policies,
				TokenPolicies: t.TokenPolicies, Metadata: t.Metadata, EntityID: t.EntityID, TokenType: t.TokenType,
				NumUses: t.NumUses, TokenTTL: time.Duration(t.LeaseDuration) * time.Second}
			x.auditGranted(e.Response.Auth, t)
		}
	}
	if err := s.audit.Response(x.call.Ctx, e); err != nil {
		return engine.Status(500, "the answer could not be recorded by any audit device: see the server's log")
	}
	return nil
}

func (x *exchange) quiet() bool { return x.noRoute == nil && !x.q.Help && x.match.Info.Quiet }

func (s *Server) entry(x *exchange, failed error) *audit.Entry {
	q := x.q
	e := &audit.Entry{Time: s.now(), Request: audit.Request{
		ID: q.ID, Operation: x.op.String(), ClientToken: q.Token, Path: q.Path, Data: q.Body,
		RemoteAddress: q.RemoteAddr, RemotePort: q.RemotePort, WrapTTL: q.WrapTTL, Headers: q.HTTP.Header,
	}}
	if x.op == 0 {
		e.Request.Operation = operations[q.Op].String()
	}
	if failed != nil {
		e.Error = wire.Refusal(failed).Error()
	}
	if l := x.live; l != nil {
		e.Request.MountPoint, e.Request.MountType, e.Request.MountAccessor = l.Path, l.Type, l.Accessor
		e.Request.MountClass, e.Request.MountRunningVersion = class(l.Path), l.Engine.Info().Version
		e.Request.PlainKeys = l.Config.AuditNonHMACRequestKeys
	}
	if w := x.who; w != nil {
		e.Request.ClientTokenAccessor = w.Accessor
		e.Auth = authOf(w, q.Token)
		x.auditIdentity(&e.Auth)
		results := &audit.PolicyResults{Allowed: x.verdict.Allowed}
		for _, g := range x.verdict.Granting {
			results.GrantingPolicies = append(results.GrantingPolicies, audit.GrantingPolicy{Name: g.Policy, NamespaceID: "root", Type: "acl"})
		}
		e.Auth.PolicyResults = results
	}
	return e
}

func class(path string) string {
	if len(path) > 5 && path[:5] == "auth/" {
		return "auth"
	}
	return "secret"
}

func authOf(w *token.Entry, raw string) audit.Auth {
	a := audit.Auth{ClientToken: raw, Accessor: w.Accessor, DisplayName: w.DisplayName, Policies: w.Policies,
		TokenPolicies: w.Policies, NoDefaultPolicy: w.NoDefaultPolicy, Metadata: w.Meta, EntityID: w.EntityID,
		TokenType: w.Type, TokenTTL: w.TTL, TokenIssueTime: w.Created}
	if w.NumUses > 0 {
		a.RemainingUses = w.NumUses
	}
	return a
}

// inflight knows the requests that are being answered.
type inflight struct {
	mu   sync.Mutex
	next uint64
	all  map[uint64]*wire.Request
}

func (f *inflight) begin(q *wire.Request) (done func()) {
	f.mu.Lock()
	if f.all == nil {
		f.all = make(map[uint64]*wire.Request)
	}
	f.next++
	n := f.next
	f.all[n] = q
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		delete(f.all, n)
		f.mu.Unlock()
	}
}

// InFlight lists the requests that are being answered.
func (s *Server) InFlight() map[string]sys.InFlight {
	s.inflight.mu.Lock()
	defer s.inflight.mu.Unlock()
	out := make(map[string]sys.InFlight, len(s.inflight.all))
	for n, q := range s.inflight.all {
		out[strconv.FormatUint(n, 10)] = sys.InFlight{StartTime: q.Start, ClientRemoteAddr: q.RemoteAddr,
			RequestPath: "/v1/" + q.Path, RequestMethod: q.HTTP.Method}
	}
	return out
}

func stack() string { return string(debug.Stack()) }
