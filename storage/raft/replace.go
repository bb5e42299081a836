package raft

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
)

// A journal is replaced as a whole when the rows are: by those of another node,
// or by none when a node joins a log that others hold.
//
//	DIR/wal.next   complete before the rows are replaced
//	DIR/wal        removed, and wal.next renamed to it, once they are
//
// The state machine's applied index decides: having reached the mark that
// wal.next begins after, it has left the old journal behind. Before that,
// wal.next is left over from a try that did not come to its end.

func (p journalPlace) next() string { return filepath.Join(p.dir, "wal.next") }

// Prepare makes wal.next.
func (j *etcdJournal) Prepare(mark *walpb.Snapshot, hard *raftpb.HardState) error {
	p := j.place
	if err := os.RemoveAll(p.next()); err != nil {
		return fmt.Errorf("remove an unused log: %w", err)
	}
	w, err := p.begin(p.next(), j.id, mark, hard)
	if err == nil {
		err = guard(w.Close)
	}
	if err != nil {
		return fmt.Errorf("prepare another log: %w", err)
	}
	return describe(syncDir(p.dir))
}

// adopt makes wal.next for the log of others.
func (p journalPlace) adopt(id identity) error {
	if err := os.RemoveAll(p.next()); err != nil {
		return fmt.Errorf("remove an unused log: %w", err)
	}
	w, err := p.begin(p.next(), id, nil, &raftpb.HardState{})
	if err == nil {
		err = guard(w.Close)
	}
	if err != nil {
		return fmt.Errorf("prepare the log of others: %w", err)
	}
	return describe(syncDir(p.dir))
}

// promote puts wal.next in its place, or removes it.
func (p journalPlace) promote() error {
	if _, err := os.Stat(p.next()); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for another log: %w", err)
	}
	due, err := p.due()
	if err != nil {
		return err
	}
	if !due {
		return os.RemoveAll(p.next())
	}
	// The note is of the old log, and must not speak for the new one.
	if err := os.Remove(filepath.Join(p.dir, noteName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the note of the log before: %w", err)
	}
	if err := syncDir(p.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(p.files()); err != nil {
		return fmt.Errorf("remove the log before: %w", err)
	}
	if err := os.Rename(p.next(), p.files()); err != nil {
		return fmt.Errorf("take up another log: %w", err)
	}
	return syncDir(p.dir)
}

// due says whether wal.next is complete and the rows are those it continues.
func (p journalPlace) due() (bool, error) {
	next, err := readSegments(p.next(), nil)
	if err != nil || next.identity == nil {
		return false, nil //nolint:nilerr // it was not completed
	}
	for _, m := range next.marks {
		if m.GetIndex() > 0 {
			return p.applied >= m.GetIndex(), nil
		}
	}
	// The log of others, for a node that has nothing. The one there may be gone
	// already, or damaged by the removal; if it is of others too, this was to be
	// its successor.
	now, err := readSegments(p.files(), nil)
	return joined(next.identity) && p.applied == 0 && (err != nil || !joined(now.identity)), nil
}

func joined(b []byte) bool {
	var id identity
	return json.NewDecoder(bytes.NewReader(b)).Decode(&id) == nil && id.Joined
}
