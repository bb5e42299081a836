package mfa

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Tries are the failures in a row of an entity with a method. While none is
// listened to, nothing is verified: a right code is told no different from a
// wrong one.
type tries struct {
	Failed int       `json:"failed"`
	Locks  int       `json:"locks"`          // times that it came to deaf, without a success
	Deaf   time.Time `json:"deaf,omitempty"` // until when nothing is listened to
	Ends   time.Time `json:"ends"`           // when it is all forgotten
}

// Each lock lasts twice as long as the last, up to longestLock. What failed is
// forgotten after memory.
const (
	longestLock = 15 * time.Minute
	memory      = time.Hour
)

func triesRow(entity, method string) string { return "tried/" + entity + "/" + method }

func triesOf(tx *storage.Tx, row string, now time.Time) (*tries, error) {
	t, err := storage.In[tries](tx.In(storage.Factors), "").Get(row)
	if err != nil {
		return nil, fmt.Errorf("read failed tries: %w", err)
	}
	if t == nil || !now.Before(t.Ends) {
		t = &tries{}
	}
	return t, nil
}

// listening refuses when there were too many failures.
func (t *tries) listening(m *Method, now time.Time) error {
	if !now.Before(t.Deaf) {
		return nil
	}
	left := t.Deaf.Sub(now)
	seconds := int64((left + time.Second - 1) / time.Second)
	return engine.Listed(http.StatusForbidden,
		"maximum TOTP validation attempts %d exceeded the allowed attempts %d. Please try again in %d seconds", t.Failed+1, m.attempts(), seconds)
}

// fail counts a failure.
func (t *tries) fail(tx *storage.Tx, row string, m *Method, now time.Time) {
	if t.Failed >= m.attempts() {
		t.Failed = 0 // its lock has passed
	}
	if t.Failed++; t.Failed >= m.attempts() {
		t.Deaf = now.Add(min(m.window()<<min(t.Locks, 10), longestLock))
		t.Locks++
	}
	scheduled := !t.Ends.IsZero()
	t.Ends = now.Add(memory)
	if t.Deaf.After(now) {
		t.Ends = t.Deaf.Add(memory)
	}
	put(tx, row, t)
	if !scheduled { // else the job finds out that it is early
		schedule.At(tx, t.Ends, schedule.Job{Kind: KindForget, ID: row})
	}
}

// clear forgets the failures: there was a success.
func (t *tries) clear(tx *storage.Tx, row string) {
	if t.Ends.IsZero() {
		return
	}
	tx.In(storage.Factors).DeleteUnlisted(row)
	schedule.Cancel(tx, KindForget, row)
}

// attempts is how many failures in a row make deaf.
func (m *Method) attempts() int {
	if m.TOTP != nil {
		return m.TOTP.MaxAttempts
	}
	return 5
}

// window is how long the first lock lasts: until all codes that could have been
// right are no longer.
func (m *Method) window() time.Duration {
	if t := m.TOTP; t != nil {
		return time.Duration(t.Period*(2*t.Skew+1)) * time.Second
	}
	return time.Minute
}

// put stores a row that no folder names.
func put(tx *storage.Tx, row string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		tx.Fail(fmt.Errorf("encode %T: %w", v, err))
		return
	}
	tx.In(storage.Factors).PutUnlisted(row, b)
}
