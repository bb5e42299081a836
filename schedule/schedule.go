// Package schedule is the due index: everything that happens later is a row in
// storage, ordered by time, and one runner works through it on the active node.
//
// It promises that a job is put off or called off in the transaction of
// whoever asks, so that what is stored and what is scheduled cannot differ;
// that a job and the removal of its row commit together; and that a job that
// fails is tried again, later and later, until it succeeds. A job may therefore
// run more than once, and finds out from storage whether there is work left.
//
// There is no timer and no memory per job: a million waiting jobs cost nothing
// at unseal or failover.
package schedule

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// A Job is something to do later. Kind, Mount and ID together name it: a job
// is scheduled at one time only.
type Job struct {
	// NS is the number of the namespace that the job belongs to and runs in.
	NS    uint32 `json:"n,omitempty"`
	Kind  string `json:"k"`           // which handler runs it
	Mount string `json:"m,omitempty"` // UUID of the mount it belongs to, if any
	ID    string `json:"i"`
	// Attempts counts how often it has failed since it was scheduled.
	Attempts int `json:"a,omitempty"`
}

// The rows:
//
//	Due   8 bytes of time in ms, big-endian | 8 random bytes -> Job
//	When  ns/kind/mount/id -> the key in Due
//
// Keys of Due lie open in storage, and the id of a job may be a name; hence
// the random bytes, which also keep jobs of one millisecond apart.
const (
	timeSize = 8
	keySize  = timeSize + 8
)

func (j Job) name() string {
	return strconv.FormatUint(uint64(j.NS), 36) + "/" + j.Kind + "/" + j.Mount + "/" + j.ID
}

// At schedules a job of the namespace that tx sees, or moves it when it is
// scheduled already. Its attempts start again from j.Attempts.
func At(tx *storage.Tx, when time.Time, j Job) {
	j.NS = tx.Namespace()
	if err := at(tx, when, j); err != nil {
		tx.Fail(fmt.Errorf("schedule %s: %w", j.Kind, err))
	}
}

// Add is At for a job of a thing that is new, so that it cannot be scheduled yet:
// it does not look.
func Add(tx *storage.Tx, when time.Time, j Job) {
	j.NS = tx.Namespace()
	if err := put(tx, when, j); err != nil {
		tx.Fail(fmt.Errorf("schedule %s: %w", j.Kind, err))
	}
}

// Cancel calls off a job that belongs to no mount. Calling off what is not
// scheduled does nothing.
func Cancel(tx *storage.Tx, kind, id string) { Job{Kind: kind, ID: id}.Cancel(tx) }

// Cancel calls off the job.
func (j Job) Cancel(tx *storage.Tx) {
	j.NS = tx.Namespace()
	if err := j.remove(tx); err != nil {
		tx.Fail(fmt.Errorf("cancel %s: %w", j.Kind, err))
	}
}

// When tells the time a job is scheduled at; it is zero when it is not.
func When(tx *storage.Tx, j Job) (time.Time, error) {
	j.NS = tx.Namespace()
	key, err := tx.In(storage.When).Get(j.name())
	if err != nil || key == nil {
		return time.Time{}, err
	}
	return timeOf(string(key)), nil
}

func at(tx *storage.Tx, when time.Time, j Job) error {
	if err := j.remove(tx); err != nil {
		return err
	}
	return put(tx, when, j)
}

func put(tx *storage.Tx, when time.Time, j Job) error {
	key := make([]byte, keySize)
	binary.BigEndian.PutUint64(key, uint64(max(when.UnixMilli(), 0)))
	if _, err := rand.Read(key[timeSize:]); err != nil {
		return fmt.Errorf("draw key: %w", err)
	}
	storage.In[Job](tx.In(storage.Due), "").Put(string(key), &j)
	tx.In(storage.When).Put(j.name(), key)
	return nil
}

func (j Job) remove(tx *storage.Tx) error {
	key, err := tx.In(storage.When).Get(j.name())
	if err != nil || key == nil {
		return err
	}
	tx.In(storage.Due).Delete(string(key))
	tx.In(storage.When).Delete(j.name())
	return nil
}

// timeOf is the time in a key of Due. Keys round down to the millisecond, so a
// job may run up to a millisecond early.
func timeOf(key string) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64([]byte(key[:timeSize])))).UTC()
}
