package mfa

import (
	"fmt"
	"net/http"
	"time"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Patience is how long a login waits for its second factor.
const Patience = 5 * time.Minute

// A Waiting is a login whose first factor was proved. It is known by its id in
// the namespace that it is in, and ends when it becomes a token.
type Waiting struct {
	ID       string       `json:"id"`
	Ends     time.Time    `json:"ends"`
	EntityID string       `json:"entity_id"`
	Accessor string       `json:"accessor"`
	Type     string       `json:"type"`  // of the auth method
	Mount    string       `json:"mount"` // UUID of the auth method
	Path     string       `json:"path"`  // of the login
	Address  string       `json:"address"`
	Grant    engine.Grant `json:"grant"`
	// WrapTTL is how long the answer was to be wrapped for; 0 is not.
	WrapTTL time.Duration `json:"wrap_ttl,omitempty"`
	// Enrolling are secrets that become the entity's when a code of theirs is
	// taken, by method.
	Enrolling map[string]*Secret `json:"enrolling,omitempty"`
}

func (w *Waiting) subject() Subject {
	return Subject{Accessor: w.Accessor, Type: w.Type, EntityID: w.EntityID, Address: w.Address}
}

// Subject is who logs in.
func (w *Waiting) Subject() Subject { return w.subject() }

func waitsRow(id string) string { return "waits/" + id }

func (w *Waiting) put(tx *storage.Tx) { put(tx, waitsRow(w.ID), w) }

// Wait keeps a login until its second factor comes, under an id that it draws.
func (s *Store) Wait(tx *storage.Tx, w *Waiting, now time.Time) {
	w.ID, w.Ends = s.o.NewID(), now.Add(Patience)
	w.put(tx)
	schedule.At(tx, w.Ends, schedule.Job{Kind: KindForget, ID: waitsRow(w.ID)})
}

// Waits gives the login that waits under an id, or nil.
func (s *Store) Waits(tx *storage.Tx, id string, now time.Time) (*Waiting, error) {
	w, err := storage.In[Waiting](tx.In(storage.Factors), "").Get(waitsRow(id))
	if err != nil {
		return nil, fmt.Errorf("read a login that waits: %w", err)
	}
	if w == nil || !now.Before(w.Ends) {
		return nil, nil
	}
	return w, nil
}

// Waited ends the waiting of a login.
func (s *Store) Waited(tx *storage.Tx, w *Waiting) {
	tx.In(storage.Factors).DeleteUnlisted(waitsRow(w.ID))
	schedule.Cancel(tx, KindForget, waitsRow(w.ID))
}

// errRequest is told about a login that does not wait, or not here.
func errRequest() error { return engine.Listed(http.StatusForbidden, "invalid request ID") }

// NoSuchRequest is the refusal of an id under which no login waits.
func NoSuchRequest() error { return errRequest() }

// Requirement is what a login that waits is told to prove.
func (s *Store) Requirement(tx *storage.Tx, w *Waiting, rules Rules) (*api.MFARequirement, error) {
	r := &api.MFARequirement{RequestID: w.ID, Constraints: map[string]api.MFAConstraint{}}
	for _, one := range rules {
		c := api.MFAConstraint{Any: []api.MFAMethod{}}
		for _, m := range one.methods {
			told := api.MFAMethod{Type: m.Type, ID: m.ID, UsesPasscode: m.usesPasscode(), Name: m.Name}
			if m.TOTP != nil && m.TOTP.SelfEnrol {
				k, err := secrets(tx, w.EntityID).Get(m.ID)
				if err != nil {
					return nil, err
				}
				told.SelfEnrol = k == nil
			}
			c.Any = append(c.Any, told)
		}
		r.Constraints[one.name] = c
	}
	return r, nil
}
