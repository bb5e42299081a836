package sys

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/cubbyhole"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
)

// The stories are conversations with sys/ alone: who may ask what is decided
// before, by package server.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		w := newWorld(t)
		datadriven.RunTest(t, path, w.run)
	})
}

// A world is a system on memory with one engine of two versions.
type world struct {
	sys    *System
	tokens map[string]string // raw, by the name a story gives it
	names  map[string]string // what answers hold that no two runs share
}

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type shelf struct{}

func shelfType(match map[string]string) engine.Type {
	return (&engine.Spec[shelf]{
		Name: "kv", Kind: engine.Secret, Match: match, Version: "v1.2.3+builtin.vault",
		Check: func(o map[string]string) error {
			if v := o["version"]; v != "" && v != "1" && v != "2" {
				return engine.Bad("invalid version %s", v)
			}
			return nil
		},
		Upgrade: func(tx engine.Tx, _ engine.Info) error { tx.Put("upgraded", []byte("yes")); return nil },
	}).Type()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	now := func() time.Time { return began }
	bar := barrier.New()
	tokens := token.New(token.Options{Barrier: bar, Now: now})
	store, err := storage.Open(storage.Options{State: kv.NewMemory(), Log: raft.NewMemory(), Sealer: bar, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	s := New(&System{Holders: people{}, Store: store, Barrier: bar, Policies: policy.NewStore(), Tokens: tokens, Leases: &lease.Store{Tokens: tokens, Now: now},
		Wrapping: &cubbyhole.Wrapping{Tokens: tokens}, Logger: slog.New(slog.DiscardHandler), Settings: Settings{Version: "1.21.0", RootToken: "root"}})
	login := (&engine.Spec[shelf]{Name: "userpass", Kind: engine.Auth, Version: "v1.2.3+builtin.vault"}).Type()
	s.Mounts = mount.New([]engine.Type{s.Type(), tokens.Type(), cubbyhole.Type(), login,
		shelfType(nil), shelfType(map[string]string{"version": "2"})}, 768*time.Hour, 768*time.Hour)
	made, err := s.Init(context.Background(), 1, 1, nil, "", false)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(made.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Unseal(context.Background(), key); err != nil {
		t.Fatal(err)
	}
	return &world{sys: s, tokens: map[string]string{"root": "root"}, names: map[string]string{}}
}

// asker stands for what the server hands over.
type asker struct {
	entry *token.Entry
	raw   string
	path  string
}

func (a *asker) Token() *token.Entry    { return a.entry }
func (a *asker) RawToken() string       { return a.raw }
func (a *asker) RequestPath() string    { return a.path }
func (a *asker) Sudo() bool             { return true }
func (a *asker) WrapFor() time.Duration { return 0 }

var ops = map[string]engine.Op{"read": engine.OpRead, "list": engine.OpList, "write": engine.OpWrite, "delete": engine.OpDelete}

// run knows `token NAME policies=(a,b)`, `rows MOUNT` and the operations, whose
// argument is the path below sys/ with `as=` a token, or `as=none`.
func (w *world) run(t *testing.T, td *datadriven.TestData) string {
	t.Helper()
	as := "root"
	td.MaybeScanArgs(t, "as", &as)
	switch td.Cmd {
	case "token":
		return w.token(t, td)
	case "rows":
		return w.rows(t, td.CmdArgs[0].Key)
	}
	op, ok := ops[td.Cmd]
	if !ok {
		t.Fatalf("%s: no such command as %s", td.Pos, td.Cmd)
	}
	path, query, _ := strings.Cut(td.CmdArgs[0].String(), "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return w.ask(t, op, w.unname(path), values, w.unname(td.Input), w.tokens[as])
}

func (w *world) ask(t *testing.T, op engine.Op, path string, query url.Values, body, raw string) string {
	t.Helper()
	var answer *engine.Answer
	var call *engine.Call
	_, err := w.sys.Store.Do(context.Background(), storage.ReadWrite, func(tx *storage.Tx) error {
		table, err := w.sys.Mounts.Table(tx)
		if err != nil {
			return err
		}
		live := table.At("sys/")
		match, err := live.Instance.Find(op, path)
		if err != nil {
			return err
		}
		e, err := w.sys.Tokens.Find(tx, raw)
		if err != nil {
			return err
		}
		call = &engine.Call{Rows: tx.In(live.Range()), Whole: tx, Ctx: context.Background(), By: &engine.Caller{Address: "127.0.0.1"},
			At_: &live.Mount, Time: began, Body: json.RawMessage(body), Query: query, Data: &asker{e, raw, "sys/" + path}}
		if e != nil {
			call.By.TokenID, call.By.Policies, call.By.Root = e.ID, e.Policies, e.Root()
		}
		answer, err = match.Run(call)
		return err
	})
	return w.tell(t, answer, call, err)
}

// tell writes an answer as a story shows it.
func (w *world) tell(t *testing.T, a *engine.Answer, c *engine.Call, err error) string {
	t.Helper()
	var told *api.Error
	switch {
	case errors.As(err, &told):
		return fmt.Sprintf("%d %s\n", told.Status, strings.Join(told.Errors, "; "))
	case err != nil:
		return err.Error() + "\n"
	}
	out := "nothing\n"
	if a != nil && a.After != nil { // as the server does: nothing else is answered
		if err := a.After(t.Context()); err != nil {
			return err.Error() + "\n"
		}
		a = nil
	}
	if a != nil {
		out = ""
		if a.Status != 0 {
			out = fmt.Sprintf("%d\n", a.Status)
		}
		if a.Data != nil {
			b, err := json.MarshalIndent(a.Data, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			out += w.name(string(b)) + "\n"
		}
	}
	for _, s := range c.Warnings {
		out += "warning: " + s + "\n"
	}
	return out
}

var unsteady = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|_[0-9a-f]{8}"|"h[0-9a-f]{64}"|/h[0-9a-f]{64}"|"[0-9A-Za-z]{24}"`)

// name puts a name in the place of what differs from run to run.
func (w *world) name(s string) string {
	return unsteady.ReplaceAllStringFunc(s, func(got string) string {
		id := strings.Trim(got, `"/_`)
		if w.names[id] == "" {
			w.names[id] = fmt.Sprintf("ID%d", len(w.names)+1)
		}
		return strings.Replace(got, id, w.names[id], 1)
	})
}

func (w *world) unname(s string) string {
	for _, id := range slices.Backward(slices.SortedFunc(maps.Keys(w.names), func(a, b string) int { return len(w.names[a]) - len(w.names[b]) })) {
		s = strings.ReplaceAll(s, w.names[id], id)
	}
	for name, raw := range w.tokens {
		s = strings.ReplaceAll(s, "$"+name, raw)
	}
	return s
}

func (w *world) token(t *testing.T, td *datadriven.TestData) string {
	t.Helper()
	p := token.Params{Path: "auth/token/create", TTL: time.Hour}
	for _, a := range td.CmdArgs[1:] {
		switch a.Key {
		case "policies":
			p.Policies = a.Vals
		case "path":
			p.Path = a.Vals[0]
		case "cidr":
			p.BoundCIDRs = a.Vals
		}
	}
	_, err := w.sys.Store.Do(context.Background(), storage.ReadWrite, func(tx *storage.Tx) error {
		c, err := w.sys.Tokens.Create(tx, nil, p)
		if err != nil {
			return err
		}
		name := td.CmdArgs[0].Key
		w.tokens[name], w.tokens["accessor-of-"+name] = c.Raw, c.Entry.Accessor
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return "made\n"
}

// rows says what the store holds for a mount.
func (w *world) rows(t *testing.T, path string) string {
	t.Helper()
	var out strings.Builder
	err := w.sys.Store.View(context.Background(), func(tx *storage.Tx) error {
		table, err := w.sys.Mounts.Table(tx)
		if err != nil {
			return err
		}
		rows := tx.In(table.At(path).Range())
		for name, err := range rows.Children("", "") {
			if err != nil {
				return err
			}
			fmt.Fprintln(&out, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
