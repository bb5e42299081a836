package raft

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"github.com/fastness-dev/fastness/storage"
)

// A journal keeps entries on disk: what the driver needs of a write-ahead log,
// so that another implementation can take its place.
type journal interface {
	// Save makes entries and the hard state durable.
	Save(st *raftpb.HardState, entries []*raftpb.Entry) error
	// Cut notes that all up to a mark is durable in the state machine, and
	// removes whole files that only hold older entries.
	Cut(mark *walpb.Snapshot) error
	Close() error
}

// etcdJournal is etcd's WAL package.
type etcdJournal struct {
	*wal.WAL
	dir string
}

// recovered is what a journal held when it was opened.
type recovered struct {
	mark    *walpb.Snapshot // entries begin after it
	hard    *raftpb.HardState
	entries []*raftpb.Entry
}

// The log of a new cluster begins after a mark that names its one voter.
const firstIndex, firstTerm = 1, 1

// openJournal opens or creates the journal in dir. applied is the index that
// the state machine has.
func openJournal(dir string, self, applied uint64) (journal, *recovered, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, nil, fmt.Errorf("make log directory: %w", err)
	}
	if !wal.Exist(dir) {
		if applied > 0 {
			return nil, nil, fmt.Errorf("%w: the log is missing, but the state has applied entry %d: restore %s from the same backup as the state", storage.ErrCorrupt, applied, filepath.Base(dir))
		}
		return createJournal(dir, self)
	}
	if err := checkTail(dir); err != nil {
		return nil, nil, err
	}
	j, r, err := readJournal(dir, applied)
	if errors.Is(err, io.ErrUnexpectedEOF) && wal.Repair(zap.NewNop(), dir) {
		// The last record was being written when the node stopped. Nobody was
		// told that it is durable: it is cut off.
		j, r, err = readJournal(dir, applied)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: read the log: %w: restore this node from a backup or from its peers", storage.ErrCorrupt, err)
	}
	return j, r, nil
}

func createJournal(dir string, self uint64) (journal, *recovered, error) {
	w, err := wal.Create(zap.NewNop(), dir, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("create log: %w", err)
	}
	mark := &walpb.Snapshot{Index: new(uint64(firstIndex)), Term: new(uint64(firstTerm)), ConfState: &raftpb.ConfState{Voters: []uint64{self}}}
	hard := &raftpb.HardState{Term: new(uint64(firstTerm)), Commit: new(uint64(firstIndex))}
	err = w.SaveSnapshot(mark)
	if err == nil {
		err = w.Save(hard, nil)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("create log: %w", err), w.Close())
	}
	return &etcdJournal{w, dir}, &recovered{mark: mark, hard: hard}, nil
}

func readJournal(dir string, applied uint64) (journal, *recovered, error) {
	marks, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		return nil, nil, err
	}
	var mark *walpb.Snapshot
	for _, m := range marks {
		if m.GetIndex() >= firstIndex && m.GetIndex() <= max(applied, firstIndex) {
			mark = m
		}
	}
	if mark == nil {
		return nil, nil, fmt.Errorf("the state has applied entry %d, and the log begins later", applied)
	}
	w, err := wal.Open(zap.NewNop(), dir, mark)
	if err != nil {
		return nil, nil, err
	}
	_, hard, entries, err := w.ReadAll()
	if err != nil {
		return nil, nil, errors.Join(err, w.Close())
	}
	last := mark.GetIndex()
	if n := len(entries); n > 0 {
		last = entries[n-1].GetIndex()
	}
	if applied > last {
		return nil, nil, errors.Join(fmt.Errorf("the state has applied entry %d, and the log ends at %d", applied, last), w.Close())
	}
	if hard == nil {
		hard = &raftpb.HardState{}
	}
	// The commit index is not synced with each change of it; the state machine
	// only ever applied what was committed.
	hard.Commit = new(max(hard.GetCommit(), applied, mark.GetIndex()))
	hard.Term = new(max(hard.GetTerm(), mark.GetTerm()))
	return &etcdJournal{w, dir}, &recovered{mark: mark, hard: hard, entries: entries}, nil
}

// Cut notes a mark and removes files that end before it.
func (j *etcdJournal) Cut(mark *walpb.Snapshot) error {
	if err := j.SaveSnapshot(mark); err != nil {
		return fmt.Errorf("note mark in the log: %w", err)
	}
	if err := j.ReleaseLockTo(mark.GetIndex()); err != nil {
		return fmt.Errorf("release log files: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(j.dir, "*.wal"))
	if err != nil {
		return err
	}
	slices.Sort(names)
	for i := 0; i+1 < len(names); i++ {
		var seq, next uint64
		n, _ := fmt.Sscanf(filepath.Base(names[i+1]), "%016x-%016x.wal", &seq, &next) // another name ends the search
		if n != 2 || next > mark.GetIndex() {
			break
		}
		if err := os.Remove(names[i]); err != nil {
			return fmt.Errorf("remove old log file: %w", err)
		}
	}
	return nil
}
