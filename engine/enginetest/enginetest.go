// Package enginetest runs one mount of an engine over a store in memory, with
// a clock that moves only when told, so that an engine's tests are transcripts
// of what a client says and hears.
//
// It promises what the server promises: a function runs in one transaction of
// its route's mode, an error leaves nothing behind, and jobs run when due. It
// leaves out what is not the engine's: tokens, policies, leases, HTTP.
package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
)

// Began is the time at which every mount's clock starts.
var Began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A Mount is one mounted engine. It is used by one goroutine.
type Mount struct {
	Store  *storage.Store
	At     engine.Mount
	Caller engine.Caller
	Data   any // of calls: what the server hands to the system's own engines

	drawn passwords
	now   time.Time
	due   []due
	last  *engine.Grant     // of the last login
	body  []byte            // of the last reply of a transcript
	kept  map[string]string // what `keep` noted, by its name
	typ   engine.Type
	inst  engine.Instance
	rows  storage.Range
}

type due struct {
	when    time.Time
	job, id string
}

// A Reply is what a request came to.
type Reply struct {
	Status   int
	Answer   *engine.Answer // nil when there is none
	Body     []byte         // JSON of the data, or of the errors
	Warnings []string
	Creates  bool // the route looked, and what was written to was not there
	Refused  bool // a login's credential was wrong
}

// New mounts an engine with options over an empty store.
func New(t testing.TB, typ engine.Type, options map[string]string) *Mount {
	t.Helper()
	b, err := unlocked()
	if err != nil {
		t.Fatalf("unlock barrier: %v", err)
	}
	store, err := storage.Open(storage.Options{State: kv.NewMemory(), Log: raft.NewMemory(), Sealer: b})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { _ = store.Close() })
	m := &Mount{
		Store: store, now: Began, rows: storage.MountRange(1),
		Caller: engine.Caller{DisplayName: "test", Policies: []string{"root"}, Root: true, Address: "127.0.0.1"},
		At: engine.Mount{Path: "mount/", Accessor: "accessor", UUID: "uuid", Type: typ.Info().Name, Options: options,
			DefaultTTL: 768 * time.Hour, MaxTTL: 768 * time.Hour},
	}
	m.open(t, typ)
	return m
}

// unlocked is the barrier of a new leader.
func unlocked() (*barrier.Barrier, error) {
	b := barrier.New()
	root, ring, err := b.Create()
	if err != nil {
		return nil, err
	}
	if err := b.Unlock(root, ring); err != nil {
		return nil, err
	}
	change, err := b.NewLeadership(ring)
	if err != nil {
		return nil, err
	}
	return b, change.Install()
}

func (m *Mount) open(t testing.TB, typ engine.Type) {
	t.Helper()
	inst, err := typ.Open(m.At)
	if err != nil {
		t.Fatalf("open engine: %v", err)
	}
	m.typ, m.inst = typ, inst
}

// Change tunes the mount to another type, which upgrades what is stored.
func (m *Mount) Change(t testing.TB, typ engine.Type) {
	t.Helper()
	from := *m.typ.Info()
	err := m.in(storage.ReadWrite, &request{}, func(c *engine.Call) error { return typ.Upgrade(c, from) })
	if err != nil {
		t.Fatalf("upgrade: %v", err)
	}
	m.open(t, typ)
}

// Now is the mount's time.
func (m *Mount) Now() time.Time { return m.now }

// Advance moves the clock, running jobs as they become due.
func (m *Mount) Advance(d time.Duration) error {
	until := m.now.Add(d)
	for {
		slices.SortStableFunc(m.due, func(a, b due) int { return a.when.Compare(b.when) })
		if len(m.due) == 0 || m.due[0].when.After(until) {
			m.now = until
			return nil
		}
		next := m.due[0]
		m.due = m.due[1:]
		if next.when.After(m.now) {
			m.now = next.when
		}
		err := m.in(storage.ReadWrite, &request{}, func(c *engine.Call) error { return m.inst.Job(c, next.job, next.id) })
		if err != nil {
			return fmt.Errorf("job %s of %s: %w", next.job, next.id, err)
		}
	}
}

type request struct {
	body     json.RawMessage
	query    url.Values
	warnings []string
	verified any
}

// in runs f in a transaction; what it schedules counts once it committed.
func (m *Mount) in(mode storage.Mode, q *request, f func(*engine.Call) error) error {
	var s *schedule
	_, err := m.Store.Do(context.Background(), mode, func(tx *storage.Tx) error {
		at, by := m.At, m.Caller
		s = &schedule{due: slices.Clone(m.due)}
		c := &engine.Call{Rows: tx.In(m.rows), Whole: tx, Ctx: tx.Context(), By: &by, At_: &at, Time: m.now,
			Body: q.body, Query: q.query, Scheduler: s, Passwords: &m.drawn, Verified: q.verified, Data: m.Data}
		err := f(c)
		q.warnings = c.Warnings
		return err
	})
	if err == nil {
		m.due = s.due
	}
	return err
}

// passwords are those that engines draw: "password-1-of-POLICY" and so on.
type passwords struct{ n int }

func (p *passwords) Password(_ *storage.Tx, policy string) (string, error) {
	p.n++
	return fmt.Sprintf("password-%d-of-%s", p.n, policy), nil
}

type schedule struct{ due []due }

func (s *schedule) At(_ *storage.Tx, _ string, when time.Time, job, id string) {
	s.Cancel(nil, "", job, id)
	s.due = append(s.due, due{when, job, id})
}

func (s *schedule) Cancel(_ *storage.Tx, _, job, id string) {
	s.due = slices.DeleteFunc(s.due, func(d due) bool { return d.job == job && d.id == id })
}

// Do sends one request. The target is a path below the mount, with a query.
func (m *Mount) Do(op engine.Op, target, body string) Reply {
	path, query, _ := strings.Cut(target, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return refusal(engine.Bad("query: %s", err), nil)
	}
	match, err := m.inst.Find(op, path)
	if err != nil {
		return refusal(err, nil)
	}
	q := &request{query: values}
	if body != "" {
		if !json.Valid([]byte(body)) {
			return refusal(engine.Bad("failed to decode JSON input"), nil)
		}
		q.body = json.RawMessage(body)
	}
	if err := m.verify(&match, q); err != nil {
		return refusal(err, nil)
	}
	var a *engine.Answer
	creates := false
	err = m.in(match.Info.Mode, q, func(c *engine.Call) error {
		there, err := match.Exists(c)
		if err != nil {
			return err
		}
		creates = !there
		a, err = match.Run(c)
		return err
	})
	if err != nil {
		return refusal(err, q.warnings)
	}
	if a != nil && a.Grant != nil {
		m.last = a.Grant
	}
	r := reply(op, a)
	r.Warnings, r.Creates = q.warnings, creates
	return r
}

// reply gives an answer the status that the wire gives it.
func reply(op engine.Op, a *engine.Answer) Reply {
	switch {
	case a == nil && op == engine.OpRead:
		return refusal(engine.Missing(), nil)
	case a == nil:
		return Reply{Status: http.StatusNoContent}
	}
	r := Reply{Status: http.StatusOK, Answer: a}
	switch v := a.Data.(type) {
	case engine.Keys:
		if len(v.Keys) == 0 {
			return refusal(engine.Missing(), nil)
		}
	case *engine.Keys:
		if len(v.Keys) == 0 {
			return refusal(engine.Missing(), nil)
		}
	}
	if a.Status != 0 {
		r.Status = a.Status
	}
	if a.Raw != nil {
		r.Body = a.Raw.Body
		if a.Raw.Status != 0 {
			r.Status = a.Raw.Status
		}
		return r
	}
	r.Body = encode(a.Data)
	if a.Grant != nil {
		r.Body = encode(shownGrant(a.Grant))
	}
	if a.Data == nil && a.Grant == nil {
		r.Body = nil
	}
	return r
}

func refusal(err error, warnings []string) Reply {
	var e *api.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, engine.ErrNoRoute):
		e = &api.Error{Status: http.StatusNotFound, Errors: []string{err.Error()}}
	case errors.Is(err, engine.ErrNoOperation):
		e = &api.Error{Status: http.StatusMethodNotAllowed, Errors: []string{err.Error()}}
	default:
		e = &api.Error{Status: http.StatusInternalServerError, Errors: []string{err.Error()}}
	}
	r := Reply{Status: e.Status, Body: e.Data, Warnings: append(warnings, e.Warnings...), Refused: engine.WasRefused(err)}
	if e.Data == nil {
		r.Body = encode(struct {
			Errors []string `json:"errors"`
		}{e.Errors})
	}
	return r
}

func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte("cannot encode: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}
