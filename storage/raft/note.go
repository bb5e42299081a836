package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A note says up to where the log was acknowledged. It is written over after
// each save that was synced, and is itself only synced when the log is opened
// and closed, so it costs a write to the page cache and no sync: after a crash
// of the process it is exact, after a power cut it may be old, and it is never
// ahead of the log. What it names and the log does not hold was lost.
type note struct {
	index, term    uint64 // of the last entry that was saved
	hardTerm, vote uint64
}

// A noteFile has two places that are written in turn, each with a number and a
// checksum, so that one that is torn leaves the other.
type noteFile struct {
	f   *os.File
	seq uint64
}

const (
	noteName  = "acknowledged"
	noteMagic = "fastnote"
	noteSize  = len(noteMagic) + 5*8 + 4
)

// openNote reads the note in dir. The note is nil when none can be read.
func openNote(dir string) (*noteFile, *note, error) {
	f, err := os.OpenFile(filepath.Join(dir, noteName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open the log's note: %w", err)
	}
	b := make([]byte, 2*sector)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, errors.Join(fmt.Errorf("read the log's note: %w", err), f.Close())
	}
	nf := &noteFile{f: f}
	var found *note
	for _, place := range [][]byte{b[:sector], b[sector:]} {
		if n, seq, ok := parseNote(place[:noteSize]); ok && seq >= nf.seq {
			found, nf.seq = n, seq
		}
	}
	return nf, found, nil
}

// createNote makes the file, durably, with its first note.
func createNote(dir string, n note) (*noteFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, noteName), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the log's note: %w", err)
	}
	nf := &noteFile{f: f}
	_, err = f.WriteAt(make([]byte, 2*sector), 0)
	if err = errors.Join(err, nf.write(n), nf.sync(), syncDir(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the log's note: %w", err), f.Close())
	}
	return nf, nil
}

func parseNote(b []byte) (*note, uint64, bool) {
	body := b[:noteSize-4]
	if string(b[:len(noteMagic)]) != noteMagic || crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[noteSize-4:]) {
		return nil, 0, false
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[len(noteMagic)+8*i:]) }
	return &note{index: at(1), term: at(2), hardTerm: at(3), vote: at(4)}, at(0), true
}

func (f *noteFile) write(n note) error {
	f.seq++
	b := append(make([]byte, 0, noteSize), noteMagic...)
	for _, v := range []uint64{f.seq, n.index, n.term, n.hardTerm, n.vote} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := f.f.WriteAt(b, int64(f.seq%2)*sector); err != nil {
		return fmt.Errorf("write the log's note: %w", err)
	}
	return nil
}

func (f *noteFile) sync() error { return f.f.Sync() }

func (f *noteFile) close() error { return errors.Join(f.sync(), f.f.Close()) }
