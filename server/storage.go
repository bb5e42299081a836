package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
)

// openLog joins the log to the rows that come of it.
func openLog(conf *config.Config, state *kv.Disk, transport raft.Transport, logger *slog.Logger) (*raft.Log, error) {
	dir := filepath.Join(conf.Storage.Path, "log")
	return raft.Open(raft.Options{
		Dir: dir, NodeID: conf.Storage.NodeID, Logger: logger, Transport: transport, Bind: state.Bind, Rebind: state.Rebind,
		Flush: func() (uint64, error) { i := state.Applied(); return i, state.Flush() },
		Rows: func() (raft.Rows, error) {
			rows, index := state.Snapshot(), state.Applied()
			return raft.Rows{Index: index, Write: func(w io.Writer) error { return storage.WriteRows(w, rows) }, Close: rows.Close}, nil
		},
		Stage: func(r io.Reader) (raft.Staged, error) { return stage(dir, state, r) },
	})
}

// incoming is all rows of another node, in a file.
type incoming struct {
	file  *os.File
	state *kv.Disk
	index uint64
}

func stage(dir string, state *kv.Disk, r io.Reader) (_ raft.Staged, err error) {
	f, err := os.CreateTemp(dir, "incoming-")
	if err != nil {
		return nil, fmt.Errorf("lay rows aside: %w", err)
	}
	s := &incoming{file: f, state: state}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("lay rows aside: %w", err), s.Discard())
		}
	}()
	if _, err := io.Copy(f, r); err != nil {
		return nil, err
	}
	rows, err := s.read()
	if err != nil {
		return nil, err
	}
	s.index = rows.Index()
	return s, nil
}

func (s *incoming) read() (*storage.RowReader, error) {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return storage.ReadRows(s.file)
}

func (s *incoming) Index() uint64 { return s.index }

func (s *incoming) Put(index uint64) error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return errors.Join(s.state.Install(index, s.file), s.Discard())
}

func (s *incoming) Discard() error {
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}
