package identity_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// A world is the engine at identity/ among three auth methods: pass, ldap and
// the local one here.
type world struct {
	*enginetest.Mount
	ids    *identity.Store
	mounts map[string]*identity.Mount
}

func newWorld(t testing.TB) *world {
	w := &world{mounts: map[string]*identity.Mount{
		"pass": {Accessor: "pass", Path: "auth/pass/", Type: "userpass"},
		"ldap": {Accessor: "ldap", Path: "auth/ldap/", Type: "ldap"},
		"here": {Accessor: "here", Path: "auth/here/", Type: "userpass", Local: true},
	}}
	n := 0
	w.ids = identity.New(identity.Options{
		NewID: func() string { n++; return "id" + strconv.Itoa(n) },
		Mount: func(_ *storage.Tx, accessor string) (*identity.Mount, error) { return w.mounts[accessor], nil },
	})
	w.Mount = enginetest.New(t, w.ids.Type(), nil)
	return w
}

func (w *world) update(f func(*storage.Tx) error) error {
	_, err := w.Store.Update(context.Background(), f)
	return err
}

var ops = map[string]engine.Op{"read": engine.OpRead, "list": engine.OpList, "write": engine.OpWrite, "delete": engine.OpDelete}

// TestStories runs transcripts. A block begins with `new`, for a fresh store,
// or `do`; its lines are
//
//	read PATH   list PATH   delete PATH   write PATH JSON
//	login MOUNT ALIAS [groups=A,B] [key=value]...   a login by an auth method
//	renew ENTITY MOUNT ALIAS [groups=A,B] [key=value]...
//	holder ENTITY                   what a token of the entity stands for
//	unmount MOUNT                   the auth method is disabled
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		var w *world
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				w = newWorld(t)
			}
			var out strings.Builder
			for line := range strings.SplitSeq(d.Input, "\n") {
				if line = strings.TrimSpace(line); line != "" {
					out.WriteString(w.line(line))
				}
			}
			return out.String()
		})
	})
}

func (w *world) line(line string) string {
	f := strings.Fields(line)
	if op, ok := ops[f[0]]; ok {
		target, body, _ := strings.Cut(strings.TrimSpace(line[len(f[0]):]), " ")
		return w.Do(op, target, strings.TrimSpace(body)).String()
	}
	switch f[0] {
	case "login":
		return w.login(f[1:])
	case "renew":
		return w.renew(f[1], f[2:])
	case "holder":
		return w.holder(f[1])
	case "unmount":
		err := w.update(func(tx *storage.Tx) error { return w.ids.Unmount(tx, f[1]) })
		delete(w.mounts, f[1])
		return said(err, "")
	}
	return "unknown verb " + f[0] + "\n"
}

func said(err error, otherwise string) string {
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	if otherwise == "" {
		otherwise = "ok"
	}
	return otherwise + "\n"
}

// loginOf reads MOUNT ALIAS and what was said besides.
func (w *world) loginOf(f []string) identity.Login {
	l := identity.Login{Mount: identity.Mount{Accessor: f[0]}, Alias: f[1]}
	if m := w.mounts[f[0]]; m != nil {
		l.Mount = *m
	}
	for _, word := range f[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch {
		case key == "groups":
			l.Groups = strings.Split(value, ",")
		case l.Metadata == nil:
			l.Metadata = map[string]string{key: value}
		default:
			l.Metadata[key] = value
		}
	}
	return l
}

func (w *world) login(f []string) string {
	var in *identity.Entered
	err := w.update(func(tx *storage.Tx) (err error) {
		in, err = w.ids.Login(tx, w.loginOf(f), w.Now())
		return err
	})
	switch {
	case err != nil:
		return said(err, "")
	case in == nil:
		return "nobody\n"
	}
	return fmt.Sprintf("entity %s by alias %s, created %t\n", in.EntityID, in.AliasID, in.Created)
}

func (w *world) renew(entity string, f []string) string {
	return said(w.update(func(tx *storage.Tx) error { return w.ids.Renewed(tx, entity, w.loginOf(f), w.Now()) }), "")
}

func (w *world) holder(entity string) string {
	out := "nobody"
	err := w.Store.View(context.Background(), func(tx *storage.Tx) error {
		h, err := w.ids.Holder(tx, entity)
		if err != nil || h == nil {
			return err
		}
		out = fmt.Sprintf("%s %v", h.ID, h.Policies)
		for _, g := range h.Subject.Groups {
			out += " in " + g.Name
		}
		if h.Disabled {
			out += " disabled"
		}
		return nil
	})
	return said(err, out)
}

// Handlers are run by hand: the tests have no runner.
func (w *world) unmountAll(t *testing.T, accessor string) (parts int) {
	t.Helper()
	job := schedule.Job{Kind: identity.KindUnmount, ID: accessor}
	for {
		parts++
		again := false
		if err := w.update(func(tx *storage.Tx) error {
			job.Cancel(tx)
			if err := w.ids.Handlers()[identity.KindUnmount](tx, job); err != nil {
				return err
			}
			when, err := schedule.When(tx, job)
			again = !when.IsZero()
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if !again {
			return parts
		}
	}
}
