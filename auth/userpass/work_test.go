package userpass

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

// Whatever is wrong with a login, one hash of the usual cost is worked out: how
// long it takes does not tell whether there is such a user.
func TestCVE_2025_6011_WorkTellsWhoExists(t *testing.T) {
	hash, err := open(cost).hashOf("secret", "")
	if err != nil {
		t.Fatal(err)
	}
	long := make([]byte, maxPassword+1)
	for _, c := range []struct {
		name, password, hash string
		ok                   bool
	}{
		{"right", "secret", hash, true},
		{"wrong", "wrong", hash, false},
		{"nobody", "secret", "", false},
		{"nobody's own hash", "secret", open(cost).nobody, false},
		{"too long", string(long), hash, false},
		{"too long for nobody", string(long), "", false},
	} {
		costs := 0
		e := open(cost)
		e.compare = func(hash, password []byte) error {
			n, err := bcrypt.Cost(hash)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if len(password) > maxPassword {
				t.Errorf("%s: bcrypt is given %d bytes", c.name, len(password))
			}
			costs += n
			return bcrypt.CompareHashAndPassword(hash, password)
		}
		got, err := e.verify(context.Background(), loginRequest{Password: c.password}, c.hash)
		if (err == nil) != c.ok || c.ok && got != c.hash || !c.ok && (!engine.WasRefused(err) || err.Error() != wrong().Error()) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		if costs != cost {
			t.Errorf("%s: hashes of cost %d in all, want %d", c.name, costs, cost)
		}
	}
}

// However many log in at once, some cores are left; who gives up while waiting
// costs nothing.
func TestHashesWaitForTheirTurn(t *testing.T) {
	e := open(cost)
	began, finish := make(chan struct{}), make(chan struct{})
	e.compare = func(_, _ []byte) error {
		began <- struct{}{}
		<-finish
		return bcrypt.ErrMismatchedHashAndPassword
	}
	ended := make(chan struct{})
	for range cap(e.turns) {
		go func() {
			_, _ = e.verify(t.Context(), loginRequest{Password: "x"}, "")
			ended <- struct{}{}
		}()
		<-began
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := e.verify(ctx, loginRequest{Password: "x"}, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("one more: %v", err)
	}
	close(finish)
	for range cap(e.turns) {
		<-ended
	}
	if len(e.turns) != 0 {
		t.Errorf("%d turns are not given back", len(e.turns))
	}
}

// Nobody has a password, not even the one that nobody's hash is of.
func TestNobodyLogsIn(t *testing.T) {
	e := open(cost)
	e.compare = func(_, _ []byte) error { return nil }
	if _, err := e.verify(t.Context(), loginRequest{Password: "x"}, ""); !engine.WasRefused(err) {
		t.Error(err)
	}
}

// A password that was changed while it was being verified is none.
func TestAPasswordChangedMeanwhile(t *testing.T) {
	m := enginetest.New(t, typeOf(nil), nil)
	var hash string
	for i, password := range []string{"one", "two"} {
		if r := m.Do(engine.OpWrite, "users/ann", `{"password":"`+password+`"}`); r.Status != 204 {
			t.Fatal(r)
		}
		err := m.Store.View(t.Context(), func(tx *storage.Tx) error {
			c := &engine.Call{Rows: tx.In(storage.MountRange(1)), Whole: tx, By: &m.Caller, At_: &m.At, Time: m.Now()}
			if i == 0 {
				found, err := new(Engine).look(c, loginRequest{Name: "ann", Password: "one"})
				hash = found
				return err
			}
			if g, err := new(Engine).grant(c, loginRequest{Name: "ann", Password: "one"}, hash); !engine.WasRefused(err) {
				t.Errorf("%v, %v", g, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
