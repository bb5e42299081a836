package token_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
)

var home = netip.MustParseAddr("10.1.2.3")

// A world is a store, tokens in it and a clock.
type world struct {
	t      testing.TB
	store  *storage.Store
	tokens *token.Store
	leases *lease.Store
	routes engine.Instance
	now    time.Time
	ended  []string // display names of tokens that ended

	entities map[string]string // by alias; others are disabled
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b := barrier.New()
	root, ring, err := b.Create()
	must(t, err)
	must(t, b.Unlock(root, ring))
	change, err := b.NewLeadership(ring)
	must(t, err)
	must(t, change.Install())
	w.store, err = storage.Open(storage.Options{State: kv.NewMemory(), Log: raft.NewMemory(), Sealer: b})
	must(t, err)
	t.Cleanup(func() { must(t, w.store.Close()) })
	clock := func() time.Time { return w.now }
	w.tokens = token.New(token.Options{Barrier: b, Now: clock, OnRevoke: func(_ *storage.Tx, e *token.Entry) error {
		w.ended = append(w.ended, e.DisplayName)
		return nil
	}, AliasEntity: func(_ *storage.Tx, alias string) (string, error) {
		if id := w.entities[alias]; id != "" {
			return id, nil
		}
		return "", engine.Status(403, "that entity is disabled")
	}})
	w.leases = &lease.Store{Tokens: w.tokens, Now: clock}
	w.routes, err = w.tokens.Type().Open(engine.Mount{})
	must(t, err)
	w.update(func(tx *storage.Tx) error {
		if err := w.tokens.Init(tx); err != nil {
			return err
		}
		_, _, err := w.tokens.CreateRoot(tx, "root")
		return err
	})
	return w
}

func (w *world) update(f func(tx *storage.Tx) error) {
	w.t.Helper()
	_, err := w.store.Update(w.t.Context(), f)
	must(w.t, err)
}

// advance moves the clock and does what is due.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	handlers := w.tokens.Handlers()
	for kind, h := range w.leases.Handlers() {
		handlers[kind] = h
	}
	r := &schedule.Runner{Store: w.store, Handlers: handlers}
	_, err := r.RunDue(w.t.Context(), w.now)
	must(w.t, err)
}

type presented struct {
	raw  string
	e    *token.Entry
	sudo bool
}

func (p presented) RawToken() string    { return p.raw }
func (p presented) Token() *token.Entry { return p.e }
func (p presented) Sudo() bool          { return p.sudo }

type reply struct {
	a        *engine.Answer
	warnings []string
}

// call makes a request to auth/token/ as the server would.
func (w *world) call(op engine.Op, path, raw, body string) (r reply, err error) {
	w.t.Helper()
	m, err := w.routes.Find(op, path)
	must(w.t, err)
	_, err = w.store.Do(w.t.Context(), m.Info.Mode, func(tx *storage.Tx) error {
		sudo := false
		name, isSudo := strings.CutSuffix(raw, "+sudo")
		if isSudo {
			sudo = true
		}
		e, err := w.tokens.Authenticate(tx, name, home)
		if err != nil {
			return err
		}
		c := &engine.Call{Whole: tx, Ctx: tx.Context(), Time: w.now, By: &engine.Caller{TokenID: e.ID},
			At_: &engine.Mount{Path: "auth/token/"}, Data: presented{name, e, sudo || e.Root()}}
		if body != "" {
			c.Body = json.RawMessage(body)
		}
		r.a, err = m.Run(c)
		r.warnings = c.Warnings
		return err
	})
	return r, err
}

// create makes a token by the route and returns it.
func (w *world) create(raw, body string) *api.Auth {
	w.t.Helper()
	r, err := w.call(engine.OpWrite, "create", raw, body)
	if err != nil {
		w.t.Fatalf("create %s: %v", body, err)
	}
	return r.a.Auth
}

// use says what happens to a request with a token.
func (w *world) use(raw string) string {
	w.t.Helper()
	_, err := w.store.Do(w.t.Context(), storage.ReadOnly, func(tx *storage.Tx) error {
		_, err := w.tokens.Authenticate(tx, raw, home)
		return err
	})
	return said(err)
}

func said(err error) string {
	var e *api.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return fmt.Sprintf("%d %s", e.Status, strings.Join(e.Errors, "; "))
	}
	return err.Error()
}

const (
	ok     = "ok"
	denied = "403 permission denied"
)

func (w *world) wantUse(raw, want string) {
	w.t.Helper()
	if got := w.use(raw); got != want {
		w.t.Errorf("use of a token: %s, want %s", got, want)
	}
}

func TestOnlyGoodTokensAreLetIn(t *testing.T) {
	w := newWorld(t)
	w.wantUse("root", ok)
	for _, bad := range []string{"", "garbage", "hvs.AAAAAAAAAAAAAAAAAAAAAAAA", "hvb.", "hvb.AAAA", "hvb.!!", "rooT"} {
		w.wantUse(bad, denied)
	}
	if err := w.store.View(t.Context(), func(tx *storage.Tx) error {
		b, err := tx.In(storage.Tokens).Get("root")
		if b != nil {
			t.Error("a row is found by the token itself")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	bound := newBound(w, "192.0.2.0/24")
	w.wantUse(bound, denied)
	w.wantUse(newBound(w, "10.0.0.0/8"), ok)
	w.wantUse(newBound(w, "10.1.2.3"), ok)
	w.wantUse(newBound(w, "10.0.0.0/99"), denied) // no network is no one's network
}

func newBound(w *world, cidr string) (raw string) {
	w.update(func(tx *storage.Tx) error {
		c, err := w.tokens.Create(tx, nil, token.Params{Path: "x", BoundCIDRs: []string{cidr}})
		if err == nil {
			raw = c.Raw
		}
		return err
	})
	return raw
}

func TestUsesAreSpentEvenOnFailure(t *testing.T) {
	w := newWorld(t)
	raw := w.create("root", `{"policies":["p"],"num_uses":3,"display_name":"few"}`).ClientToken
	broken := errors.New("broken")
	_, err := w.store.Do(t.Context(), storage.ReadOnly, func(tx *storage.Tx) error {
		if _, err := w.tokens.Authenticate(tx, raw, home); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	for _, left := range []int{1, -1} {
		r, err := w.call(engine.OpRead, "lookup-self", raw, "")
		must(t, err)
		if got := r.a.Data.(*token.Shown).NumUses; got != left {
			t.Errorf("%d uses left, want %d", got, left)
		}
	}
	w.wantUse(raw, denied)
	if w.ended != nil {
		t.Error("the last request lost what hangs on its token while it ran")
	}
	w.advance(0)
	if !slices.Equal(w.ended, []string{"token-few"}) {
		t.Errorf("ended: %v", w.ended)
	}
	again := w.create("root", `{"num_uses":2,"policies":["p"]}`).ClientToken
	_, err = w.call(engine.OpWrite, "create", again, "")
	if got := said(err); got != "400 restricted use token cannot generate child tokens" {
		t.Error(got)
	}
}

func TestTokensExpireUnlessRenewed(t *testing.T) {
	w := newWorld(t)
	plain := w.create("root", `{"policies":["p"],"ttl":"1h"}`)
	child := w.create("root", `{"policies":["p"],"ttl":"1h"}`)
	w.advance(50 * time.Minute)
	r, err := w.call(engine.OpWrite, "renew", "root", `{"token":"`+child.ClientToken+`","increment":"2h"}`)
	must(t, err)
	if r.a.Auth.LeaseDuration != 7200 || r.a.Auth.ClientToken != child.ClientToken {
		t.Errorf("renewed: %+v", r.a.Auth)
	}
	w.now = w.now.Add(10 * time.Minute)
	w.wantUse(plain.ClientToken, denied) // though nobody has removed it yet
	w.wantUse(child.ClientToken, ok)
	w.advance(0)
	if len(w.ended) != 1 {
		t.Errorf("ended: %v", w.ended)
	}
	w.advance(2 * time.Hour)
	w.wantUse(child.ClientToken, denied)
	if len(w.ended) != 2 {
		t.Errorf("ended: %v", w.ended)
	}
	w.wantUse("root", ok)
}

func TestRenewalsHaveTheirLimits(t *testing.T) {
	w := newWorld(t)
	capped := w.create("root", `{"policies":["p"],"ttl":"1h","explicit_max_ttl":"2h"}`).ClientToken
	r, err := w.call(engine.OpWrite, "renew-self", capped, `{"increment":"9h"}`)
	must(t, err)
	if r.a.Auth.LeaseDuration != 7200 || !slices.Equal(r.warnings, []string{`TTL of "9h" exceeded the effective max_ttl of "2h"; TTL value is capped accordingly`}) {
		t.Errorf("%d %v", r.a.Auth.LeaseDuration, r.warnings)
	}
	periodic := w.create("root", `{"policies":["p"],"period":"1h"}`).ClientToken
	for range 1000 { // longer than the system's maximum
		w.now = w.now.Add(59 * time.Minute)
		r, err := w.call(engine.OpWrite, "renew-self", periodic, `{"increment":"9h"}`)
		must(t, err)
		if r.a.Auth.LeaseDuration != 3600 || r.warnings != nil {
			t.Fatalf("%d %v", r.a.Auth.LeaseDuration, r.warnings)
		}
	}
}

func TestATreeEndsTogether(t *testing.T) {
	w := newWorld(t)
	top := w.create("root", `{"policies":["p"],"display_name":"top"}`).ClientToken
	mid := w.create(top, `{"display_name":"mid"}`).ClientToken
	leaf := w.create(mid, `{"display_name":"leaf"}`).ClientToken
	batch := w.create(mid, `{"type":"batch"}`).ClientToken
	w.wantUse(batch, ok)
	_, err := w.call(engine.OpWrite, "revoke-orphan", "root", `{"token":"`+top+`"}`)
	must(t, err)
	w.wantUse(top, denied)
	w.wantUse(mid, ok)
	_, err = w.call(engine.OpWrite, "revoke-self", mid, "")
	must(t, err)
	for _, raw := range []string{mid, leaf, batch} {
		w.wantUse(raw, denied)
	}
	if want := []string{"token-top", "token-mid", "token-leaf"}; !slices.Equal(w.ended, want) {
		t.Errorf("ended %v, want %v", w.ended, want)
	}
	must(t, w.store.View(t.Context(), func(tx *storage.Tx) error {
		for row := range tx.In(storage.TokenTree).Scan("", "") {
			t.Errorf("left in the tree: %s", row.Key)
		}
		names, err := w.leases.List(tx, "")
		if len(names) > 0 {
			t.Errorf("left among leases: %v", names)
		}
		return err
	}))
}

func TestALargeTreeEndsInParts(t *testing.T) {
	w := newWorld(t)
	top := w.create("root", `{"policies":["p"]}`).ClientToken
	const children = 1300
	w.update(func(tx *storage.Tx) error {
		parent, err := w.tokens.Find(tx, top)
		for i := 0; err == nil && i < children; i++ {
			_, err = w.tokens.Create(tx, parent, token.Params{Path: "auth/token/create", Policies: []string{"p"}})
		}
		return err
	})
	_, err := w.call(engine.OpWrite, "revoke", "root", `{"token":"`+top+`"}`)
	must(t, err)
	if n := len(w.ended); n == 0 || n > 600 {
		t.Errorf("%d tokens ended in one transaction", n)
	}
	w.advance(0)
	if len(w.ended) != children+1 {
		t.Errorf("%d tokens ended", len(w.ended))
	}
}

func TestWhatACallerMayGrant(t *testing.T) {
	w := newWorld(t)
	limited := w.create("root", `{"policies":["limited","other"]}`).ClientToken
	batch := w.create("root", `{"policies":["limited"],"type":"batch"}`).ClientToken
	bare := w.create("root", `{"policies":["limited"],"no_default_policy":true}`).ClientToken
	for _, c := range []struct{ by, body, want string }{
		{limited, `{}`, "default limited other"},
		{limited, `{"policies":["LIMITED "]}`, "default limited"},
		{limited, `{"policies":["p1"]}`, "400 child policies must be subset of parent"},
		{limited, `{"policies":["root"]}`, "400 child policies must be subset of parent"},
		{limited + "+sudo", `{"policies":["p1"]}`, "default p1"},
		{limited + "+sudo", `{"policies":["root"]}`, "400 root tokens may not be created without parent token being root"},
		{bare, `{}`, "limited"},
		{bare, `{"policies":["default"]}`, "400 child policies must be subset of parent"},
		{limited, `{"id":"mine"}`, "400 root or sudo privileges required to specify token id"},
		{limited, `{"period":"1h"}`, "400 root or sudo privileges required to create periodic token"},
		{limited, `{"no_parent":true}`, "400 root or sudo privileges required to create orphan token"},
		{batch, `{}`, "400 batch tokens cannot create more tokens"},
		{"root", `{"policies":["p","root"]}`, "root"},
		{"root", `{"policies":["p1"],"no_default_policy":true}`, "p1"},
		{"root", `{"id":"my.own"}`, "400 custom token ID cannot have a '.' in the value"},
		{"root", `{"id":"s.own"}`, "400 custom token ID cannot have the 's.' prefix"},
		{"root", `{"id":"root"}`, "400 cannot create a token with a duplicate ID"},
		{"root", `{"type":"batch","num_uses":3}`, `400 batch tokens cannot have "num_uses" set`},
		{"root", `{"type":"batch","period":"1h"}`, `400 batch tokens cannot have "period" set`},
		{"root", `{"type":"batch","id":"x"}`, "400 batch tokens cannot be root tokens"},
		{"root", `{"type":"batch","policies":["p1"],"explicit_max_ttl":"2h"}`, `400 batch tokens cannot have "explicit_max_ttl" set`},
		{"root", `{"type":"gold"}`, "400 invalid 'token_type' value"},
		{"root", `{"ttl":"-1h"}`, "400 ttl must be positive"},
		{"root", `{"ttl":"often"}`, `400 time: invalid duration "often"`},
		{"root", `{"num_uses":-1}`, "400 number of uses cannot be negative"},
		{"root", `{"explicit_max_ttl":"x"}`, `400 time: invalid duration "x"`},
		{"root", `{"entity_alias":"x"}`, "400 'entity_alias' is only allowed in combination with token role"},
		{"root", `{"meta":"x"}`, `400 Field validation failed: error converting input for field "meta": invalid key pair "x"`},
	} {
		r, err := w.call(engine.OpWrite, "create", c.by, c.body)
		got := said(err)
		if err == nil {
			got = strings.Join(r.a.Auth.Policies, " ")
		}
		if got != c.want {
			t.Errorf("create %s: %s\nwant %s", c.body, got, c.want)
		}
	}
}

func TestTTLs(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		body      string
		seconds   int64
		renewable bool
		warning   string
	}{
		{`{}`, 0, false, ""}, // root
		{`{"policies":["p"]}`, 2764800, true, ""},
		{`{"policies":["p"],"ttl":3600}`, 3600, true, ""},
		{`{"policies":["p"],"lease":"30m"}`, 1800, true, ""},
		{`{"policies":["p"],"renewable":false,"ttl":"1h"}`, 3600, false, ""},
		{`{"policies":["p"],"type":"batch","ttl":"1h"}`, 3600, false, ""},
		{`{"policies":["p"],"ttl":"3h","explicit_max_ttl":"2h"}`, 7200, true, `TTL of "3h" exceeded the effective max_ttl of "2h"; TTL value is capped accordingly`},
		{`{"policies":["p"],"ttl":"9000h"}`, 2764800, true, `TTL of "9000h" exceeded the effective max_ttl of "768h"; TTL value is capped accordingly`},
	} {
		r, err := w.call(engine.OpWrite, "create", "root", c.body)
		must(t, err)
		if a := r.a.Auth; a.LeaseDuration != c.seconds || a.Renewable != c.renewable || strings.Join(r.warnings, ";") != c.warning {
			t.Errorf("create %s: %d s, renewable %t, warnings %q", c.body, a.LeaseDuration, a.Renewable, r.warnings)
		}
	}
	mortal := w.create("root", `{"ttl":"1h"}`)
	if mortal.LeaseDuration != 3600 || !mortal.Renewable {
		t.Errorf("a root token with a TTL: %+v", mortal)
	}
	_, err := w.call(engine.OpWrite, "create", mortal.ClientToken, `{}`)
	if got := said(err); got != "400 expiring root tokens cannot create non-expiring root tokens" {
		t.Error(got)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	fixed := w.create("root", `{"policies":["p"],"renewable":false}`).ClientToken
	batch := w.create("root", `{"policies":["p"],"type":"batch"}`).ClientToken
	const accessor = "400 1 error occurred:\n\t* invalid accessor\n\n"
	for _, c := range []struct{ path, by, body, want string }{
		{"lookup", "root", `{"token":"nosuch"}`, "403 bad token"},
		{"lookup-accessor", "root", `{"accessor":"nosuch"}`, accessor},
		{"lookup-accessor", "root", `{}`, "400 1 error occurred:\n\t* missing accessor\n\n"},
		{"renew-self", fixed, `{}`, "400 lease is not renewable"},
		{"renew-self", batch, `{}`, "400 batch tokens cannot be renewed"},
		{"renew-self", "root", `{}`, "400 lease is not renewable"},
		{"renew", "root", `{"token":"nosuch"}`, "400 token not found"},
		{"renew", "root", `{}`, "400 missing token ID"},
		{"renew", "root", `{"token":"x","increment":"x"}`, `400 Field validation failed: error converting input for field "increment": time: invalid duration "x"`},
		{"renew-accessor", "root", `{"accessor":"nosuch"}`, accessor},
		{"revoke", "root", `{"token":"nosuch"}`, ok},
		{"revoke", "root", `{}`, "400 missing token ID"},
		{"revoke", "root", `{"token":"` + batch + `"}`, "400 batch tokens cannot be revoked"},
		{"revoke-self", batch, ``, "400 batch tokens cannot be revoked"},
		{"revoke-orphan", "root", `{"token":"nosuch"}`, "400 token to revoke not found"},
	} {
		_, err := w.call(engine.OpWrite, c.path, c.by, c.body)
		if got := said(err); got != c.want {
			t.Errorf("%s %s: %s\nwant %s", c.path, c.body, got, c.want)
		}
	}
}

func TestALookupShowsTheToken(t *testing.T) {
	w := newWorld(t)
	a := w.create("root", `{"policies":["p1"],"ttl":"1h","meta":{"a":"b"},"display_name":"joe"}`)
	show := func(op engine.Op, path, by, body string) string {
		t.Helper()
		r, err := w.call(op, path, by, body)
		must(t, err)
		b, err := json.Marshal(r.a.Data)
		must(t, err)
		return strings.NewReplacer(a.ClientToken, "TOKEN", a.Accessor, "ACCESSOR").Replace(string(b))
	}
	want := `{"accessor":"ACCESSOR","creation_time":1767323045,"creation_ttl":3600,"display_name":"token-joe","entity_id":"",` +
		`"expire_time":"2026-01-02T04:04:05Z","explicit_max_ttl":0,"id":"TOKEN","issue_time":"2026-01-02T03:04:05Z","meta":{"a":"b"},` +
		`"num_uses":0,"orphan":false,"path":"auth/token/create","policies":["default","p1"],"renewable":true,"ttl":3600,"type":"service"}`
	for _, got := range []string{
		show(engine.OpRead, "lookup-self", a.ClientToken, ""),
		show(engine.OpRead, "lookup", a.ClientToken, ""),
		show(engine.OpWrite, "lookup", "root", `{"token":"`+a.ClientToken+`"}`),
	} {
		if got != want {
			t.Errorf("lookup: %s\nwant %s", got, want)
		}
	}
	if got := show(engine.OpWrite, "lookup-accessor", "root", `{"accessor":"`+a.Accessor+`"}`); got != strings.Replace(want, "TOKEN", "", 1) {
		t.Errorf("lookup-accessor: %s", got)
	}
	if got := show(engine.OpRead, "lookup-self", "root", ""); !strings.Contains(got, `"expire_time":null`) || !strings.Contains(got, `"orphan":true`) {
		t.Errorf("root: %s", got)
	}
	r, err := w.call(engine.OpList, "accessors/", "root", "")
	must(t, err)
	if keys := r.a.Data.(engine.Keys).Keys; len(keys) != 2 || !slices.Contains(keys, a.Accessor) {
		t.Errorf("accessors: %v", keys)
	}
	revoke := `{"accessor":"` + a.Accessor + `"}`
	if r, err = w.call(engine.OpWrite, "revoke-accessor", "root", revoke); err != nil || r.a != nil {
		t.Errorf("revoke-accessor: %v %v", r.a, err)
	}
	r, err = w.call(engine.OpWrite, "revoke-accessor", "root", revoke)
	if err != nil || r.a == nil || len(r.warnings) != 1 {
		t.Errorf("revoke-accessor again: %+v %v", r, err)
	}
}

func TestLeasesOfTokens(t *testing.T) {
	w := newWorld(t)
	login := func(path string) (raw, id string) {
		w.update(func(tx *storage.Tx) error {
			c, err := w.tokens.Create(tx, nil, token.Params{Path: path, Policies: []string{"p"}})
			if err == nil {
				raw, id = c.Raw, lease.OfToken(path, c.Entry.ID)
			}
			return err
		})
		return raw, id
	}
	ann, annID := login("auth/userpass/login/ann")
	bob, _ := login("auth/userpass/login/bob")
	other, _ := login("auth/ldap/login/ann")
	w.update(func(tx *storage.Tx) error {
		l, err := w.leases.Lookup(tx, annID)
		must(t, err)
		if l.Path != "auth/userpass/login/ann" || !l.Renewable || l.Expires.Sub(w.now) != 768*time.Hour {
			t.Errorf("lease: %+v", l)
		}
		_, err = w.leases.Lookup(tx, "a/b/c")
		_, renew := w.leases.Renew(tx, annID, time.Hour, nil)
		if said(err) != "400 invalid lease" || said(renew) != "400 tokens cannot be renewed through this endpoint" {
			t.Error(said(err), said(renew))
		}
		names, err := w.leases.List(tx, "auth/userpass/login/")
		if !slices.Equal(names, []string{"ann/", "bob/"}) {
			t.Errorf("list: %v", names)
		}
		return err
	})
	w.update(func(tx *storage.Tx) error { return w.leases.Revoke(tx, annID) })
	w.wantUse(ann, denied)
	w.wantUse(bob, ok)
	for range 300 {
		login("auth/userpass/login/many")
	}
	w.update(func(tx *storage.Tx) error { return w.leases.RevokePrefix(tx, "auth/userpass", false) })
	w.advance(0)
	w.wantUse(bob, denied)
	w.wantUse(other, ok)
	w.update(func(tx *storage.Tx) error {
		n, err := w.leases.Count(tx, "")
		if n != 1 {
			t.Errorf("%d leases left", n)
		}
		return err
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	w := newWorld(b)
	raw := w.create("root", `{"policies":["p"]}`).ClientToken
	must(b, w.store.View(b.Context(), func(tx *storage.Tx) error {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.tokens.Authenticate(tx, raw, home); err != nil {
				return err
			}
		}
		return nil
	}))
}
