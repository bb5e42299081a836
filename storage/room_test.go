package storage_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/kv"
)

// A fullState says that there is little space.
type fullState struct {
	storage.State
	full atomic.Bool
}

func (s *fullState) Full() bool { return s.full.Load() }

// With little space left, what adds is refused before it reaches the log; reads,
// deletions and the keyring go on.
func TestLittleSpaceRefusesWhatAdds(t *testing.T) {
	state := &fullState{State: kv.NewMemory()}
	s, log := openOn(t, state)
	write := func(f func(*storage.Tx)) error {
		_, err := s.Update(ctx, func(tx *storage.Tx) error { f(tx); return nil })
		return err
	}
	add := func(tx *storage.Tx) { tx.In(storage.System).Put("a/b", []byte("1")) }
	if err := write(add); err != nil {
		t.Fatal(err)
	}
	state.full.Store(true)
	proposed := log.entries.Load()
	if err := write(func(tx *storage.Tx) { tx.In(storage.System).Put("c", []byte("1")) }); !errors.Is(err, storage.ErrFull) {
		t.Errorf("a new row: %v", err)
	}
	if n := log.entries.Load(); n != proposed {
		t.Errorf("what was refused reached the log: %d entries", n-proposed)
	}
	if err := s.View(ctx, func(tx *storage.Tx) error { _, err := tx.In(storage.System).Get("a/b"); return err }); err != nil {
		t.Errorf("a read: %v", err)
	}
	if err := write(func(tx *storage.Tx) { tx.In(storage.Core).Put("keyring", []byte("1")) }); err != nil {
		t.Errorf("the keyring: %v", err)
	}
	if err := write(func(tx *storage.Tx) { tx.In(storage.System).Delete("a/b") }); err != nil {
		t.Errorf("a delete: %v", err)
	}
	state.full.Store(false)
	if err := write(add); err != nil {
		t.Errorf("with space again: %v", err)
	}
}
