package server_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"
)

// What is lent outside is counted from its reservation until it is undone, and
// is not even made when there is no room for it.
func TestLoansAreCounted(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		counts := func(want int) {
			t.Helper()
			a := w.must(w.do(w.root, "GET", "sys/quotas/lease-count/desk", ""))
			var q struct{ Counter int }
			if err := json.Unmarshal(a.Data, &q); err != nil || q.Counter != want {
				t.Errorf("%s, want %d leases", a.Data, want)
			}
		}
		w.lend(w.root, "")
		w.must(w.do(w.root, "POST", "sys/quotas/lease-count/desk", `{"path":"desk/","max_leases":2}`))
		synctest.Wait()
		counts(1)
		id, _ := w.lend(w.root, "")
		w.want(w.do(w.root, "POST", "desk/keys/a", ""), 429)
		if o.names() != "a1 a2" {
			t.Errorf("made %s", o.names())
		}
		w.must(w.lease("revoke", id))
		counts(1)
		o.set(func(o *outside) { o.breaks = "before" })
		w.want(w.do(w.root, "POST", "desk/keys/a", ""), 400)
		synctest.Wait()
		counts(1) // what was not made is not counted any longer
		o.set(func(o *outside) { o.breaks = "" })
		w.lend(w.root, "")
		counts(2)
		time.Sleep(2 * time.Hour) // in the bubble: all leases end
		counts(0)
	})
}
