package storage_test

import (
	"context"
	"testing"

	"github.com/fastness-dev/fastness/storage"
)

// Namespaces share the store and no row of it: what one holds, another does not
// find, and dropping one empties it alone.
func TestNamespacesAreApart(t *testing.T) {
	s, _ := open(t)
	d := storage.Derived[int]{Range: storage.Policies, Build: func(rows storage.Rows) (n int, err error) {
		for _, err := range rows.Children("", "") {
			if err != nil {
				return 0, err
			}
			n++
		}
		return n, nil
	}}
	put := func(ns uint32, name string) {
		t.Helper()
		if _, err := s.Update(context.Background(), func(tx *storage.Tx) error {
			tx.Of(ns).In(storage.Policies).Put(name, []byte(name))
			tx.Of(ns).In(storage.Owners).Put(name, nil)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	count := func(ns uint32) (n int) {
		t.Helper()
		if err := s.View(context.Background(), func(tx *storage.Tx) (err error) {
			n, err = d.Get(tx.Of(ns))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	put(0, "a")
	put(1, "a")
	put(1, "b")
	put(2, "c")
	if a, b, c, e := count(0), count(1), count(2), count(3); a != 1 || b != 2 || c != 1 || e != 0 {
		t.Fatalf("rows per namespace: %d %d %d %d", a, b, c, e)
	}
	if _, err := s.Update(context.Background(), func(tx *storage.Tx) error {
		tx.DropNamespace(1)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if a, b, c := count(0), count(1), count(2); a != 1 || b != 0 || c != 1 {
		t.Fatalf("rows per namespace after a drop: %d %d %d", a, b, c)
	}
	if err := s.View(context.Background(), func(tx *storage.Tx) error {
		v, err := tx.Of(1).In(storage.Owners).Get("a")
		if v != nil {
			t.Error("an ordered row survived its namespace")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(context.Background(), func(tx *storage.Tx) error {
		tx.DropNamespace(0)
		return nil
	}); err == nil {
		t.Fatal("the root namespace was dropped")
	}
}
