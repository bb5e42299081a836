package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// deletions are the namespaces that are being deleted.
func (w *world) deletions() (uuids []string) {
	w.t.Helper()
	a := w.do(w.root, "LIST", "sys/namespace-deletions", "")
	if a.Status == 404 {
		return nil
	}
	var k struct{ Keys []string }
	if err := json.Unmarshal(w.must(a).Data, &k); err != nil {
		w.t.Fatal(err)
	}
	return k.Keys
}

// indebted makes a namespace that has lent a key which cannot be taken back, and
// deletes it.
func (w *world) indebted(o *outside) {
	w.t.Helper()
	w.must(w.do(w.root, "POST", "sys/namespaces/a", ""))
	w.must(w.in("a", w.root, "POST", "sys/mounts/desk", `{"type":"desk"}`))
	w.must(w.in("a", w.root, "POST", "desk/keys/a", ""))
	o.set(func(o *outside) { o.broken = errors.New("no route to host") })
	w.must(w.do(w.root, "DELETE", "sys/namespaces/a", ""))
	time.Sleep(24 * time.Hour)
	synctest.Wait()
}

// A namespace is not gone while something of it is left outside: that is tried for
// ever, and shown to those above.
func TestADeletedNamespaceLeavesNothingOutside(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		w.indebted(o)
		if o.undone <= 6 || o.undone > 50 {
			t.Errorf("tried %d times in a day", o.undone)
		}
		left := w.deletions()
		if len(left) != 1 {
			t.Fatalf("being deleted: %q", left)
		}
		a := w.must(w.do(w.root, "GET", "sys/namespace-deletions/"+left[0], ""))
		if text := string(a.Data); !strings.Contains(text, "no route to host") || !strings.Contains(text, `"irrevocable_leases":1`) {
			t.Errorf("it waits for %s", text)
		}
		a = w.must(w.do(w.root, "GET", "sys/leases?type=irrevocable&include_child_namespaces=true", ""))
		if !strings.Contains(string(a.Data), "no route to host") {
			t.Errorf("irrevocable leases: %s", a.Data)
		}
		a = w.must(w.do(w.root, "DELETE", "sys/namespaces/a", ""))
		if !strings.Contains(string(a.Data), "in-progress") || len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], left[0]) {
			t.Errorf("deleted again: %s %q", a.Data, a.Warnings)
		}
		o.set(func(o *outside) { o.broken = nil })
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if o.names() != "" || len(w.deletions()) != 0 || len(w.rows()) != 0 {
			t.Errorf("left: keys %q, namespaces %q, rows %q", o.names(), w.deletions(), w.rows())
		}
	})
}

// Who is above can have forgotten what cannot be undone.
func TestADeletedNamespaceIsForced(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		w.indebted(o)
		left := w.deletions()
		w.want(w.do(w.root, "POST", "sys/namespace-deletions/nobody/force", ""), 404)
		w.must(w.do(w.root, "POST", "sys/namespaces/b", ""))
		w.want(w.in("b", w.root, "GET", "sys/namespace-deletions/"+left[0], ""), 404)
		w.want(w.in("b", w.root, "POST", "sys/namespace-deletions/"+left[0]+"/force", ""), 404)
		before := o.undone
		w.must(w.do(w.root, "POST", "sys/namespace-deletions/"+left[0]+"/force", ""))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if o.undone == before {
			t.Error("it was not tried once more")
		}
		if left := w.deletions(); len(left) != 0 {
			t.Errorf("being deleted: %q", left)
		}
	})
}

// What leads to leases that are gone holds no namespace up, however much of it
// there is.
func TestADeletedNamespacePassesOverWhatIsGone(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		w.must(w.do(w.root, "POST", "sys/namespaces/a", ""))
		w.must(w.in("a", w.root, "POST", "sys/mounts/desk", `{"type":"desk"}`))
		w.must(w.in("a", w.root, "POST", "desk/keys/a", ""))
		if _, err := w.s.Store().Update(t.Context(), func(tx *storage.Tx) error {
			for i := range 1000 {
				tx.Of(1).In(storage.Owners).Put(fmt.Sprintf("token/%d", i), []byte(`{"ns":99,"id":"gone/x"}`))
				tx.Of(1).In(storage.Owners).Put(fmt.Sprintf("0token/%d", i), []byte(`{"ns":99,"id":"gone/x"}`))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.must(w.do(w.root, "DELETE", "sys/namespaces/a", ""))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if o.names() != "" || len(w.deletions()) != 0 {
			t.Errorf("left: keys %q, namespaces %q", o.names(), w.deletions())
		}
	})
}

// A key that is being made when it is revoked is taken back once it is there.
func TestWhatIsRevokedWhileItIsMadeIsUndone(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		hold := make(chan struct{})
		o.set(func(o *outside) { o.hold = hold })
		answered := make(chan int, 1)
		go func() { answered <- w.do(w.root, "POST", "desk/keys/a", "").Status }()
		synctest.Wait()
		w.must(w.do(w.root, "PUT", "sys/leases/revoke-prefix/desk", ""))
		time.Sleep(time.Minute)
		synctest.Wait()
		close(hold)
		<-answered
		synctest.Wait()
		if o.names() != "" {
			t.Errorf("left outside: %q", o.names())
		}
		if a := w.do(w.root, "LIST", "sys/leases/lookup/desk/keys/a", ""); a.Status != 404 {
			t.Errorf("rows are left: %s", a.Data)
		}
	})
}
