package raft

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/fastness-dev/fastness/storage"
)

// The WAL package takes a length of zero, or one that leads outside, for the
// end of its last file, and removes what lies behind. That is right for a write
// that was under way, and wrong for one that was synced and damaged later.
//
// What tells them apart: a commit index is only written after the entries up to
// it are durable. So if, behind the end, a state says that a later entry than
// the last readable one is committed, entries that were acknowledged are gone.
// Damage to entries that no later state speaks of is not found.

// Types of records, as the WAL package numbers them.
const (
	recordEntry = 2
	recordState = 3
	recordLast  = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkTail looks behind the end of the last file in dir.
func checkTail(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(names) == 0 {
		return err
	}
	name := slices.Max(names)
	var seq, last uint64
	if _, err := fmt.Sscanf(filepath.Base(name), "%016x-%016x.wal", &seq, &last); err != nil {
		return fmt.Errorf("name of log file %s: %w", filepath.Base(name), err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read log file: %w", err)
	}
	if last > 0 {
		last-- // the name says which entry comes first
	}
	end := 0
	for {
		r, size := record(b, end)
		if r == nil {
			break
		}
		if r.GetType() == recordEntry {
			var e raftpb.Entry
			if proto.Unmarshal(r.Data, &e) == nil {
				last = max(last, e.GetIndex())
			}
		}
		end += size
	}
	return behind(b, end, last, filepath.Base(name))
}

// behind looks for states that are linked, by their checksum, to the record
// before them, and commit more than the last entry.
func behind(b []byte, end int, last uint64, name string) error {
	for at := end + 8; at+8 <= len(b); at += 8 {
		prev, size := record(b, at)
		if prev == nil {
			continue
		}
		next, _ := record(b, at+size)
		if next == nil || next.GetType() != recordState || crc32.Update(prev.GetCrc(), castagnoli, next.Data) != next.GetCrc() {
			continue
		}
		var st raftpb.HardState
		if proto.Unmarshal(next.Data, &st) == nil && st.GetCommit() > last {
			return fmt.Errorf("%w: log file %s is damaged at byte %d: entries up to %d were committed, and only those up to %d can be read: restore this node from a backup or from its peers",
				storage.ErrCorrupt, name, end, st.GetCommit(), last)
		}
	}
	return nil
}

// record reads the record framed at an offset, and its size with frame and
// padding; nil when there is none.
func record(b []byte, at int) (*walpb.Record, int) {
	if at+8 > len(b) {
		return nil, 0
	}
	frame := binary.LittleEndian.Uint64(b[at:])
	length, pad := int(frame&(1<<56-1)), 0
	if frame>>63 == 1 {
		pad = int(frame >> 56 & 7)
	}
	if length < 2 || length > len(b)-at-8-pad {
		return nil, 0
	}
	r := &walpb.Record{}
	if proto.Unmarshal(b[at+8:at+8+length], r) != nil || r.GetType() < 1 || r.GetType() > recordLast {
		return nil, 0
	}
	return r, 8 + length + pad
}
