// Package audit writes one line of JSON for every request and every answer, in
// the shape that Vault's log readers know.
//
// It owns the devices (file, socket, syslog), the line's format and the
// scanner that replaces every string of a user's JSON by its HMAC. It
// promises:
//
//   - With a device enabled, Request and Response return nil only if at least
//     one device has handed the whole line to the operating system.
//   - No device hangs a caller: every entry gets its result within the device's
//     write timeout, and a device that is stuck refuses at once until it moves.
//     (One caller writes to a regular file for those beside it; if the kernel
//     holds that write, that one waits for the kernel.)
//   - A string of the data, a token or an accessor never stands in a line in
//     the clear, unless an option of the device or of the mount says so, and
//     never stands in an error at all.
//
// It is not a tamper-proof log: lines are in the operating system, not synced
// and not chained.
package audit

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says which side of a request a line records.
type Kind uint8

// A request is recorded before it runs, a response before it is sent.
const (
	KindRequest Kind = iota
	KindResponse
	// KindExchange is both, in this order and in one write: for a request that
	// changes nothing, so that nothing has happened before it is recorded.
	KindExchange
)

func (k Kind) String() string { return [...]string{"request", "response", "exchange"}[k] }

// lines are the kinds of line that an entry of this kind is written as.
func (k Kind) lines() []Kind {
	return [...][]Kind{{KindRequest}, {KindResponse}, {KindRequest, KindResponse}}[k]
}

var (
	// ErrClosed answers entries for a device or broker that was shut.
	ErrClosed = errors.New("audit is closed")
	// ErrStalled answers entries while an earlier write is still stuck.
	ErrStalled = errors.New("an earlier write has not finished in time")
	// ErrBacklog answers entries that would not fit in the device's buffer.
	ErrBacklog = errors.New("too many bytes are waiting to be written")
	// ErrPathInUse refuses a second device at a path.
	ErrPathInUse = errors.New("path already in use")
)

// UnknownDevice says that no device is enabled at a path. The text is Vault's.
type UnknownDevice string

func (p UnknownDevice) Error() string { return fmt.Sprintf("unknown audit backend %q", string(p)) }

// Unwritten says that devices are enabled and none of them took an entry, so
// the request must be refused. Failures name device and cause, never a secret.
type Unwritten struct {
	Kind     Kind
	Failures []error // one for each device
}

func (u *Unwritten) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no audit device could record the %s", u.Kind)
	for i, err := range u.Failures {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		b.WriteString(err.Error())
	}
	return b.String()
}

func (u *Unwritten) Unwrap() []error { return u.Failures }

// Canonical gives a device's path the trailing slash under which it is listed.
func Canonical(path string) string {
	return strings.Trim(path, "/") + "/"
}
