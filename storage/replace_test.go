package storage_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
)

// All rows are replaced by one entry of the log. What is read and written from
// then on is of the rows that came, and nothing of before is in a cache.
func TestReplace(t *testing.T) {
	b, _ := unlocked(t)
	staged := map[string][]byte{}
	open := func(name string) (io.ReadCloser, error) {
		if staged[name] == nil {
			return nil, errors.New("nothing is staged")
		}
		return io.NopCloser(bytes.NewReader(staged[name])), nil
	}
	log := &memLog{}
	s, err := storage.Open(storage.Options{State: kv.NewMemory(), Log: log, Sealer: b, Staged: open})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := storage.Derived[string]{Range: storage.System, Build: func(rows storage.Rows) (string, error) {
		v, err := rows.Get("a")
		return string(v), err
	}}
	read := func(path string) (value string) {
		t.Helper()
		if err := s.View(ctx, func(tx *storage.Tx) error {
			v, err := tx.In(storage.System).Get(path)
			value = string(v)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return value
	}
	put(t, s, "a", "first")
	frozen := s.Freeze()
	var rows bytes.Buffer
	if err := errors.Join(storage.WriteRows(&rows, frozen), frozen.Close()); err != nil {
		t.Fatal(err)
	}
	staged["snapshot"] = rows.Bytes()
	put(t, s, "a", "second")
	put(t, s, "b", "second")
	if v, err := all.Latest(ctx, s); err != nil || v != "second" {
		t.Fatalf("derived %q, %v", v, err)
	}
	before := s.Index()
	index, err := s.Replace(ctx, "snapshot")
	if err != nil {
		t.Fatal(err)
	}
	if index != before+1 || s.Index() != index || s.LastChange(storage.Leases) != index {
		t.Errorf("replaced at %d; before %d, now %d, last change of leases %d", index, before, s.Index(), s.LastChange(storage.Leases))
	}
	if a, b := read("a"), read("b"); a != "first" || b != "" {
		t.Errorf("a is %q, b is %q", a, b)
	}
	if v, err := all.Latest(ctx, s); err != nil || v != "first" {
		t.Errorf("derived %q, %v", v, err)
	}
	put(t, s, "b", "third")
	if v := read("b"); v != "third" {
		t.Errorf("written afterwards, b is %q", v)
	}
}

// A transaction that began before the rows were replaced does not commit what
// it concluded from them: it runs again.
func TestReplaceUnderATransaction(t *testing.T) {
	b, _ := unlocked(t)
	var rows bytes.Buffer
	open := func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(rows.Bytes())), nil }
	s, err := storage.Open(storage.Options{State: kv.NewMemory(), Log: &memLog{}, Sealer: b, Staged: open})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put(t, s, "a", "first")
	frozen := s.Freeze()
	if err := errors.Join(storage.WriteRows(&rows, frozen), frozen.Close()); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", "second")
	runs := 0
	_, err = s.Update(ctx, func(tx *storage.Tx) error {
		v, err := tx.In(storage.System).Get("a")
		if err != nil {
			return err
		}
		if runs++; runs == 1 {
			if _, err := s.Replace(ctx, "snapshot"); err != nil {
				t.Error(err)
			}
		}
		tx.In(storage.System).Put("copy", v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.View(ctx, func(tx *storage.Tx) error {
		v, err := tx.In(storage.System).Get("copy")
		if string(v) != "first" {
			t.Errorf("after %d runs the copy is %q", runs, v)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func unlocked(t testing.TB) (*barrier.Barrier, []byte) {
	t.Helper()
	b := barrier.New()
	root, ring, err := b.Create()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Unlock(root, ring); err != nil {
		t.Fatal(err)
	}
	c, err := b.NewLeadership(ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Install(); err != nil {
		t.Fatal(err)
	}
	return b, c.Sealed
}
