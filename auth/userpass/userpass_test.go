package userpass

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"golang.org/x/crypto/bcrypt"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

// typeOf is the method with hashes that are quick to make: a race detector makes
// bcrypt slow.
func typeOf(map[string]string) engine.Type { return spec(bcrypt.MinCost).Type() }

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) { enginetest.Run(t, file, typeOf) })
}

// What is mounted makes hashes as Vault does.
func TestCost(t *testing.T) {
	hash, err := open(cost).hashOf("secret", "")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := bcrypt.Cost([]byte(hash)); n != 10 || err != nil {
		t.Errorf("cost %d, %v", n, err)
	}
}

// A hash that was made elsewhere is taken as it is; one that would make every
// login slow is not.
func TestHashesMadeElsewhere(t *testing.T) {
	m := enginetest.New(t, typeOf(nil), nil)
	hash := func(cost int) string {
		b, err := bcrypt.GenerateFromPassword([]byte("secret"), cost)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	good := hash(4)
	for _, c := range []struct {
		hash   string
		status int
	}{
		{good, 204},
		{strings.Replace(good, "$2a$", "$2y$", 1), 204},
		{strings.Replace(good, "$04$", "$15$", 1), 400},
		{good[:59], 400},
		{good + "x", 400},
		{good[:30] + "!" + good[31:], 400},
		{"$1$" + good[3:], 400},
		{"secret", 400},
		{"", 400},
	} {
		if r := m.Do(engine.OpWrite, "users/"+"ann", fmt.Sprintf(`{"password_hash":%q}`, c.hash)); r.Status != c.status {
			t.Errorf("%s: %s", c.hash, r)
		}
	}
	if r := m.Do(engine.OpWrite, "login/ann", `{"password":"secret"}`); r.Status != 200 {
		t.Error(r)
	}
}

// Bcrypt looks at 72 bytes: what is longer must not pass for them.
func TestLongPasswords(t *testing.T) {
	m := enginetest.New(t, typeOf(nil), nil)
	long := strings.Repeat("p", 72)
	for password, status := range map[string]int{long: 204, long + "p": 400} {
		if r := m.Do(engine.OpWrite, "users/ann", `{"password":"`+password+`"}`); r.Status != status {
			t.Errorf("write of %d bytes: %s", len(password), r)
		}
	}
	for password, status := range map[string]int{long: 200, long + "p": 400} {
		if r := m.Do(engine.OpWrite, "login/ann", `{"password":"`+password+`"}`); r.Status != status || r.Refused != (status == 400) {
			t.Errorf("login by %d bytes: %s", len(password), r)
		}
	}
}

// What is stored is neither the password nor anything it could be read from.
func TestNoPasswordIsStored(t *testing.T) {
	m := enginetest.New(t, typeOf(nil), nil)
	m.Do(engine.OpWrite, "users/ann", `{"password":"canary-one"}`)
	m.Do(engine.OpWrite, "users/ann/password", `{"password":"canary-two"}`)
	err := m.Store.View(context.Background(), func(tx *storage.Tx) error {
		b, err := tx.In(storage.MountRange(1)).Get("users/ann")
		if err != nil {
			return err
		}
		if !strings.Contains(string(b), `"password_hash":"$2a$04$`) || strings.Contains(string(b), "canary") {
			t.Errorf("stored: %s", b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
