package storage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// A write that the log refuses leaves nothing behind: those that come after it
// and read the same range as a whole go through.
func TestARefusedWriteDoesNotHoldUpOthers(t *testing.T) {
	s, log := open(t)
	d := storage.Derived[int]{Range: storage.Policies, Build: func(storage.Rows) (int, error) { return 1, nil }}
	write := func(ctx context.Context) error {
		_, err := s.Update(ctx, func(tx *storage.Tx) error {
			if _, err := d.Get(tx); err != nil {
				return err
			}
			tx.In(storage.Policies).Put("acl/p", []byte("1"))
			return nil
		})
		return err
	}
	if err := write(ctx); err != nil {
		t.Fatal(err)
	}
	log.refuse.Store(true)
	if err := write(ctx); !errors.Is(err, storage.ErrFull) {
		t.Fatalf("got %v", err)
	}
	log.refuse.Store(false)
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := write(bounded); err != nil {
		t.Fatalf("after a refused write: %v", err)
	}
}

// A refused write does not hide an earlier one from a transaction that began
// before both.
func TestARefusedWriteHidesNoConflict(t *testing.T) {
	s, log := open(t)
	put(t, s, "k", "0")
	runs := 0
	_, err := s.Update(ctx, func(tx *storage.Tx) error {
		rows := tx.In(storage.System)
		old, err := rows.Get("k")
		if err != nil {
			return err
		}
		if runs++; runs == 1 {
			put(t, s, "k", "1") // the write that matters
			log.refuse.Store(true)
			_, err := s.Update(ctx, func(tx *storage.Tx) error { tx.In(storage.System).Put("k", []byte("x")); return nil })
			if !errors.Is(err, storage.ErrFull) {
				t.Fatalf("got %v", err)
			}
			log.refuse.Store(false)
		}
		rows.Put("k", append([]byte("after "), old...))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.View(ctx, func(tx *storage.Tx) error {
		b, err := tx.In(storage.System).Get("k")
		if string(b) != "after 1" {
			t.Errorf("k is %q: a write between was lost", b)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// A write whose entry found no space ends with an outcome that is not known:
// the entry may come once there is space, and then it is seen.
func TestAnEntryWithoutSpaceMayComeLater(t *testing.T) {
	s, log := open(t)
	put(t, s, "k", "1")
	log.hold.Store(true)
	_, err := s.Update(ctx, func(tx *storage.Tx) error { tx.In(storage.System).Put("k", []byte("2")); return nil })
	if !errors.Is(err, storage.ErrUnknownOutcome) {
		t.Fatalf("got %v", err)
	}
	log.hold.Store(false)
	if _, err := log.Propose(ctx, 1, log.held[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.View(ctx, func(tx *storage.Tx) error {
		b, err := tx.In(storage.System).Get("k")
		if string(b) != "2" {
			t.Errorf("k is %q", b)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "3")
}

// A transaction that was checked in one leadership is not proposed in the next:
// what others wrote in between is not in its check.
func TestACheckIsGoodForOneLeadership(t *testing.T) {
	s, log := open(t)
	put(t, s, "k", "0")
	runs := 0
	_, err := s.Update(ctx, func(tx *storage.Tx) error {
		rows := tx.In(storage.System)
		old, err := rows.Get("k")
		if err != nil {
			return err
		}
		if runs++; runs == 1 {
			log.term.Store(2)
		}
		rows.Put("k", append(old, '1'))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	log.term.Store(0)
	if _, err := s.Update(ctx, func(*storage.Tx) error { t.Error("it ran"); return nil }); !errors.Is(err, storage.ErrNotLeader) {
		t.Errorf("without leading: %v", err)
	}
}

// All rows may be replaced by those of another node: nothing of before is seen
// again, and a transaction that began before runs again.
func TestAllRowsAreReplaced(t *testing.T) {
	s, log := open(t)
	put(t, s, "k", "before")
	runs := 0
	_, err := s.Update(ctx, func(tx *storage.Tx) error {
		rows := tx.In(storage.System)
		got, err := rows.Get("k")
		if err != nil {
			return err
		}
		if runs++; runs == 1 {
			if err := log.machine.Replace(log.index+10, func() error { log.index += 10; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		rows.Put("k", append(got, '!'))
		return nil
	})
	if err != nil || runs != 2 {
		t.Errorf("%d runs, %v", runs, err)
	}
	if s.Index() != log.index {
		t.Errorf("at %d of %d", s.Index(), log.index)
	}
}
