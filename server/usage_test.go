package server_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// measured are the lines of the page of metrics that begin with a name.
func (w *world) measured(names ...string) string {
	w.t.Helper()
	page, err := w.s.Metrics()
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(page)) {
		for _, n := range names {
			if strings.HasPrefix(line, n) {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// Leases and what bounds them are measured under Vault's names.
func TestLeasesAreMeasured(t *testing.T) {
	lending(t, func(t *testing.T, w *world, o *outside) {
		w.must(w.do(w.root, "POST", "sys/quotas/lease-count/desk", `{"path":"desk/","max_leases":2}`))
		id, _ := w.lend(w.root, "")
		w.lend(w.root, "")
		w.want(w.do(w.root, "POST", "desk/keys/a", ""), 429)
		quotas := []string{"vault_quota_lease_count"}
		if got, want := w.measured(quotas...), `vault_quota_lease_count_counter{name="desk"} 2
vault_quota_lease_count_max{name="desk"} 2
vault_quota_lease_count_violation{name="desk"} 1
`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		w.must(w.lease("renew", id))
		o.set(func(o *outside) { o.broken = errors.New("no route to host") })
		w.want(w.lease("revoke", id), 400)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got, want := w.measured("vault_expire_num", "vault_expire_renew_count", "vault_expire_revoke_count", "vault_expire_lease_expiration_error_count"),
			`vault_expire_lease_expiration_error_count 12
vault_expire_num_irrevocable_leases 2
vault_expire_num_leases 2
vault_expire_renew_count 1
vault_expire_revoke_count 1
`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
