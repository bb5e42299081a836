package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// in is do within a namespace.
func (w *world) in(ns, token, method, path, body string) answer {
	w.t.Helper()
	return w.do(token, method, path, body, "X-Vault-Namespace", ns)
}

func (w *world) must(a answer) answer {
	w.t.Helper()
	if a.Status/100 != 2 {
		w.t.Fatalf("%d %v", a.Status, a.Errors)
	}
	return a
}

// Tokens of a namespace end with what they hang on above it.
func TestATokenTreeReachesIntoNamespaces(t *testing.T) {
	w := open(t)
	w.must(w.do(w.root, "POST", "sys/namespaces/a", ""))
	w.must(w.in("a", w.root, "POST", "sys/namespaces/b", ""))
	top := w.must(w.do(w.root, "POST", "auth/token/create", `{"policies":["root"]}`)).Auth.ClientToken
	mid := w.must(w.in("a", top, "POST", "auth/token/create", `{"policies":["root"]}`)).Auth.ClientToken
	low := w.must(w.in("a/b", mid, "POST", "auth/token/create", `{"policies":["root"]}`)).Auth.ClientToken
	w.must(w.do(low, "GET", "a/b/auth/token/lookup-self", ""))
	if a := w.in("a", low, "GET", "sys/mounts", ""); a.Status != 403 {
		t.Errorf("a token of a/b in a: %d", a.Status)
	}
	if a := w.do(mid, "GET", "sys/mounts", ""); a.Status != 403 {
		t.Errorf("a root token of a in root: %d", a.Status)
	}
	w.must(w.do(w.root, "POST", "auth/token/revoke", fmt.Sprintf(`{"token":%q}`, top)))
	for _, token := range []string{top, mid, low} {
		if a := w.do(token, "GET", "a/b/auth/token/lookup-self", ""); a.Status != 403 {
			t.Errorf("%.12s… lives: %d", token, a.Status)
		}
	}
}

// Batch tokens and wrapped answers of a namespace are good for it alone.
func TestTokensWithoutRowsKnowTheirNamespace(t *testing.T) {
	w := open(t)
	w.must(w.do(w.root, "POST", "sys/namespaces/a", ""))
	w.must(w.do(w.root, "POST", "sys/namespaces/b", ""))
	w.must(w.in("a", w.root, "PUT", "sys/policies/acl/all", `{"policy":"path \"*\" { capabilities = [\"read\", \"list\", \"sudo\"] }"}`))
	w.must(w.in("b", w.root, "PUT", "sys/policies/acl/all", `{"policy":"path \"*\" { capabilities = [\"read\", \"list\", \"sudo\"] }"}`))
	batch := w.must(w.in("a", w.root, "POST", "auth/token/create", `{"type":"batch","policies":["all"]}`)).Auth.ClientToken
	w.must(w.in("a", batch, "GET", "sys/mounts", ""))
	for _, ns := range []string{"", "b"} {
		if a := w.in(ns, batch, "GET", "sys/mounts", ""); a.Status != 403 {
			t.Errorf("a's batch token in %q: %d", ns, a.Status)
		}
	}
	at := strings.LastIndexByte(batch, '.')
	b := w.must(w.in("b", w.root, "POST", "auth/token/create", `{"type":"batch","policies":["all"]}`)).Auth.ClientToken
	for _, forged := range []string{batch[:at], batch[:at] + b[strings.LastIndexByte(b, '.'):]} {
		for _, ns := range []string{"", "a", "b"} {
			if a := w.in(ns, forged, "GET", "sys/mounts", ""); a.Status != 403 {
				t.Errorf("a batch token with another ending, in %q: %d", ns, a.Status)
			}
		}
	}
	wrapped := w.must(w.do(w.root, "GET", "sys/mounts", "", "X-Vault-Namespace", "a", "X-Vault-Wrap-TTL", "60")).WrapInfo.Token
	if a := w.in("b", wrapped, "POST", "sys/wrapping/unwrap", ""); a.Status == 200 {
		t.Error("a's answer was unwrapped in b")
	}
	w.must(w.in("a", wrapped, "POST", "sys/wrapping/unwrap", ""))
}

// A namespace that is deleted is gone at once, and its rows soon after.
func TestADeletedNamespaceLeavesNothing(t *testing.T) {
	w := open(t)
	before := w.rows()
	w.must(w.do(w.root, "POST", "sys/namespaces/a", ""))
	w.must(w.in("a", w.root, "POST", "sys/mounts/kv", `{"type":"kv","options":{"version":"2"}}`))
	for i := range 20 {
		w.must(w.in("a", w.root, "POST", fmt.Sprintf("kv/data/%d", i), `{"data":{"x":"y"}}`))
	}
	token := w.must(w.in("a", w.root, "POST", "auth/token/create", `{"policies":["root"]}`)).Auth.ClientToken
	w.must(w.in("a", token, "POST", "cubbyhole/x", `{"a":"b"}`))
	w.must(w.in("a", token, "POST", "auth/token/create", `{"ttl":"1h"}`))
	w.must(w.do(w.root, "DELETE", "sys/namespaces/a", ""))
	if a := w.in("a", token, "GET", "kv/data/1", ""); a.Status != 404 {
		t.Errorf("a request in it: %d", a.Status)
	}
	if a := w.do(token, "GET", "sys/mounts", ""); a.Status != 403 {
		t.Errorf("its token elsewhere: %d", a.Status)
	}
	w.settle(func() bool { return len(w.rows()) == len(before) })
	again := w.must(w.do(w.root, "POST", "sys/namespaces/a", ""))
	if a := w.in("a", w.root, "GET", "kv/data/1", ""); a.Status != 404 {
		t.Errorf("a new namespace of the name has old secrets: %d %s", a.Status, again.Data)
	}
}

// rows are the paths of sys/raw, whichever namespace they belong to.
func (w *world) rows() (keys []string) {
	w.t.Helper()
	for _, ns := range []uint32{1} {
		for _, r := range []storage.Range{storage.Mounts, storage.Policies, storage.Accessors, storage.Leases, storage.MountRange(0), storage.MountRange(1), storage.MountRange(2), storage.MountRange(3)} {
			if err := w.s.Store().View(w.t.Context(), func(tx *storage.Tx) error {
				for name, err := range tx.Of(ns).In(r).Children("", "") {
					if err != nil {
						return err
					}
					keys = append(keys, fmt.Sprint(ns, r.ID, name))
				}
				return nil
			}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	return keys
}

// settle waits for what the schedule does.
func (w *world) settle(done func() bool) {
	w.t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		changed := w.s.Store().Changed()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			w.t.Fatal("the schedule did not do it")
		}
	}
}
