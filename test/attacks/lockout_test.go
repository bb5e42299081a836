package attacks

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tries is how many wrong guesses are told that they are wrong.
const tries = 5

// Guesses at once get no more answers than guesses in a row, whether they are
// verified in a transaction or before it, and the right one is of no use once
// the others were too many; until the time is over.
func TestCVE_2025_6004_GuessesAtOnce(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().Unix())
	w := openAt(t, func() time.Time { return time.Unix(now.Load(), 0) })
	w.methods()
	logins := []struct{ path, wrong, right string }{
		{"auth/userpass/login/ann", `{"password":"guess"}`, userLogin},
		{"auth/approle/login", `{"role_id":"app","secret_id":"guess"}`, roleLogin},
	}
	for _, l := range logins {
		var told atomic.Int64
		var all sync.WaitGroup
		for range 2 * tries {
			all.Go(func() {
				if a := w.do("", http.MethodPost, l.path, l.wrong); a.Status == http.StatusBadRequest {
					told.Add(1)
				} else if a.Status != http.StatusForbidden {
					t.Errorf("%s: %d %q", l.path, a.Status, a.Errors)
				}
			})
		}
		all.Wait()
		if n := told.Load(); n != tries {
			t.Errorf("%s: %d guesses were told that they are wrong, want %d", l.path, n, tries)
		}
		w.want(w.do("", http.MethodPost, l.path, l.right), 403)
	}
	now.Add(15 * 60)
	for _, l := range logins {
		w.want(w.do("", http.MethodPost, l.path, l.right), 200)
	}
}

// Whether there is such a user is not told: a name that nobody has is locked out
// in the same words after as many guesses. Who is locked out is so at one mount
// of one namespace.
func TestCVE_2025_6011_LockoutTellsWhoExists(t *testing.T) {
	w := open(t)
	w.methods()
	guess := func(name string) (out []answer) {
		for range tries + 2 {
			out = append(out, w.do("", http.MethodPost, "auth/userpass/login/"+name, `{"password":"guess"}`))
		}
		return out
	}
	there, none := guess("ann"), guess("nobody")
	for i := range there {
		if a, b := there[i], none[i]; a.Status != b.Status || len(a.Errors) != 1 || len(b.Errors) != 1 || a.Errors[0] != b.Errors[0] {
			t.Errorf("guess %d: %d %q for a user, %d %q for nobody", i, a.Status, a.Errors, b.Status, b.Errors)
		}
	}
	w.want(w.do(w.root, http.MethodPost, "sys/namespaces/a", ""), 200)
	for _, path := range []string{"a/%s/userpass", "%s/other"} {
		enable, at := fmt.Sprintf(path, "sys/auth"), fmt.Sprintf(path, "auth")
		w.want(w.do(w.root, http.MethodPost, enable, `{"type":"userpass"}`), 204)
		w.want(w.do(w.root, http.MethodPost, at+"/users/ann", userLogin), 204)
		w.want(w.do("", http.MethodPost, at+"/login/ann", userLogin), 200)
	}
	w.want(w.do("", http.MethodPost, "auth/userpass/login/ann", userLogin), 403)
}
