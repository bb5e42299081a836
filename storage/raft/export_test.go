package raft

import (
	"log/slog"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
)

// Watch has f called before and after each save of entries, and after each cut.
// An error of f is the save's.
func (o *Options) Watch(f func(done bool) error) {
	o.wrap = func(j journal) journal { return watched{j, f} }
}

type watched struct {
	journal
	f func(done bool) error
}

func (w watched) Save(st *raftpb.HardState, entries []*raftpb.Entry) error {
	if len(entries) == 0 {
		return w.journal.Save(st, entries)
	}
	if err := w.f(false); err != nil {
		return describe(err)
	}
	if err := w.journal.Save(st, entries); err != nil {
		return err
	}
	return describe(w.f(true))
}

func (w watched) Cut(mark *walpb.Snapshot) error {
	if err := w.journal.Cut(mark); err != nil {
		return err
	}
	return describe(w.f(true))
}

// Check reads a log's files as a start does, and gives the last entry's index.
func Check(dir string) (last uint64, torn bool, err error) {
	file, n, err := openNote(dir)
	if err != nil {
		return 0, false, err
	}
	if file != nil {
		defer file.f.Close()
	}
	r, err := readSegments(journalPlace{dir: dir}.files(), n)
	if err != nil {
		return 0, false, err
	}
	return r.last, r.torn, nil
}

// NoteName is the file that says what was acknowledged.
const NoteName = noteName

// Fatal has the WAL package's logger end the process, guarded.
func Fatal(to *slog.Logger) error {
	return guard(func() error {
		walLogger(to).Fatal("the end")
		return nil
	})
}

// Torn says whether what begins at an offset has the shape of a save that was
// cut short.
var Torn = torn
