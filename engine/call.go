package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// A Scheduler puts jobs of a mount in the due index.
type Scheduler interface {
	At(tx *storage.Tx, mount string, when time.Time, job, id string)
	Cancel(tx *storage.Tx, mount, job, id string)
}

// A Call is one request to one mount, in one transaction. The server makes it;
// engines see it as a View or a Tx.
type Call struct {
	Rows      storage.Rows // of the mount
	Whole     *storage.Tx  // nil in an Outside route
	Ctx       context.Context
	By        *Caller
	At_       *Mount
	Time      time.Time
	Body      json.RawMessage // validated; nil when there is none
	Query     url.Values
	Upload    Upload // the body, in a route that reads it itself
	Scheduler Scheduler
	Passwords Passwords
	Warnings  []string
	Data      any // what the system's own engines are handed by the server
	Verified  any // what Match.Verify's function came to, for the route's own function

	captures captures
}

var _ Tx = (*Call)(nil)

// Get reads a value of the mount.
func (c *Call) Get(path string) ([]byte, error) { return c.Rows.Get(path) }

// Children lists names of the mount one level below path.
func (c *Call) Children(path, after string) iter.Seq2[string, error] {
	return c.Rows.Children(path, after)
}

// Index is the index of the log that is read.
func (c *Call) Index() uint64 { return c.Rows.Index() }

// Put sets a value of the mount.
func (c *Call) Put(path string, value []byte) { c.Rows.Put(path, value) }

// Delete removes a value of the mount.
func (c *Call) Delete(path string) { c.Rows.Delete(path) }

// DeletePrefix removes all values below a folder of the mount.
func (c *Call) DeletePrefix(prefix string) { c.Rows.DeletePrefix(prefix) }

// PutUnlisted sets a value of the mount that no folder names.
func (c *Call) PutUnlisted(path string, value []byte) { c.Rows.PutUnlisted(path, value) }

// DeleteUnlisted removes what PutUnlisted set.
func (c *Call) DeleteUnlisted(path string) { c.Rows.DeleteUnlisted(path) }

// Context is the request's.
func (c *Call) Context() context.Context { return c.Ctx }

// Caller says who asks.
func (c *Call) Caller() *Caller { return c.By }

// Mount is the mount that is served.
func (c *Call) Mount() *Mount { return c.At_ }

// Now is the time of the request.
func (c *Call) Now() time.Time { return c.Time }

// Warn adds a warning to the answer.
func (c *Call) Warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// Password draws a password by a policy.
func (c *Call) Password(policy string) (string, error) {
	if c.Passwords == nil {
		return "", errors.New("no passwords are drawn here")
	}
	return c.Passwords.Password(c.Whole, policy)
}

// At schedules a job of the mount.
func (c *Call) At(when time.Time, job, id string) {
	c.Scheduler.At(c.Whole, c.At_.UUID, when, job, id)
}

// Cancel takes At back.
func (c *Call) Cancel(job, id string) { c.Scheduler.Cancel(c.Whole, c.At_.UUID, job, id) }

// A reader is a Call that cannot write: not a Tx in disguise.
type reader struct{ c *Call }

var _ View = reader{}

func (r reader) Get(path string) ([]byte, error) { return r.c.Get(path) }
func (r reader) Children(path, after string) iter.Seq2[string, error] {
	return r.c.Children(path, after)
}
func (r reader) Index() uint64                          { return r.c.Index() }
func (r reader) Context() context.Context               { return r.c.Ctx }
func (r reader) Caller() *Caller                        { return r.c.By }
func (r reader) Mount() *Mount                          { return r.c.At_ }
func (r reader) Now() time.Time                         { return r.c.Time }
func (r reader) Warn(format string, a ...any)           { r.c.Warn(format, a...) }
func (r reader) Password(policy string) (string, error) { return r.c.Password(policy) }

// CallOf gives the system's own engines the whole call behind a view: the
// transaction over all ranges and what the server handed over. Engines under
// secrets/ and auth/ must not use it (arch_test.go sees to that).
func CallOf(v View) *Call {
	switch v := v.(type) {
	case *Call:
		return v
	case reader:
		return v.c
	}
	panic(fmt.Sprintf("engine: a view of a foreign type %T", v))
}

// Table is a typed key range of a mount, below prefix. V is View or Tx; only
// with a Tx can it be written.
func Table[T any](v View, prefix string) storage.Table[T] {
	return storage.In[T](CallOf(v).Rows, prefix)
}
