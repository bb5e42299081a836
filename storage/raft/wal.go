package raft

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	etcdraft "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"github.com/fastness-dev/fastness/storage"
)

// A journal keeps entries on disk: what the driver needs of a write-ahead log,
// so that another implementation can take its place. An error that wraps
// [storage.ErrFull] says that it must be opened again once there is space.
type journal interface {
	// Save makes entries and the hard state durable.
	Save(st *raftpb.HardState, entries []*raftpb.Entry) error
	// Cut notes that all up to a mark is durable in the state machine, and
	// removes whole files that only hold older entries.
	Cut(mark *walpb.Snapshot) error
	// Prepare lays a journal aside that begins after a mark. It takes the place
	// of this one by [journalPlace.open], once the state machine has reached the
	// mark.
	Prepare(mark *walpb.Snapshot, hard *raftpb.HardState) error
	Close() error
}

// etcdJournal is etcd's WAL package, and the note of what it made durable.
//
//	DIR/LOCK          taken while a process uses DIR
//	DIR/acknowledged  the note
//	DIR/wal/*.wal     etcd's files
type etcdJournal struct {
	wal   *wal.WAL
	place journalPlace
	id    identity
	dir   string // of the files
	file  *noteFile
	note  note
}

// recovered is what a journal held when it was opened.
type recovered struct {
	identity identity
	mark     *walpb.Snapshot // entries begin after it
	hard     *raftpb.HardState
	entries  []*raftpb.Entry
}

// The log of a new cluster begins after a mark that names its one voter.
const firstIndex, firstTerm = 1, 1

// A journalPlace says which journal is opened, and by whom.
type journalPlace struct {
	dir     string
	node    string // its configured name; "" takes any
	applied uint64 // the index that the state machine has
	// again says that this process had the journal open and could not write: what
	// the disk holds of what can be read is not known then.
	again  bool
	logger *slog.Logger
}

func (p journalPlace) files() string    { return filepath.Join(p.dir, "wal") }
func (p journalPlace) zap() *zap.Logger { return walLogger(p.logger) }

// open opens or creates the journal.
func (p journalPlace) open() (journal, *recovered, error) {
	if err := p.promote(); err != nil {
		return nil, nil, describe(err)
	}
	file, n, err := openNote(p.dir)
	if err != nil {
		return nil, nil, describe(err)
	}
	j, r, err := p.openWith(file, n)
	if err != nil {
		if file != nil {
			err = errors.Join(err, file.f.Close())
		}
		return nil, nil, describe(err)
	}
	return j, r, nil
}

func (p journalPlace) openWith(file *noteFile, n *note) (journal, *recovered, error) {
	begun := file != nil || p.applied > 0
	names, err := segments(p.files())
	if err != nil {
		return nil, nil, err
	}
	if len(names) == 0 {
		if begun {
			return nil, nil, fmt.Errorf("%w: the log in %s is missing, but the state has applied entry %d: restore both from the same backup", storage.ErrCorrupt, p.dir, p.applied)
		}
		return p.create()
	}
	if file != nil && n == nil {
		p.logger.Warn("the note of what the log acknowledged cannot be read; what was lost at the log's end is found by its shape alone", "dir", p.dir)
	}
	r, err := readSegments(p.files(), n)
	if err != nil {
		return nil, nil, err
	}
	if !begun && r.last <= firstIndex && !joined(r.identity) {
		// Making the log did not come to its end: nothing was ever in it.
		if err := os.RemoveAll(p.files()); err != nil {
			return nil, nil, fmt.Errorf("remove a log that was never used: %w", err)
		}
		return p.create()
	}
	id, err := parseIdentity(r.identity, p.dir, p.node)
	if err != nil {
		return nil, nil, err
	}
	if err := p.mend(r); err != nil {
		return nil, nil, fmt.Errorf("cut an unfinished save off the log: %w", err)
	}
	return p.use(r, id, file)
}

// mend cuts off a save that was not finished, and makes durable what was read:
// a process that was killed may have left it in the page cache alone. After a
// failed write it writes the content again, since a sync that failed may have
// left it marked as written.
func (p journalPlace) mend(r *reading) (err error) {
	f, err := os.OpenFile(r.file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if p.again {
		b := make([]byte, r.end)
		if _, err := f.ReadAt(b, 0); err != nil {
			return err
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			return err
		}
	}
	if r.torn {
		p.logger.Warn("the last save to the log was not finished and was never acknowledged; it is cut off", "file", r.file, "byte", r.end)
		if err := f.Truncate(int64(r.end)); err != nil {
			return err
		}
		// The WAL package lays aside as much as the file had.
		if err := f.Truncate(int64(r.size &^ (frameSize - 1))); err != nil {
			return err
		}
	}
	return f.Sync()
}

func (p journalPlace) create() (journal, *recovered, error) {
	id, err := newIdentity(p.node)
	if err != nil {
		return nil, nil, err
	}
	mark := &walpb.Snapshot{Index: new(uint64(firstIndex)), Term: new(uint64(firstTerm)), ConfState: &raftpb.ConfState{Voters: []uint64{id.ID}}}
	hard := &raftpb.HardState{Term: new(uint64(firstTerm)), Commit: new(uint64(firstIndex))}
	j := &etcdJournal{place: p, id: id, dir: p.files()}
	if j.wal, err = p.begin(p.files(), id, mark, hard); err == nil {
		j.note = note{index: firstIndex, term: firstTerm, hardTerm: firstTerm}
		j.file, err = createNote(p.dir, j.note)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("create log: %w", err), j.Close())
	}
	return j, &recovered{identity: id, mark: mark, hard: hard}, nil
}

// begin makes files that begin after a mark; nil is before the first entry.
func (p journalPlace) begin(dir string, id identity, mark *walpb.Snapshot, hard *raftpb.HardState) (w *wal.WAL, err error) {
	head, err := id.encode()
	if err != nil {
		return nil, err
	}
	err = guard(func() (err error) {
		if w, err = wal.Create(p.zap(), dir, head); err != nil {
			return err
		}
		if mark != nil {
			if err := w.SaveSnapshot(mark); err != nil {
				return err
			}
		}
		return w.Save(hard, nil)
	})
	return w, err
}

// use opens the WAL at the last mark that the state machine has reached.
func (p journalPlace) use(r *reading, id identity, file *noteFile) (journal, *recovered, error) {
	var mark *walpb.Snapshot
	for _, m := range r.marks {
		if m.GetIndex() >= firstIndex && m.GetIndex() <= max(p.applied, firstIndex) {
			mark = m
		}
	}
	if mark == nil && id.Joined && p.applied == 0 {
		mark = &walpb.Snapshot{Index: new(uint64(0)), Term: new(uint64(0)), ConfState: &raftpb.ConfState{}}
	}
	if mark == nil {
		return nil, nil, fmt.Errorf("%w: the state has applied entry %d, and the log begins later: %s", storage.ErrCorrupt, p.applied, advice)
	}
	if p.applied > r.last {
		return nil, nil, damaged(r.file, r.end, "the state has applied entry %d, and the log ends at %d", p.applied, r.last)
	}
	j := &etcdJournal{place: p, id: id, dir: p.files(), file: file}
	hard, entries := &raftpb.HardState{}, []*raftpb.Entry(nil)
	err := guard(func() (err error) {
		if j.wal, err = wal.Open(p.zap(), p.files(), mark); err != nil {
			return err
		}
		_, hard, entries, err = j.wal.ReadAll()
		return err
	})
	if err != nil {
		j.file = nil // it is the caller's until we succeed
		return nil, nil, errors.Join(fmt.Errorf("read the log: %w", err), j.Close())
	}
	if n := len(entries); r.last > mark.GetIndex() && (n == 0 || entries[n-1].GetIndex() != r.last) {
		j.file = nil
		return nil, nil, errors.Join(damaged(r.file, r.end, "entry %d was read and then was not", r.last), j.Close())
	}
	// The commit index is not synced with each change of it; the state machine
	// only ever applied what was committed.
	hard.Commit = new(max(hard.GetCommit(), p.applied, mark.GetIndex()))
	hard.Term = new(max(hard.GetTerm(), mark.GetTerm()))
	return j, &recovered{id, mark, hard, entries}, j.noteAgain(p.dir, note{index: r.last, term: max(r.term, mark.GetTerm()), hardTerm: hard.GetTerm(), vote: hard.GetVote()})
}

// noteAgain makes the note durable when the journal is opened.
func (j *etcdJournal) noteAgain(dir string, n note) (err error) {
	j.note = n
	if j.file == nil {
		j.file, err = createNote(dir, n)
		return err
	}
	return errors.Join(j.file.write(n), j.file.sync())
}

// Save writes, syncs, and notes that it did.
func (j *etcdJournal) Save(st *raftpb.HardState, entries []*raftpb.Entry) error {
	if err := guard(func() error { return j.wal.Save(st, entries) }); err != nil {
		return err
	}
	before := j.note
	if n := len(entries); n > 0 {
		j.note.index, j.note.term = entries[n-1].GetIndex(), entries[n-1].GetTerm()
	}
	if !etcdraft.IsEmptyHardState(st) {
		j.note.hardTerm, j.note.vote = st.GetTerm(), st.GetVote()
	}
	if j.note == before {
		return nil
	}
	return describe(j.file.write(j.note))
}

// Cut notes a mark and removes files that end before it.
func (j *etcdJournal) Cut(mark *walpb.Snapshot) error {
	err := guard(func() error {
		if err := j.wal.SaveSnapshot(mark); err != nil {
			return fmt.Errorf("note mark in the log: %w", err)
		}
		return j.wal.ReleaseLockTo(mark.GetIndex())
	})
	if err != nil {
		return err
	}
	names, err := segments(j.dir)
	if err != nil {
		return err
	}
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

// Close syncs and closes the files. It may be called again after an error.
func (j *etcdJournal) Close() error {
	if j.wal != nil {
		if err := guard(j.wal.Close); err != nil {
			return fmt.Errorf("close the log: %w", err)
		}
		j.wal = nil
	}
	if j.file == nil {
		return nil
	}
	err := j.file.close()
	j.file = nil
	if err != nil {
		return fmt.Errorf("close the log's note: %w", describe(err))
	}
	return nil
}
