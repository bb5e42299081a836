package server

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/audit"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// A record is what the audit devices are told of an exchange.
type record struct {
	audited bool  // the request is recorded: once, however often a conflict repeats us
	held    bool  // it is recorded together with its answer
	refused error // why the request was not let through

	entry    audit.Entry
	response audit.Response
	results  audit.PolicyResults
	granting [4]audit.GrantingPolicy
}

// auditRequest records a request before it runs. One that changes nothing is
// recorded with its answer.
func (s *Server) auditRequest(tx *storage.Tx, x *exchange, refused error) error {
	if x.audited || x.quiet() {
		return nil
	}
	x.refused = refused
	if x.held = tx.Mode() == storage.ReadOnly && (x.noRoute != nil || x.q.Help || !x.match.Info.Outside && !x.match.Info.Verifies); x.held {
		return nil
	}
	s.fill(x)
	x.entry.Error = told(refused)
	if err := s.audit.Request(x.call.Ctx, &x.entry); err != nil {
		return unrecorded("request")
	}
	x.audited = true
	return nil
}

func unrecorded(what string) error {
	return engine.Status(http.StatusInternalServerError, "the %s could not be recorded by any audit device: see the server's log", what)
}

// interrupted records a request that was let through and will not be answered.
func (s *Server) interrupted(x *exchange) {
	if !x.held {
		return
	}
	s.fill(x)
	x.entry.Error = told(x.refused)
	if err := s.audit.Request(context.Background(), &x.entry); err != nil {
		s.logger.Error("a request that was not answered is not on record", "id", x.q.ID)
	}
}

// auditResponse records an answer before it is sent.
func (s *Server) auditResponse(x *exchange, a *engine.Answer, failed error) error {
	if !x.audited && !x.held {
		return nil
	}
	s.fill(x)
	e := &x.entry
	e.Error = told(failed)
	if err := x.answered(a); err != nil {
		return err
	}
	var err error
	if x.held {
		x.held = false
		e.Refused = told(x.refused)
		err = s.audit.Exchange(x.call.Ctx, e)
	} else {
		err = s.audit.Response(x.call.Ctx, e)
	}
	if err != nil {
		return unrecorded("answer")
	}
	return nil
}

// told is an error as the client is told it.
func told(err error) string {
	if err == nil {
		return ""
	}
	return wire.Refusal(err).Error()
}

// answered fills in the record of an answer.
func (x *exchange) answered(a *engine.Answer) error {
	q, r := &x.entry.Request, &x.response
	*r = audit.Response{MountPoint: q.MountPoint, MountType: q.MountType, MountAccessor: q.MountAccessor,
		MountClass: q.MountClass, MountRunningVersion: q.MountRunningVersion}
	x.entry.Response = r
	if x.live != nil {
		r.PlainKeys = x.live.Config.AuditNonHMACResponseKeys
	}
	if a == nil {
		return nil
	}
	r.Warnings = x.call.Warnings
	switch d := a.Data.(type) {
	case nil:
	case json.RawMessage:
		r.Data = d
	default:
		b, err := json.Marshal(d)
		if err != nil {
			return err
		}
		r.Data = b
	}
	if w := a.Wrap; w != nil {
		created, _ := time.Parse(time.RFC3339Nano, w.CreationTime) // we wrote it
		r.WrapInfo = &audit.WrapInfo{TTL: time.Duration(w.TTL) * time.Second, Token: w.Token, Accessor: w.Accessor,
			CreationTime: created, CreationPath: w.CreationPath, WrappedAccessor: w.WrappedAccessor}
	}
	if t := a.Auth; t != nil {
		r.Auth = &audit.Auth{ClientToken: t.ClientToken, Accessor: t.Accessor, Policies: t.Policies,
			TokenPolicies: t.TokenPolicies, Metadata: t.Metadata, EntityID: t.EntityID, TokenType: t.TokenType,
			NumUses: t.NumUses, TokenTTL: time.Duration(t.LeaseDuration) * time.Second}
	}
	return nil
}

func (x *exchange) quiet() bool { return x.noRoute == nil && !x.q.Help && x.match.Info.Quiet }

// fill makes the entry of what is known of the exchange.
func (s *Server) fill(x *exchange) {
	q, e := x.q, &x.entry
	op := x.op
	if op == 0 {
		op = operations[q.Op]
	}
	*e = audit.Entry{Time: s.now(), Request: audit.Request{
		ID: q.ID, Operation: op.String(), ClientToken: q.Token, Path: q.Path, Data: q.Body,
		NamespaceID: x.ns.ID, NamespacePath: x.ns.Path, RemoteAddress: q.RemoteAddr, RemotePort: q.RemotePort, WrapTTL: q.WrapTTL, Headers: q.HTTP.Header,
	}}
	if l := x.live; l != nil {
		e.Request.MountPoint, e.Request.MountType, e.Request.MountAccessor = l.Path, l.Type, l.Accessor
		e.Request.MountClass, e.Request.MountRunningVersion = class(l.Path), l.Engine.Info().Version
		e.Request.PlainKeys = l.Config.AuditNonHMACRequestKeys
	}
	w := x.who
	if w == nil {
		return
	}
	e.Request.ClientTokenAccessor = w.Accessor
	e.Auth = authOf(w, q.Token)
	x.results = audit.PolicyResults{Allowed: x.verdict.Allowed, GrantingPolicies: x.granting[:0]}
	at := w.NamespaceID
	if at == "" {
		at = mount.RootID
	}
	for _, g := range x.verdict.Granting {
		x.results.GrantingPolicies = append(x.results.GrantingPolicies, audit.GrantingPolicy{Name: g.Policy, NamespaceID: at, NamespacePath: w.NamespacePath, Type: "acl"})
	}
	e.Auth.PolicyResults = &x.results
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
	gone chan struct{} // closed at the next end, if somebody waits for it
}

func (f *inflight) begin(q *wire.Request) (n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = make(map[uint64]*wire.Request)
	}
	f.next++
	f.all[f.next] = q
	return f.next
}

func (f *inflight) end(n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, n)
	if f.gone != nil {
		close(f.gone)
		f.gone = nil
	}
}

// last is the number of the request that began last.
func (f *inflight) last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

// drain waits until the requests up to a number are answered, or for so long.
func (f *inflight) drain(upTo uint64, limit time.Duration) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		gone := f.waiting(upTo)
		if gone == nil {
			return
		}
		select {
		case <-gone:
		case <-timeout.C:
			return
		}
	}
}

// waiting is nil when the requests up to a number are answered, else a channel
// that is closed when one is.
func (f *inflight) waiting(upTo uint64) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range f.all {
		if n > upTo {
			continue
		}
		if f.gone == nil {
			f.gone = make(chan struct{})
		}
		return f.gone
	}
	return nil
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
