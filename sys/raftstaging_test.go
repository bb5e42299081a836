package sys

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/archive"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
)

// A forged snapshot has right sums and counts, and the value of one row changed
// or moved to another's key.
type forged struct {
	storage.Snapshot
	change func(key, value []byte) []byte
}

func (s forged) Scan(from, to []byte, f func(key, value []byte) bool) error {
	return s.Snapshot.Scan(from, to, func(key, value []byte) bool { return f(key, s.change(key, value)) })
}

// Whoever can write to where snapshots are kept can make sums anew, but neither
// rows nor what the cluster sealed of the sums.
func TestForgedSnapshotsAreRefused(t *testing.T) {
	b := barrier.New()
	root, ring, err := b.Create()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Unlock(root, ring); err != nil {
		t.Fatal(err)
	}
	change, err := b.NewLeadership(ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := change.Install(); err != nil {
		t.Fatal(err)
	}
	store, err := storage.Open(storage.Options{State: kv.NewMemory(), Log: raft.NewMemory(), Sealer: b})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, err = store.Update(context.Background(), func(tx *storage.Tx) error {
		core := tx.In(storage.Core)
		core.Put(rowConfig, []byte("{}"))
		core.Put(rowRoot, []byte("wrapped"))
		core.Put(rowKeyring, change.Sealed)
		tx.In(storage.System).Put("a", []byte("one"))
		tx.In(storage.System).Put("b", []byte("two"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &System{Store: store, Barrier: b, Staging: t.TempDir(), Now: time.Now}
	genuine := func(_, value []byte) []byte { return value }
	var last []byte
	for name, c := range map[string]struct {
		change func(key, value []byte) []byte
		seal   func([]byte) ([]byte, error)
		is     error
	}{
		"genuine": {genuine, s.sealSums, nil},
		"a changed bit": {func(key, value []byte) []byte {
			if key[0] == 'v' {
				value = bytes.Clone(value)
				value[len(value)-1] ^= 1
			}
			return value
		}, s.sealSums, archive.ErrDamaged},
		"a row under another's key": {func(key, value []byte) []byte {
			if key[0] != 'v' {
				return value
			}
			if last == nil {
				last = bytes.Clone(value)
			}
			return last
		}, s.sealSums, archive.ErrDamaged},
		"sums that others sealed": {genuine, func(p []byte) ([]byte, error) { return p, nil }, archive.ErrDamaged},
		"sums of another time":    {genuine, func([]byte) ([]byte, error) { return s.sealSums([]byte("others")) }, archive.ErrDamaged},
	} {
		rows := store.Freeze()
		var file bytes.Buffer
		if err := archive.Write(&file, forged{rows, c.change}, archive.Meta{}, c.seal); err != nil {
			t.Fatal(err)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		st := &staging{system: s}
		st.unlock = func() (*barrier.Barrier, error) { return b.Peer(st.core[rowKeyring]) }
		if err := st.stage(&file); !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
		left, err := os.ReadDir(s.Staging)
		if err != nil {
			t.Fatal(err)
		}
		if (c.is == nil) != (len(left) == 1) {
			t.Errorf("%s: %d files are staged", name, len(left))
		}
		st.remove()
	}
}
