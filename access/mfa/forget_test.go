package mfa_test

import (
	"context"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/mfa"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// root is a world without namespaces.
type root struct{}

func (root) ID(*storage.Tx) (id, path string, err error) { return "root", "", nil }
func (root) Above(*storage.Tx) ([]*storage.Tx, error)    { return nil, nil }
func (root) Below(*storage.Tx) ([]*storage.Tx, error)    { return nil, nil }

// What waits is removed when its time is over, and not before, whoever asks for
// it meanwhile.
func TestWhatWaitsIsForgotten(t *testing.T) {
	ids := identity.New(identity.Options{Mount: func(*storage.Tx, string) (*identity.Mount, error) { return nil, nil }})
	m := enginetest.New(t, ids.Type(), nil)
	now := enginetest.Began
	s := mfa.New(mfa.Options{Identities: ids, Spaces: root{}, Now: func() time.Time { return now },
		NewID: func() string { return "waits-for-long" }})
	update := func(f func(tx *storage.Tx) error) {
		t.Helper()
		if _, err := m.Store.Update(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
	waits := func() (known, stored bool) {
		t.Helper()
		update(func(tx *storage.Tx) error {
			w, err := s.Waits(tx, "waits-for-long", now)
			if err != nil {
				return err
			}
			b, err := tx.In(storage.Factors).Get("waits/waits-for-long")
			known, stored = w != nil, b != nil
			return err
		})
		return known, stored
	}
	job := schedule.Job{Kind: mfa.KindForget, ID: "waits/waits-for-long"}
	due := func() (when time.Time) {
		update(func(tx *storage.Tx) (err error) {
			when, err = schedule.When(tx, job)
			return err
		})
		return when
	}
	run := func() {
		update(func(tx *storage.Tx) error {
			job.Cancel(tx)
			return s.Handlers()[mfa.KindForget](tx, job)
		})
	}

	update(func(tx *storage.Tx) error { s.Wait(tx, &mfa.Waiting{}, now); return nil })
	if at := due(); !at.Equal(now.Add(mfa.Patience)) {
		t.Errorf("is forgotten at %s", at)
	}
	now = now.Add(mfa.Patience - time.Second)
	run()
	if known, stored := waits(); !known || !stored || due().IsZero() {
		t.Errorf("before its time: known %t, stored %t, due %s", known, stored, due())
	}
	now = now.Add(time.Second)
	if known, stored := waits(); known || !stored {
		t.Errorf("at its time: known %t, stored %t", known, stored)
	}
	run()
	if known, stored := waits(); known || stored || !due().IsZero() {
		t.Errorf("after its time: known %t, stored %t, due %s", known, stored, due())
	}
}
