package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/fastness-dev/fastness/storage"
)

// The WAL package takes a length of zero, one that leads outside, and a record
// with a zeroed sector for the end of its last file, and removes what lies
// behind. It does not check the type of a record either, so that one flipped
// bit turns an entry into a state. So we read the files before it does, and
// only hand it what we found whole.

// A reading is what the files of a journal hold.
type reading struct {
	identity []byte
	marks    []*walpb.Snapshot
	hard     *raftpb.HardState
	last     uint64 // index of the last entry
	term     uint64 // of the last entry
	noted    uint64 // term of the entry that the note names, 0 when it is not there
	file     string // the last one
	end      int    // where its records end
	size     int
	torn     bool // something else than zeros is behind the end, and it may go
}

// Types of records, as the WAL package numbers them.
const (
	recordIdentity = 1
	recordEntry    = 2
	recordState    = 3
	recordCRC      = 4
	recordMark     = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// advice is what an operator can do about a damaged log.
const advice = "restore this node from a backup or from its peers"

func damaged(file string, at int, format string, args ...any) error {
	return fmt.Errorf("%w: log file %s is damaged at byte %d: %s: %s", storage.ErrCorrupt, file, at, fmt.Sprintf(format, args...), advice)
}

// segments are the files of a log, in order. There are none where dir is not.
func segments(dir string) ([]string, error) {
	found, err := os.ReadDir(dir) // in order of their names
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read log directory: %w", err)
	}
	var names []string
	for _, e := range found {
		if filepath.Ext(e.Name()) == ".wal" {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names, nil
}

// readSegments reads every file of dir. n is what was acknowledged, if that is
// known.
func readSegments(dir string, n *note) (*reading, error) {
	names, err := segments(dir)
	if err != nil {
		return nil, err
	}
	r := &reader{reading: reading{hard: &raftpb.HardState{}}, note: n}
	var previous uint64
	for i, name := range names {
		var seq, first uint64
		if _, err := fmt.Sscanf(filepath.Base(name), "%016x-%016x.wal", &seq, &first); err != nil {
			return nil, fmt.Errorf("%w: name of log file %s: %w", storage.ErrCorrupt, name, err)
		}
		if i == 0 && first > 0 {
			r.last = first - 1
		}
		if i > 0 && seq != previous+1 {
			return nil, fmt.Errorf("%w: the log file before %s is missing: %s", storage.ErrCorrupt, name, advice)
		}
		previous = seq
		if err := r.read(name, i+1 == len(names)); err != nil {
			return nil, err
		}
	}
	r.marks = slices.DeleteFunc(r.marks, func(m *walpb.Snapshot) bool { return m.GetIndex() > r.hard.GetCommit() })
	return &r.reading, nil
}

type reader struct {
	reading
	note    *note
	crc     uint32
	started bool
}

// read goes through one file. All but the last must be whole to their end.
func (r *reader) read(name string, last bool) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read log file: %w", err)
	}
	r.file, r.size, r.end = name, len(b), 0
	why := errors.New("no record begins here")
	for {
		rec, size := record(b, r.end)
		if rec == nil {
			break
		}
		if why = r.take(rec); why != nil {
			break
		}
		r.end += size
		why = errors.New("no record begins here")
	}
	if !last {
		if r.end < len(b) {
			return damaged(name, r.end, "%s, and a later file follows", why)
		}
		return nil
	}
	if missing := r.missing(); missing != "" {
		return damaged(name, r.end, "%s", missing)
	}
	if rest := b[r.end:]; allZero(rest) {
		r.torn = len(rest)%frameSize > 0 // the file ends in the middle of a frame
		return nil
	}
	if !torn(b, r.end, r.crc) {
		return damaged(name, r.end, "%s, and what follows is not a save that was cut short", why)
	}
	if commit := committedBehind(b, r.end); commit > r.last {
		return damaged(name, r.end, "entries up to %d were committed, and only those up to %d can be read", commit, r.last)
	}
	r.torn = true
	return nil
}

// missing says what was acknowledged and cannot be read.
func (r *reader) missing() string {
	n := r.note
	switch {
	case n == nil:
		return ""
	case r.last < n.index:
		return fmt.Sprintf("entries up to %d were acknowledged, and only those up to %d can be read", n.index, r.last)
	case r.noted != 0 && r.noted != n.term:
		return fmt.Sprintf("entry %d is of term %d, and one of term %d was acknowledged", n.index, r.noted, n.term)
	case r.hard.GetTerm() < n.hardTerm:
		return fmt.Sprintf("term %d was reached, and only term %d can be read", n.hardTerm, r.hard.GetTerm())
	case r.hard.GetTerm() == n.hardTerm && r.hard.GetVote() != n.vote:
		return fmt.Sprintf("the vote of term %d was %d, and %d is read", n.hardTerm, n.vote, r.hard.GetVote())
	}
	return ""
}

// take checks a record against those before it and keeps what it says. An
// error says that it is not what was written.
func (r *reader) take(rec *walpb.Record) error {
	if rec.GetType() == recordCRC {
		if r.started && rec.GetCrc() != r.crc || len(rec.Data) > 0 {
			return errors.New("the checksum does not follow from the record before")
		}
		r.started, r.crc = true, rec.GetCrc()
		return nil
	}
	sum := crc32.Update(r.crc, castagnoli, rec.Data)
	if !r.started || sum != rec.GetCrc() {
		return errors.New("the checksum is wrong")
	}
	if err := r.content(rec); err != nil {
		return err
	}
	r.crc = sum
	return nil
}

// The checksum of a record does not cover its type, so that the content is
// held against the type and against the records before.
func (r *reader) content(rec *walpb.Record) error {
	switch rec.GetType() {
	case recordIdentity:
		if r.identity != nil && !bytes.Equal(r.identity, rec.Data) {
			return errors.New("it names another node or log than the files before")
		}
		r.identity = append([]byte{}, rec.Data...)
		return nil
	case recordEntry:
		e := &raftpb.Entry{}
		if err := strict(rec.Data, e); err != nil {
			return err
		}
		return r.entry(e)
	case recordState:
		st := &raftpb.HardState{}
		if err := strict(rec.Data, st); err != nil {
			return err
		}
		if st.GetTerm() < r.hard.GetTerm() || st.GetTerm() < r.term || st.GetCommit() > r.last {
			return errors.New("the state does not follow from the records before")
		}
		r.hard = st
		return nil
	}
	m := &walpb.Snapshot{}
	if err := strict(rec.Data, m); err != nil {
		return err
	}
	if m.GetIndex() > r.last {
		if r.last > 0 {
			return errors.New("the mark is ahead of the entries")
		}
		r.last, r.term = m.GetIndex(), m.GetTerm()
	}
	r.marks = append(r.marks, m)
	return nil
}

func (r *reader) entry(e *raftpb.Entry) error {
	follows := e.GetIndex() == r.last+1 && e.GetTerm() >= r.term
	replaces := e.GetIndex() <= r.last && e.GetTerm() > r.term
	if !follows && !replaces || e.GetType() > raftpb.EntryConfChangeV2 || e.GetType() < 0 {
		return fmt.Errorf("entry %d of term %d does not follow entry %d of term %d", e.GetIndex(), e.GetTerm(), r.last, r.term)
	}
	r.last, r.term = e.GetIndex(), e.GetTerm()
	if r.note != nil && e.GetIndex() == r.note.index {
		r.noted = e.GetTerm()
	}
	return nil
}

// strict parses what was written with exactly the fields of m.
func strict(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return errors.New("the content cannot be parsed")
	}
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		return errors.New("the content is not of the record's type")
	}
	return nil
}

const frameSize = 8

// record reads the record framed at an offset, and its size with frame and
// padding; nil when there is none.
func record(b []byte, at int) (*walpb.Record, int) {
	if at+frameSize > len(b) {
		return nil, 0
	}
	length, pad, ok := unframe(binary.LittleEndian.Uint64(b[at:]))
	if !ok || length < 2 || length > len(b)-at-frameSize-pad {
		return nil, 0
	}
	return parse(b[at+frameSize : at+frameSize+length]), frameSize + length + pad
}

// parse reads a record without its frame; nil when it is none.
func parse(body []byte) *walpb.Record {
	r := &walpb.Record{}
	if strict(body, r) != nil || r.GetType() < recordIdentity || r.GetType() > recordMark {
		return nil
	}
	return r
}

// unframe splits a frame into the length of a record and of its padding to the
// next multiple of 8, which is given twice: both must agree.
func unframe(frame uint64) (length, pad int, ok bool) {
	length = int(frame & (1<<56 - 1))
	pad = -length & 7
	var top uint64
	if pad > 0 {
		top = uint64(0x80 | pad)
	}
	return length, pad, frame>>56 == top
}
