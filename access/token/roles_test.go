package token_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

func (w *world) role(name, body string) {
	w.t.Helper()
	if _, err := w.call(engine.OpWrite, "roles/"+name, "root", body); err != nil {
		w.t.Fatalf("role %s: %v", name, err)
	}
}

// by makes a token by a role and says what came of it.
func (w *world) by(raw, role, body string) (*api.Auth, string) {
	w.t.Helper()
	r, err := w.call(engine.OpWrite, "create/"+role, raw, body)
	if err != nil {
		return nil, said(err)
	}
	return r.a.Auth, strings.Join(r.warnings, "; ")
}

func (w *world) entry(raw string) *token.Entry {
	w.t.Helper()
	var e *token.Entry
	must(w.t, w.store.View(w.t.Context(), func(tx *storage.Tx) (err error) {
		e, err = w.tokens.Find(tx, raw)
		return err
	}))
	if e == nil {
		w.t.Fatal("the token is gone")
	}
	return e
}

func (w *world) renew(raw, increment string) (time.Duration, string) {
	w.t.Helper()
	r, err := w.call(engine.OpWrite, "renew", "root", `{"token":"`+raw+`","increment":"`+increment+`"}`)
	if err != nil {
		return 0, said(err)
	}
	return time.Duration(r.a.Auth.LeaseDuration) * time.Second, strings.Join(r.warnings, "; ")
}

// Which policies a role gives to whom. The maker holds "own" and "default".
func TestRolesDecideAboutPolicies(t *testing.T) {
	w := newWorld(t)
	maker := w.create("root", `{"policies":["own"]}`).ClientToken
	const subset, disallowed = "400 token policies ", "400 token policy "
	for _, c := range []struct{ role, asked, want string }{
		{`{}`, `{}`, "default own"},
		{`{}`, `{"policies":["other"]}`, "400 child policies must be subset of parent"},
		{`{"allowed_policies":["a","b"]}`, `{}`, "a b default"},
		{`{"allowed_policies":["a","b"]}`, `{"policies":["b"]}`, "b default"},
		{`{"allowed_policies":["a","b"]}`, `{"policies":[" B "]}`, "b default"},
		{`{"allowed_policies":["a","b"]}`, `{"policies":["own"]}`, subset},
		{`{"allowed_policies":["a"]}`, `{"no_default_policy":true}`, "a"},
		{`{"allowed_policies":["a"],"token_no_default_policy":true}`, `{}`, "a"},
		{`{"allowed_policies":["a"],"token_no_default_policy":true}`, `{"policies":["a","default"]}`, subset},
		{`{"allowed_policies_glob":["team-*"]}`, `{"policies":["team-x","team-y"]}`, "default team-x team-y"},
		{`{"allowed_policies_glob":["team-*"]}`, `{"policies":["Team-X"]}`, "default team-x"},
		{`{"allowed_policies_glob":["team-*"]}`, `{"policies":["xteam-x"]}`, subset},
		{`{"allowed_policies_glob":["team-*"]}`, `{}`, "default"},
		{`{"allowed_policies_glob":["*-ro"],"disallowed_policies_glob":["prod-*"]}`, `{"policies":["dev-ro"]}`, "default dev-ro"},
		{`{"allowed_policies_glob":["*-ro"],"disallowed_policies_glob":["prod-*"]}`, `{"policies":["PROD-ro"]}`, disallowed},
		{`{"allowed_policies":["a"],"disallowed_policies":["A"]}`, `{}`, disallowed},
		{`{"disallowed_policies":["x"]}`, `{}`, "default own"},
		{`{"disallowed_policies":["x"]}`, `{"policies":["anything"]}`, "anything default"},
		{`{"disallowed_policies":["x","default"]}`, `{"policies":["y"]}`, "y"},
		{`{"disallowed_policies":["own"]}`, `{}`, disallowed},
		{`{"allowed_policies_glob":["*"]}`, `{"policies":["response-wrapping"]}`, `400 cannot assign policy "response-wrapping"`},
	} {
		w.role("r", `{"allowed_policies":[],"allowed_policies_glob":[],"disallowed_policies":[],"disallowed_policies_glob":[],"token_no_default_policy":false}`)
		w.role("r", c.role)
		auth, got := w.by(maker, "r", c.asked)
		if auth != nil {
			got = strings.Join(auth.Policies, " ")
		}
		if got != c.want && !(strings.HasSuffix(c.want, " ") && strings.HasPrefix(got, c.want)) {
			t.Errorf("role %s, asked %s: %s, want %s", c.role, c.asked, got, c.want)
		}
	}
}

// No role gives the root policy, not to root either.
func TestRolesNeverGiveRoot(t *testing.T) {
	w := newWorld(t)
	for _, spelling := range []string{"root", "ROOT", " root", "root\t", "\u00a0Root"} {
		if _, err := w.call(engine.OpWrite, "roles/r", "root", fmt.Sprintf(`{"allowed_policies":[%q]}`, spelling)); err == nil {
			t.Errorf("a role allows %q", spelling)
		}
	}
	w.role("any", `{"allowed_policies_glob":["*","r*"]}`)
	w.role("none", `{"disallowed_policies":["x"]}`)
	w.role("free", `{}`)
	for _, role := range []string{"any", "none", "free"} {
		for _, body := range []string{`{}`, `{"policies":["root"]}`, `{"policies":[" ROOT "]}`, `{"policies":"default,Root"}`} {
			auth, _ := w.by("root", role, body)
			if auth != nil && slices.Contains(auth.Policies, "root") {
				t.Errorf("role %s gives root to %s", role, body)
			}
		}
	}
}

// What a role says about a token's life, at creation and at renewals.
func TestTimesOfARoleAreAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.role("p", `{"token_period":"10m","token_explicit_max_ttl":"1h","allowed_policies":["a"]}`)
	auth, _ := w.by("root", "p", `{"ttl":"5m"}`)
	if auth.LeaseDuration != 600 {
		t.Errorf("created for %d s", auth.LeaseDuration)
	}
	if e := w.entry(auth.ClientToken); e.Period != 0 || e.ExplicitMaxTTL != 0 || e.Role != "p" {
		t.Errorf("the role's terms became the token's: %+v", e)
	}
	w.advance(5 * time.Minute)
	if d, _ := w.renew(auth.ClientToken, "3h"); d != 10*time.Minute {
		t.Errorf("renewed for %s", d)
	}
	w.role("p", `{"token_period":"20m"}`)
	if d, _ := w.renew(auth.ClientToken, ""); d != 20*time.Minute {
		t.Errorf("renewed for %s after the role's period grew", d)
	}
	for range 3 { // now at 50 minutes
		w.advance(15 * time.Minute)
		w.renew(auth.ClientToken, "")
	}
	if left := w.entry(auth.ClientToken).Expires.Sub(w.now); left != 10*time.Minute {
		t.Errorf("%s left of the hour", left)
	}
	w.role("p", `{"token_explicit_max_ttl":"40m"}`)
	if _, said := w.renew(auth.ClientToken, ""); said != "400 past the max TTL, cannot renew" {
		t.Error(said)
	}
	w.wantUse(auth.ClientToken, ok) // what was given stays given
	_, err := w.call(engine.OpDelete, "roles/p", "root", "")
	must(t, err)
	if _, said := w.renew(auth.ClientToken, ""); said != `400 original token role "p" could not be found, not renewing` {
		t.Error(said)
	}
	w.advance(10 * time.Minute)
	w.wantUse(auth.ClientToken, denied)
}

// A token keeps to terms of its own too, whatever becomes of the role.
func TestTheLesserOfTokenAndRoleHolds(t *testing.T) {
	w := newWorld(t)
	w.role("p", `{"token_period":"10m","token_explicit_max_ttl":"2h"}`)
	auth, warned := w.by("root", "p", `{"policies":["a"],"period":"5m","explicit_max_ttl":"1h"}`)
	if auth.LeaseDuration != 300 || !strings.Contains(warned, "lesser value of 3600 seconds; Period specified both") {
		t.Errorf("%d s, %s", auth.LeaseDuration, warned)
	}
	w.role("p", `{"token_period":"0","token_explicit_max_ttl":"0"}`)
	if d, _ := w.renew(auth.ClientToken, "9h"); d != 5*time.Minute {
		t.Errorf("renewed for %s", d)
	}
	for range 30 {
		w.advance(4 * time.Minute)
		w.renew(auth.ClientToken, "9h")
	}
	w.wantUse(auth.ClientToken, denied)

	w.role("few", `{"token_num_uses":3,"renewable":false}`)
	for asked, want := range map[string]int{`{"policies":["a"]}`: 3, `{"policies":["a"],"num_uses":2}`: 2, `{"policies":["a"],"num_uses":5}`: 3} {
		if auth, said := w.by("root", "few", asked); auth == nil || auth.NumUses != want || auth.Renewable {
			t.Errorf("%s: %+v %s", asked, auth, said)
		}
	}
}

func TestTypesOfARolesTokens(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ role, asked, want string }{
		{"default-service", "", "service"}, {"default-service", "batch", "batch"},
		{"default-batch", "", "batch"}, {"default-batch", "service", "service"},
		{"service", "batch", "service"}, {"batch", "service", "batch"}, {"batch", "", "batch"},
	} {
		w.role("t", `{"orphan":true,"renewable":false,"token_type":"`+c.role+`"}`)
		auth, said := w.by("root", "t", `{"policies":["a"],"type":"`+c.asked+`"}`)
		if auth == nil || auth.TokenType != c.want || strings.HasPrefix(auth.ClientToken, "hvb.") != (c.want == "batch") {
			t.Errorf("%+v: %+v %s", c, auth, said)
		}
	}
	w.role("u", `{"token_type":"default-batch","token_num_uses":2}`)
	if _, said := w.by("root", "u", `{"policies":["a"]}`); said != `400 batch tokens cannot have "num_uses" set` {
		t.Error(said) // nobody counts the uses of a batch token
	}
	const no = "400 'token_type' cannot be 'batch' when role is set to generate "
	for body, want := range map[string]string{
		`{"renewable":false}`: no + "non-orphan tokens",
		`{"orphan":true}`:     no + "renewable tokens",
		`{"orphan":true,"renewable":false,"token_period":"1h"}`:     no + "periodic tokens",
		`{"orphan":true,"renewable":false,"explicit_max_ttl":"1h"}`: no + "tokens with an explicit max TTL",
		`{"orphan":true,"renewable":false,"token_num_uses":1}`:      no + "tokens with limited use count",
	} {
		_, err := w.call(engine.OpWrite, "roles/fresh", "root", strings.Replace(body, "{", `{"token_type":"batch",`, 1))
		if got := said(err); got != want {
			t.Errorf("%s: %s", body, got)
		}
	}
}

// The networks of a role take the place of the caller's; without any, the
// caller's stay, for an orphan too.
func TestNetworksOfARole(t *testing.T) {
	w := newWorld(t)
	w.role("bound", `{"bound_cidrs":["192.0.2.0/24"]}`)
	w.role("free", `{"orphan":true}`)
	auth, _ := w.by("root", "bound", `{"policies":["a"]}`)
	w.wantUse(auth.ClientToken, denied)
	near := newBound(w, "10.0.0.0/8")
	auth, said := w.by(near+"+sudo", "free", `{"policies":["a"]}`)
	if auth == nil || !auth.Orphan || !slices.Equal(w.entry(auth.ClientToken).BoundCIDRs, []string{"10.0.0.0/8"}) {
		t.Errorf("%+v %s", auth, said)
	}
}

// Tokens of one suffix are revoked together, those of another live on.
func TestASuffixRevokesTogether(t *testing.T) {
	w := newWorld(t)
	make := func(suffix string) string {
		w.role("r", `{"path_suffix":"`+suffix+`"}`)
		auth, _ := w.by("root", "r", `{"policies":["a"]}`)
		if e := w.entry(auth.ClientToken); e.Path != "auth/token/create/r/"+suffix {
			t.Errorf("path %s", e.Path)
		}
		return auth.ClientToken
	}
	old, young := make("v1.0"), make("v2.0")
	w.update(func(tx *storage.Tx) error { return w.leases.RevokePrefix(tx, "auth/token/create/r/v1.0", false) })
	w.advance(0)
	w.wantUse(old, denied)
	w.wantUse(young, ok)
	for _, bad := range []string{"a/b", "..", "a..b", "-a-", "a b", "x"} {
		if _, err := w.call(engine.OpWrite, "roles/r", "root", fmt.Sprintf(`{"path_suffix":%q}`, bad)); err == nil {
			t.Errorf("suffix %q was taken", bad)
		}
	}
}

func TestAnAliasNeedsARoleThatAllowsIt(t *testing.T) {
	w := newWorld(t)
	w.entities = map[string]string{"svc-One": "e1"}
	w.role("e", `{"allowed_entity_aliases":["SVC-*","exact"]}`)
	if auth, said := w.by("root", "e", `{"policies":["a"],"entity_alias":"svc-One"}`); auth == nil || auth.EntityID != "e1" {
		t.Errorf("%+v %s", auth, said)
	}
	for _, alias := range []string{"other", "xsvc-one", "exactly"} {
		if _, said := w.by("root", "e", `{"policies":["a"],"entity_alias":"`+alias+`"}`); said != "400 invalid 'entity_alias' value" {
			t.Errorf("%s: %s", alias, said)
		}
	}
	if _, said := w.by("root", "e", `{"policies":["a"],"entity_alias":"exact"}`); said != "403 that entity is disabled" {
		t.Error(said)
	}
}

// A write changes what it names, and each length of time has an old name.
func TestARoleIsChangedFieldByField(t *testing.T) {
	w := newWorld(t)
	w.role("r", `{"period":"1h","token_num_uses":4,"token_type":"service"}`)
	w.role("r", `{"orphan":true}`)
	shown := func() string {
		r, err := w.call(engine.OpRead, "roles/r", "root", "")
		must(t, err)
		return compact(t, r.a.Data)
	}
	if got := shown(); !strings.Contains(got, `"period":3600`) || !strings.Contains(got, `"token_period":3600`) ||
		!strings.Contains(got, `"token_num_uses":4`) || !strings.Contains(got, `"orphan":true`) || !strings.Contains(got, `"token_type":"service"`) {
		t.Error(got)
	}
	w.role("r", `{"token_period":"2h"}`)
	if got := shown(); !strings.Contains(got, `"period":0`) || !strings.Contains(got, `"token_period":7200`) {
		t.Error(got)
	}
	r, err := w.call(engine.OpWrite, "roles/r", "root", `{"token_period":"3h","period":"1h"}`)
	if must(t, err); len(r.warnings) != 1 || !strings.Contains(shown(), `"token_period":10800`) {
		t.Error(r.warnings, shown())
	}
}

func compact(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

// Whatever is asked of a role's token and whatever becomes of the role: no
// renewal goes past what the role says at that time, what the token was given
// itself, or what the system allows.
func TestRenewalsKeepToEveryLimit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		minutes := func(label string, least, most int) time.Duration {
			return time.Duration(rapid.IntRange(least, most).Draw(rt, label)) * time.Minute
		}
		var period, most time.Duration
		write := func() {
			period, most = minutes("period", 0, 20), minutes("most", 0, 90)
			w.role("r", fmt.Sprintf(`{"token_period":"%s","token_explicit_max_ttl":"%s"}`, period, most))
		}
		write()
		own, ownMost := minutes("own period", 0, 15), minutes("own most", 0, 60)
		auth, said := w.by("root", "r", fmt.Sprintf(`{"policies":["a"],"period":"%s","explicit_max_ttl":"%s","ttl":"%s"}`, own, ownMost, minutes("ttl", 0, 30)))
		if auth == nil {
			rt.Fatal(said)
		}
		made := w.now
		within := func(what string) {
			e := w.entry(auth.ClientToken)
			for _, limit := range []time.Duration{ownMost, most} {
				if limit > 0 && e.Expires.After(made.Add(limit)) {
					rt.Fatalf("%s: ends %s after it was made, with at most %s", what, e.Expires.Sub(made), limit)
				}
			}
			for _, p := range []time.Duration{own, period} {
				if p > 0 && e.Expires.After(w.now.Add(p)) {
					rt.Fatalf("%s: ends in %s, with a period of %s", what, e.Expires.Sub(w.now), p)
				}
			}
			if e.Expires.After(made.Add(768*time.Hour)) && own == 0 && period == 0 {
				rt.Fatalf("%s: ends %s after it was made", what, e.Expires.Sub(made))
			}
		}
		within("made")
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if w.use(auth.ClientToken) != ok {
				return
			}
			switch rapid.IntRange(0, 2).Draw(rt, "step") {
			case 0:
				write()
			case 1:
				w.advance(minutes("time", 1, 10) + time.Duration(rapid.IntRange(-10, 10).Draw(rt, "ms"))*time.Millisecond)
			default:
				if d, _ := w.renew(auth.ClientToken, minutes("increment", 0, 1000).String()); d > 0 {
					within("renewed")
				}
			}
		}
	})
}
