package server_test

import (
	"encoding/json"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/server"
)

// clocked is a server whose clock goes only where it is moved.
func clocked(t *testing.T) (*world, *atomic.Int64) {
	var now atomic.Int64
	now.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return openWith(t, func(o *server.Options) { o.Clock = func() time.Time { return time.Unix(0, now.Load()) } }), &now
}

// ends is when a token says that it ends; ok is false when it has.
func (w *world) ends(token string) (at time.Time, ok bool) {
	w.t.Helper()
	a := w.do(token, "GET", "auth/token/lookup-self", "")
	if a.Status != 200 {
		return time.Time{}, false
	}
	var e struct {
		Expires time.Time `json:"expire_time"`
	}
	if err := json.Unmarshal(a.Data, &e); err != nil {
		w.t.Fatal(err)
	}
	return e.Expires, true
}

// Renewed around the moment of its expiry in steps of 10 ms, by a clock that
// jumps about, a token never ends later than its maximum after its issue, and is
// never renewed once it has ended.
func TestNoRenewalOutlivesTheMaximum(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w, now := clocked(t)
	for range 20 {
		issued := time.Unix(0, now.Load())
		token := w.must(w.do(w.root, "POST", "auth/token/create", `{"policies":["default"],"ttl":"2s","explicit_max_ttl":"5s"}`)).Auth.ClientToken
		latest := issued.Add(5 * time.Second)
		for step := range 600 {
			jump := 10 * time.Millisecond
			if r.IntN(20) == 0 {
				jump = time.Duration(r.IntN(4000)-1000) * time.Millisecond
			}
			now.Add(int64(jump))
			at := time.Unix(0, now.Load())
			before, _ := w.ends(token)
			a := w.do(token, "POST", "auth/token/renew-self", `{"increment":"3s"}`)
			after, still := w.ends(token)
			switch {
			case a.Status == 200 && !at.Before(before):
				t.Fatalf("step %d: renewed at %s, after its end at %s", step, at, before)
			case still && after.After(latest):
				t.Fatalf("step %d: it ends at %s, later than %s", step, after, latest)
			case !at.Before(latest) && (still || a.Status == 200):
				t.Fatalf("step %d: at %s it lives, though it ended at %s at the latest", step, at, latest)
			}
		}
	}
}

// A clock that is set back an hour ends nothing early, and what was issued by the
// wrong clock lives no longer than its maximum by it.
func TestAClockIsSetBack(t *testing.T) {
	w, now := clocked(t)
	create := func() string {
		return w.must(w.do(w.root, "POST", "auth/token/create", `{"policies":["default"],"ttl":"30m","explicit_max_ttl":"40m"}`)).Auth.ClientToken
	}
	alive := func(when, token string, want bool) {
		t.Helper()
		if _, ok := w.ends(token); ok != want {
			t.Errorf("%s: alive %t, want %t", when, ok, want)
		}
	}
	before := create()
	wrong := now.Load()
	now.Add(int64(-time.Hour))
	alive("an hour earlier", before, true)
	after := create()
	now.Add(int64(29 * time.Minute))
	alive("29 minutes old by the clock that is right now", after, true)
	alive("of the clock that was wrong", before, true)
	w.must(w.do(before, "POST", "auth/token/renew-self", `{"increment":"100h"}`))
	if end, _ := w.ends(before); end.After(time.Unix(0, wrong).Add(40 * time.Minute)) {
		t.Errorf("renewed to %s", end)
	}
	now.Add(int64(2 * time.Minute))
	alive("31 minutes old", after, false)
	now.Store(wrong + int64(40*time.Minute))
	alive("at its maximum", before, false)
}
