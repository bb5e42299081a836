package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/server"
)

// A desk lends keys, which it makes in the world outside.
type desk struct{ world *outside }

type outside struct {
	mu      sync.Mutex
	keys    map[string]time.Time // until when each opens
	broken  error                // of undo
	breaks  string               // create: "" works, "before" and "after" making it, "panic"
	hold    chan struct{}        // create waits for it
	undone  int
	drawing int
}

func (o *outside) names() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(o.keys)), " ")
}

func (o *outside) set(f func(*outside)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o)
}

type key struct {
	Name string `json:"name"`
	Code string `json:"code"`
}

func deskType(o *outside) engine.Type {
	return (&engine.Spec[desk]{Name: "desk", Kind: engine.Secret, Open: func(engine.Mount) (*desk, error) { return &desk{o}, nil },
		Routes: engine.Routes[desk]{engine.Extended(engine.Lend("keys/{name}", (*desk).plan, (*desk).create, (*desk).undo), (*desk).extend)},
	}).Type()
}

type keyRequest struct {
	Name string          `path:"name"`
	TTL  engine.Duration `json:"ttl"`
}

func (d *desk) plan(_ engine.View, q keyRequest) (*key, engine.Terms, error) {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	d.world.drawing++
	ttl := time.Duration(q.TTL)
	if ttl == 0 {
		ttl = time.Hour
	}
	return &key{Name: fmt.Sprintf("%s%d", q.Name, d.world.drawing)}, engine.Terms{TTL: ttl, MaxTTL: 3 * time.Hour}, nil
}

func (d *desk) create(_ context.Context, k *key) (*key, error) {
	o := d.world
	var hold chan struct{}
	if o.set(func(o *outside) { hold = o.hold }); hold != nil {
		<-hold
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.breaks == "before" {
		return nil, engine.Bad("the locksmith is out")
	}
	o.keys[k.Name] = time.Time{}
	k.Code = "1234"
	switch o.breaks {
	case "after":
		return nil, errors.New("lost the line")
	case "panic":
		panic("lights out")
	}
	return k, nil
}

func (d *desk) undo(_ engine.Tx, k *key) error {
	o := d.world
	o.mu.Lock()
	defer o.mu.Unlock()
	o.undone++
	if o.broken != nil {
		return o.broken
	}
	delete(o.keys, k.Name)
	return nil
}

func (d *desk) extend(_ engine.View, k *key, until time.Time) error {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	d.world.keys[k.Name] = until
	return nil
}

// lending runs a story with a server that has a desk, in a bubble of time.
func lending(t *testing.T, story func(t *testing.T, w *world, o *outside)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &outside{keys: map[string]time.Time{}}
		w := openWith(t, func(opt *server.Options) { opt.Engines = append(opt.Engines, deskType(o)) })
		w.must(w.do(w.root, "POST", "sys/mounts/desk", `{"type":"desk"}`))
		story(t, w, o)
	})
}

// lend borrows a key and gives its lease.
func (w *world) lend(token, body string) (id string, seconds int) {
	w.t.Helper()
	a := w.must(w.do(token, "POST", "desk/keys/a", body))
	if a.LeaseID == "" || !strings.HasPrefix(a.LeaseID, "desk/keys/a/") || !a.Renewable {
		w.t.Fatalf("lease %q", a.LeaseID)
	}
	var k key
	if err := json.Unmarshal(a.Data, &k); err != nil || k.Code != "1234" {
		w.t.Fatalf("lent %s: %v", a.Data, err)
	}
	return a.LeaseID, a.LeaseDuration
}

func (w *world) lease(path, id string) answer {
	more := map[string]string{"renew": `,"increment":"10h"`, "revoke": `,"sync":true`}[path]
	return w.do(w.root, "PUT", "sys/leases/"+path, fmt.Sprintf(`{"lease_id":%q%s}`, id, more))
}

func TestWhatIsLentEndsInTime(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		_, seconds := w.lend(w.root, "")
		id, _ := w.lend(w.root, `{"ttl":"2h"}`)
		if seconds != 3600 || o.names() != "a1 a2" {
			t.Fatal(seconds, o.names())
		}
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if o.names() != "a1 a2" {
			t.Fatal("ended early:", o.names())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if o.names() != "a2" {
			t.Fatal("after an hour:", o.names())
		}
		a := w.must(w.lease("renew", id)) // 10 h are asked for, 3 h from its issue are the most
		if a.LeaseDuration != 7199 && a.LeaseDuration != 7198 || len(a.Warnings) != 1 || o.keys["a2"].IsZero() {
			t.Errorf("renewed for %d: %v %v", a.LeaseDuration, a.Warnings, o.keys)
		}
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		if o.names() != "a2" {
			t.Error("the renewal was not heeded")
		}
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if o.names() != "" {
			t.Error("it outlived its maximum:", o.names())
		}
		if a := w.lease("renew", id); a.Status != 400 || a.Errors[0] != "lease not found" {
			t.Error(a)
		}
	})
}

func TestWhatIsLentEndsWithItsToken(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		top := w.must(w.do(w.root, "POST", "auth/token/create", `{"policies":["root"]}`)).Auth.ClientToken
		sub := w.must(w.do(top, "POST", "auth/token/create", `{"policies":["root"]}`)).Auth.ClientToken
		once := w.must(w.do(top, "POST", "auth/token/create", `{"policies":["root"],"num_uses":1}`)).Auth.ClientToken
		w.lend(top, "")
		w.lend(sub, "")
		w.lend(w.root, "")
		synctest.Wait()
		if a := w.do(once, "GET", "desk/keys/a", ""); a.Status != 400 || o.names() != "a1 a2 a3" {
			t.Errorf("lent to a token's last use: %d %s", a.Status, o.names())
		}
		w.must(w.do(w.root, "POST", "auth/token/revoke", fmt.Sprintf(`{"token":%q}`, top)))
		synctest.Wait()
		if o.names() != "a3" {
			t.Error("left:", o.names())
		}
	})
}

func TestWhatIsMadeIsNeverForgotten(t *testing.T) {
	for _, how := range []string{"before", "after", "panic"} {
		lending(t, func(t *testing.T, w *world, o *outside) {
			o.set(func(o *outside) { o.breaks = how })
			a := w.do(w.root, "GET", "desk/keys/a", "")
			if want := map[string]int{"before": 400, "after": 500, "panic": 500}[how]; a.Status != want {
				t.Errorf("%s: %d %v", how, a.Status, a.Errors)
			}
			if a := w.do(w.root, "LIST", "sys/leases/lookup/desk/keys/a", ""); a.Status != 200 && how == "panic" {
				t.Errorf("%s: no reservation: %v", how, a)
			}
			time.Sleep(11 * time.Minute)
			synctest.Wait()
			if o.names() != "" || o.undone == 0 {
				t.Errorf("%s: left behind: %q, undone %d times", how, o.names(), o.undone)
			}
			if a := w.do(w.root, "LIST", "sys/leases/lookup/desk/keys/a", ""); a.Status != 404 {
				t.Errorf("%s: rows are left: %s", how, a.Data)
			}
		})
	}
}

func TestWhatCannotBeUndoneIsKept(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		id, _ := w.lend(w.root, "")
		o.set(func(o *outside) { o.broken = errors.New("no route to host") })
		if a := w.lease("revoke", id); a.Status != 400 || !strings.Contains(a.Errors[0], "no route to host") {
			t.Errorf("a revocation that fails: %d %v", a.Status, a.Errors)
		}
		if a := w.lease("lookup", id); a.Status != 400 {
			t.Errorf("a revoked lease is shown: %d", a.Status)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if o.undone != 6 {
			t.Errorf("tried %d times", o.undone)
		}
		a := w.must(w.do(w.root, "GET", "sys/leases?type=irrevocable", ""))
		if !strings.Contains(string(a.Data), id) || !strings.Contains(string(a.Data), "no route to host") {
			t.Errorf("irrevocable: %s", a.Data)
		}
		w.must(w.do(w.root, "PUT", "sys/leases/revoke-prefix/desk", "")) // another try
		synctest.Wait()
		if o.undone < 7 {
			t.Error("it was not tried again")
		}
		w.must(w.do(w.root, "PUT", "sys/leases/revoke-force/desk", `{"sync":true}`))
		if a := w.do(w.root, "LIST", "sys/leases/lookup/desk/keys/a", ""); a.Status != 404 {
			t.Errorf("after force: %s", a.Data)
		}
		if a := w.must(w.do(w.root, "GET", "sys/leases/count?type=irrevocable", "")); !strings.Contains(string(a.Data), `"lease_count":0`) {
			t.Errorf("after force: %s", a.Data)
		}
	})
}

// A mount, and a namespace, goes when what it lent is undone.
func TestAMountOutlivesItsLoans(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		w.lend(w.root, "")
		o.set(func(o *outside) { o.broken = errors.New("not now") })
		w.must(w.do(w.root, "DELETE", "sys/mounts/desk", ""))
		if a := w.do(w.root, "GET", "desk/keys/a", ""); a.Status != 404 {
			t.Errorf("it still serves: %d", a.Status)
		}
		time.Sleep(3 * time.Second)
		o.set(func(o *outside) { o.broken = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if o.names() != "" {
			t.Error("left:", o.names())
		}
		w.must(w.do(w.root, "POST", "sys/namespaces/a", ""))
		w.must(w.in("a", w.root, "POST", "sys/mounts/desk", `{"type":"desk"}`))
		w.must(w.in("a", w.root, "GET", "desk/keys/x", ""))
		if o.names() != "x2" {
			t.Fatal(o.names())
		}
		w.must(w.do(w.root, "DELETE", "sys/namespaces/a", ""))
		time.Sleep(time.Minute)
		synctest.Wait()
		if o.names() != "" || len(w.rows()) != 0 {
			t.Errorf("left: %q, rows %v", o.names(), w.rows())
		}
	})
}
