package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
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
	x.entry.Error = denied(refused)
	if x.who == nil && x.noRoute == nil && x.match.Info.Grants {
		x.results = audit.PolicyResults{Allowed: refused == nil} // a login is for everyone
		x.entry.Auth.PolicyResults = &x.results
	}
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
	x.entry.Error = denied(x.refused)
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
	e.Error = kindOf(failed)
	if err := x.answered(a, failed); err != nil {
		return err
	}
	var err error
	if x.held {
		x.held = false
		e.Refused = denied(x.refused)
		err = s.audit.Exchange(x.call.Ctx, e)
	} else {
		err = s.audit.Response(x.call.Ctx, e)
	}
	if err != nil {
		return unrecorded("answer")
	}
	return nil
}

// denied is why a request was not let through. It is written as it stands: the
// sentences of refusals are ours and quote nothing that was sent.
func denied(err error) string {
	if err == nil {
		return ""
	}
	return wire.Refusal(err).Error()
}

// kindOf is the kind of an error, as Vault writes it. What the client was told may
// quote what it sent, so that is recorded with the answer's data, hashed.
func kindOf(err error) string {
	if err == nil {
		return ""
	}
	if engine.WasRefused(err) {
		return "invalid credentials"
	}
	told := wire.Refusal(err)
	var kind string
	switch {
	case len(told.Errors) == 0:
		return "" // nothing is there: no error
	case told.Status == http.StatusForbidden:
		kind = "permission denied"
	case told.Status == http.StatusNotFound:
		kind = "unsupported path"
	case told.Status == http.StatusMethodNotAllowed:
		kind = "unsupported operation"
	case told.Status/100 == 4:
		kind = "invalid request"
	default:
		return told.Error()
	}
	return "1 error occurred:\n\t* " + kind + "\n\n"
}

// refusal is what the client was told, as data of the record.
func refusal(err error) (json.RawMessage, error) {
	told := wire.Refusal(err)
	switch {
	case told.Data != nil:
		return told.Data, nil
	case len(told.Errors) == 0:
		return nil, nil
	}
	return json.Marshal(map[string]string{"error": strings.Join(told.Errors, "; ")})
}

// answered fills in the record of an answer.
func (x *exchange) answered(a *engine.Answer, failed error) (err error) {
	q, r := &x.entry.Request, &x.response
	*r = audit.Response{MountPoint: q.MountPoint, MountType: q.MountType, MountAccessor: q.MountAccessor,
		MountClass: q.MountClass, MountRunningVersion: q.MountRunningVersion}
	x.entry.Response = r
	if x.live != nil {
		r.PlainKeys = x.live.Config.AuditNonHMACResponseKeys
	}
	if failed != nil {
		r.Data, err = refusal(failed)
		return err
	}
	if a == nil {
		return nil
	}
	r.Warnings = x.call.Warnings
	if r.Data, err = dataOf(a); err != nil {
		return err
	}
	if w := a.Wrap; w != nil {
		created, _ := time.Parse(time.RFC3339Nano, w.CreationTime) // we wrote it
		r.WrapInfo = &audit.WrapInfo{TTL: time.Duration(w.TTL) * time.Second, Token: w.Token, Accessor: w.Accessor,
			CreationTime: created, CreationPath: w.CreationPath, WrappedAccessor: w.WrappedAccessor}
	}
	if t := a.Auth; t != nil {
		r.Auth = &audit.Auth{ClientToken: t.ClientToken, Accessor: t.Accessor, DisplayName: t.DisplayName, Policies: t.Policies,
			TokenPolicies: t.TokenPolicies, Metadata: t.Metadata, EntityID: t.EntityID, TokenType: t.TokenType,
			NumUses: t.NumUses, TokenTTL: time.Duration(t.LeaseDuration) * time.Second,
			IdentityPolicies: t.IdentityPolicies}
	}
	return nil
}

// dataOf is the data of an answer: of one that was wrapped, what is handed out;
// of one with bytes of its own, how it was sent.
func dataOf(a *engine.Answer) (json.RawMessage, error) {
	switch {
	case a.Stored != nil:
		var inner struct {
			Data json.RawMessage `json:"data"`
			Auth json.RawMessage `json:"auth"`
		}
		if err := json.Unmarshal(a.Stored, &inner); err != nil {
			return nil, fmt.Errorf("read what was wrapped: %w", err)
		}
		if string(inner.Data) == "null" {
			return inner.Auth, nil
		}
		return inner.Data, nil
	case a.Raw != nil:
		status := a.Raw.Status
		if status == 0 {
			status = http.StatusOK
		}
		return json.Marshal(struct {
			ContentType string `json:"http_content_type"`
			Status      int    `json:"http_status_code"`
			Body        []byte `json:"http_raw_body,omitempty"`
		}{a.Raw.ContentType, status, a.Raw.Body})
	}
	switch d := a.Data.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return d, nil
	}
	return json.Marshal(a.Data)
}

// quiet says that the request is not recorded: it asks for how the node is.
func (x *exchange) quiet() bool {
	return x.noRoute == nil && !x.q.Help && (x.match.Info.Quiet || x.door.tellsStrangers(x.q.Path))
}

// fill makes the entry of what is known of the exchange.
func (s *Server) fill(x *exchange) {
	q, e := x.q, &x.entry
	op := x.op
	if op == 0 {
		op = operations[q.Op]
	}
	*e = audit.Entry{Time: s.now(), Request: audit.Request{
		ID: q.ID, Operation: op.String(), ClientToken: q.Token, Path: q.FullPath(), Data: x.sent(),
		NamespaceID: x.ns.ID, NamespacePath: x.ns.Path, RemoteAddress: q.RemoteAddr, RemotePort: q.RemotePort, WrapTTL: q.WrapTTL, Headers: q.HTTP.Header,
	}}
	if l := x.live; l != nil {
		e.Request.MountPoint, e.Request.MountType, e.Request.MountAccessor = l.Path, l.Type, l.Accessor
		e.Request.MountClass, e.Request.MountRunningVersion = class(l.Path), l.Engine.Info().Version
		if e.Request.MountRunningVersion == "" {
			e.Request.MountRunningVersion = s.sys.Builtin()
		}
		e.Request.PlainKeys = l.Config.AuditNonHMACRequestKeys
	}
	w := x.who
	switch {
	case w == nil:
		return
	case x.letIn != "":
		e.Auth = authOf(w, x.letIn)
		e.Auth.TokenIssueTime = time.Time{}
		x.auditIdentity(&e.Auth)
		return
	}
	e.Request.ClientTokenAccessor, e.Request.ClientID = w.Accessor, x.clientID(w)
	e.Auth = authOf(w, q.Token)
	x.auditIdentity(&e.Auth)
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

// sent is what a request was sent with: its body, or its query.
func (x *exchange) sent() json.RawMessage {
	if x.q.Body != nil || len(x.q.Query) == 0 {
		return x.q.Body
	}
	flat := make(map[string]any, len(x.q.Query))
	for name, values := range x.q.Query {
		if flat[name] = values; len(values) == 1 {
			flat[name] = values[0]
		}
	}
	b, err := json.Marshal(flat)
	if err != nil {
		return nil // strings always encode
	}
	return b
}

// clientID is who a request is counted for: its entity, or, of tokens without
// one, all that have the same policies.
func (x *exchange) clientID(w *token.Entry) string {
	switch {
	case w.EntityID != "":
		return w.EntityID
	case x.grants != nil:
		return x.grants.Name(func() string { return nameOfHolders(w) })
	}
	return nameOfHolders(w)
}

func nameOfHolders(w *token.Entry) string {
	b := make([]byte, 0, 128)
	for _, p := range w.Policies {
		b = append(append(b, p...), 0)
	}
	at := w.NamespaceID
	if at == "" {
		at = mount.RootID
	}
	sum := sha256.Sum256(append(b, at...))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func class(path string) string {
	if len(path) > 5 && path[:5] == "auth/" {
		return "auth"
	}
	return "secret"
}

func authOf(w *token.Entry, raw string) audit.Auth {
	a := audit.Auth{ClientToken: raw, Accessor: w.Accessor, DisplayName: w.DisplayName, Policies: w.Policies,
		TokenPolicies: w.Policies, NoDefaultPolicy: w.NoDefaultPolicy && !w.Root(), Metadata: w.Meta, EntityID: w.EntityID,
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
	for _, q := range s.inflight.all {
		out[q.ID] = sys.InFlight{StartTime: q.Start, ClientRemoteAddr: q.RemoteAddr,
			RequestPath: "/v1/" + q.Path, RequestMethod: q.HTTP.Method}
	}
	return out
}

func stack() string { return string(debug.Stack()) }
