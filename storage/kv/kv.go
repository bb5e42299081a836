// Package kv keeps the rows that the log produced: an ordered map of bytes, on
// disk ([Open]) or in memory ([NewMemory]). Both are a [storage.State].
//
// It promises:
//
//   - An entry's rows and the applied index change together or not at all, and
//     a restart finds a prefix of the log: never a later entry without an
//     earlier one.
//   - A snapshot never changes, whatever is applied after it.
//   - A full or broken disk is a state, not a crash: writes are refused with
//     [storage.ErrFull] while reads go on, and bytes that are not those that
//     were written are reported as [storage.ErrCorrupt].
//   - Files are readable by their owner only, whatever the umask.
//
// Rows on disk are not synced one by one: the log is. What a crash loses here
// is a suffix, and the log replays it from [storage.State.Applied].
//
// An empty end of a Scan means the end of the rows; a range delete whose end is
// not behind its start deletes nothing.
package kv

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fastness-dev/fastness/storage"
)

// reserved is the first byte of the rows that belong to the State itself.
const reserved = 0xff

// errReserved says that an entry names a row which belongs to the State.
var errReserved = errors.New("key is reserved")

// limit is the end of every scan and range delete: the rows behind it are ours.
var limit = []byte{reserved}

// checkOps refuses what must never reach the rows, before any of it does.
func checkOps(ops []storage.Op) error {
	for i, op := range ops {
		if len(op.Key) == 0 {
			return fmt.Errorf("op %d: empty key", i)
		}
		if op.Key[0] == reserved {
			return fmt.Errorf("op %d: %w", i, errReserved)
		}
		switch op.Kind {
		case storage.OpPut, storage.OpDelete, storage.OpDeleteRange:
		default:
			return fmt.Errorf("op %d: unknown kind %d", i, op.Kind)
		}
	}
	return nil
}

// bound is the end of a range, cut before the State's own rows.
func bound(to []byte) []byte {
	if len(to) == 0 || bytes.Compare(to, limit) > 0 {
		return limit
	}
	return to
}

// span is the range of an OpDeleteRange; ok is false when it is empty.
func span(op storage.Op) (from, to []byte, ok bool) {
	to = op.Value
	if bytes.Compare(to, limit) > 0 {
		to = limit
	}
	return op.Key, to, bytes.Compare(op.Key, to) < 0
}

// own copies a value; it is never nil, since nil means that the row is absent.
func own(value []byte) []byte {
	return append(make([]byte, 0, len(value)), value...)
}
