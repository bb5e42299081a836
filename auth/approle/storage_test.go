package approle

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

// rows are the names of all rows of a mount and their values.
func rows(t *testing.T, m *enginetest.Mount) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := m.Store.View(context.Background(), func(tx *storage.Tx) error {
		in := tx.In(storage.MountRange(1))
		var walk func(folder string) error
		walk = func(folder string) error {
			for name, err := range in.Children(strings.TrimSuffix(folder, "/"), "") {
				if err != nil {
					return err
				}
				if strings.HasSuffix(name, "/") {
					if err := walk(folder + name); err != nil {
						return err
					}
					continue
				}
				b, err := in.Get(folder + name)
				if err != nil {
					return err
				}
				all[folder+name] = string(b)
			}
			return nil
		}
		return walk("")
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func must(t *testing.T, r enginetest.Reply, status int) {
	t.Helper()
	if r.Status != status {
		t.Fatalf("%s, want %d", r, status)
	}
}

// A secret-id is in no row, neither in a name nor in a value; and when it has
// expired, was spent or its role is gone, nothing of it is left.
func TestNoSecretIDIsStored(t *testing.T) {
	m := enginetest.New(t, spec().Type(), nil)
	must(t, m.Do(engine.OpWrite, "role/app", `{"role_id":"app"}`), 204)
	for secret, more := range map[string]string{"canary-1": ``, "canary-2": `,"ttl":"1h"`, "canary-3": `,"num_uses":2`, "canary-4": `,"num_uses":9,"ttl":"2h"`} {
		must(t, m.Do(engine.OpWrite, "role/app/custom-secret-id", `{"secret_id":"`+secret+`"`+more+`}`), 200)
	}
	for name, value := range rows(t, m) {
		if strings.Contains(name, "canary") || strings.Contains(value, "canary") {
			t.Errorf("%s holds %s", name, value)
		}
	}
	login := func(secret string, status int) {
		t.Helper()
		must(t, m.Do(engine.OpWrite, "login", `{"role_id":"app","secret_id":"`+secret+`"}`), status)
	}
	login("canary-3", 200)
	login("canary-3", 200)
	login("canary-3", 400)
	if err := m.Advance(time.Hour); err != nil {
		t.Fatal(err)
	}
	login("canary-2", 400)
	login("canary-4", 200)
	count := func(prefix string) (n int) {
		for name := range rows(t, m) {
			if strings.HasPrefix(name, prefix) {
				n++
			}
		}
		return n
	}
	if sid, acc, uses := count("sid/"), count("acc/"), count("uses/"); sid != 2 || acc != 2 || uses != 1 {
		t.Errorf("%d secret-ids, %d accessors and %d counters are left, want 2, 2 and 1: %v", sid, acc, uses, rows(t, m))
	}
	must(t, m.Do(engine.OpDelete, "role/app", ""), 204)
	login("canary-1", 400)
	if err := m.Advance(time.Second); err != nil {
		t.Fatal(err)
	}
	if left := rows(t, m); len(left) != 1 || left[keyPath] == "" {
		t.Errorf("of a role that is gone there is left: %v", left)
	}
	if err := m.Advance(24 * time.Hour); err != nil {
		t.Fatal(err)
	}
}

// Large roles are swept in pages, each a transaction of its own, and so is what
// a lost due index has left.
func TestManySecretIDs(t *testing.T) {
	const many = page + page/2
	m := enginetest.New(t, spec().Type(), nil)
	must(t, m.Do(engine.OpWrite, "role/app", `{}`), 204)
	must(t, m.Do(engine.OpWrite, "role/other", `{}`), 204)
	for i := range many {
		must(t, m.Do(engine.OpWrite, "role/app/secret-id", fmt.Sprintf(`{"ttl":"%dh"}`, 1+i%2)), 200)
	}
	must(t, m.Do(engine.OpWrite, "role/other/secret-id", `{}`), 200)

	// As if the jobs were lost: an hour later, half of them have expired.
	after, runs := "", 0
	for again := true; again; runs++ {
		s := &lost{}
		_, err := m.Store.Update(context.Background(), func(tx *storage.Tx) error {
			*s = lost{}
			c := &engine.Call{Rows: tx.In(storage.MountRange(1)), Whole: tx, Ctx: tx.Context(), At_: &m.At, Time: m.Now().Add(time.Hour), Scheduler: s}
			return new(Engine).tidy(c, after)
		})
		if err != nil {
			t.Fatal(err)
		}
		again, after = s.job == "tidy", s.id
	}
	left := 0
	for name := range rows(t, m) {
		if strings.HasPrefix(name, "sid/") {
			left++
		}
	}
	if left != many/2+1 || runs != 2 {
		t.Errorf("%d secret-ids are left after %d runs of tidy, want %d after 2", left, runs, many/2+1)
	}

	for range page {
		must(t, m.Do(engine.OpWrite, "role/app/secret-id", `{}`), 200)
	}
	must(t, m.Do(engine.OpDelete, "role/app", ""), 204)
	if err := m.Advance(0); err != nil {
		t.Fatal(err)
	}
	left = 0
	for name := range rows(t, m) {
		if strings.HasPrefix(name, "sid/") || strings.HasPrefix(name, "acc/") {
			left++
		}
	}
	if left != 2 {
		t.Errorf("%d rows are left, want those of the other role", left)
	}
}

// A secret-id whose time is up is refused from that moment, although its row is
// still there.
func TestExpiryDoesNotWaitForTheDueIndex(t *testing.T) {
	m := enginetest.New(t, spec().Type(), nil)
	must(t, m.Do(engine.OpWrite, "role/app", `{"role_id":"app"}`), 204)
	must(t, m.Do(engine.OpWrite, "role/app/custom-secret-id", `{"secret_id":"s","ttl":"1h"}`), 200)
	for _, c := range []struct {
		after time.Duration
		good  bool
	}{{0, true}, {time.Hour - time.Nanosecond, true}, {time.Hour, false}, {time.Hour + time.Nanosecond, false}, {-time.Hour, true}} {
		err := m.Store.View(context.Background(), func(tx *storage.Tx) error {
			call := &engine.Call{Rows: tx.In(storage.MountRange(1)), Whole: tx, By: &m.Caller, At_: &m.At, Time: m.Now().Add(c.after)}
			_, err := new(Engine).login(call, loginRequest{RoleID: "app", SecretID: "s"})
			if (err == nil) != c.good || err != nil && !engine.WasRefused(err) {
				t.Errorf("after %s: %v", c.after, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// lost is a due index that forgets, but for the last job it was given.
type lost struct{ job, id string }

func (l *lost) At(_ *storage.Tx, _ string, _ time.Time, job, id string) { l.job, l.id = job, id }
func (l *lost) Cancel(*storage.Tx, string, string, string)              {}

// A login is one entry of the log, or none if it leaves no trace in the mount.
func TestALoginIsOneEntry(t *testing.T) {
	m := enginetest.New(t, spec().Type(), nil)
	must(t, m.Do(engine.OpWrite, "role/app", `{"role_id":"app"}`), 204)
	must(t, m.Do(engine.OpWrite, "role/app/custom-secret-id", `{"secret_id":"a"}`), 200)
	must(t, m.Do(engine.OpWrite, "role/app/custom-secret-id", `{"secret_id":"b","num_uses":2,"ttl":"1h"}`), 200)
	index := func() (n uint64) {
		if err := m.Store.View(context.Background(), func(tx *storage.Tx) error { n = tx.Index(); return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i, c := range []struct {
		secret          string
		status, entries int
	}{{"a", 200, 0}, {"b", 200, 1}, {"b", 200, 1}, {"b", 400, 0}, {"c", 400, 0}} {
		before := index()
		must(t, m.Do(engine.OpWrite, "login", `{"role_id":"app","secret_id":"`+c.secret+`"}`), c.status)
		if n := int(index() - before); n != c.entries {
			t.Errorf("login %d by %s took %d entries, want %d", i, c.secret, n, c.entries)
		}
	}
}
