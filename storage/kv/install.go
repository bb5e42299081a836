package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fastness-dev/fastness/storage"
)

// tableBytes is about how large the sorted files are that Install writes.
const tableBytes = 64 << 20

// stage is where Install writes before anything is replaced. What a crash left
// there is removed when the rows are opened.
func (d *Disk) stage() string { return d.fs.PathJoin(d.opts.Dir, "incoming") }

// Dump writes all rows as they are now.
func (d *Disk) Dump(w io.Writer) error { return dump(w, d.Snapshot()) }

// Dump writes all rows as they are now.
func (m *Memory) Dump(w io.Writer) error { return dump(w, m.Snapshot()) }

func dump(w io.Writer, s storage.Snapshot) error {
	return errors.Join(storage.WriteRows(w, s), s.Close())
}

// Install builds the new rows aside, as files, and then exchanges all rows in
// one edit of Pebble's manifest. The tie to the log stays as it is.
func (d *Disk) Install(index uint64, r io.Reader) error {
	d.installMu.Lock()
	defer d.installMu.Unlock()
	err := d.install(index, r)
	d.lifeMu.RLock()
	defer d.lifeMu.RUnlock()
	if !d.closed {
		err = errors.Join(err, d.fs.RemoveAll(d.stage()))
	}
	if err != nil {
		return fmt.Errorf("install rows: %w", describe(err))
	}
	return nil
}

func (d *Disk) install(index uint64, r io.Reader) error {
	rows, err := storage.ReadRows(r)
	if err != nil {
		return err
	}
	if index == 0 {
		index = rows.Index()
	}
	if err := d.fs.RemoveAll(d.stage()); err != nil {
		return err
	}
	if err := d.fs.MkdirAll(d.stage(), 0o700); err != nil {
		return err
	}
	tables := &tableWriter{d: d}
	if err := tables.fill(index, rows); err != nil {
		return errors.Join(err, tables.finish())
	}
	return d.exchange(index, tables.names)
}

// exchange replaces all rows by those of the files. Entries wait meanwhile, and
// nothing begins to read.
func (d *Disk) exchange(index uint64, files []string) (err error) {
	d.applyMu.Lock()
	defer d.applyMu.Unlock()
	if err := d.writable(); err != nil {
		return err
	}
	if d.wedged {
		return errors.Join(storage.ErrClosed, d.Err())
	}
	// Flushed rows are in files, so that the exchange is one edit of the manifest
	// and owes nothing to Pebble's own log.
	faults := d.fault.watch()
	done, err := d.asyncFlush()
	if err != nil {
		return err
	}
	if err := d.await(done, faults); err != nil {
		return err
	}
	d.lifeMu.Lock()
	defer d.lifeMu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
			d.wedged = true
			d.fs.halt()
			d.fail(err)
		}
	}()
	d.generation.Add(1)
	all := pebble.KeyRange{Start: []byte{0}, End: []byte{reserved, reserved}}
	if _, err := d.db.IngestAndExcise(context.Background(), files, nil, nil, all); err != nil {
		return err
	}
	d.applied.Store(index)
	return d.fault.sticky()
}

// A tableWriter writes ascending rows to sorted files.
type tableWriter struct {
	d     *Disk
	names []string
	table *sstable.Writer
	size  int
}

// fill writes the rows of a stream and, behind them, the State's own.
func (t *tableWriter) fill(index uint64, rows *storage.RowReader) error {
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if row.Key[0] == reserved {
			return fmt.Errorf("%w: row %d: %w", storage.ErrCorrupt, rows.Count(), errReserved)
		}
		if err := t.set(row.Key, row.Value); err != nil {
			return err
		}
	}
	if err := t.set(appliedKey, binary.BigEndian.AppendUint64(nil, index)); err != nil {
		return err
	}
	log, err := t.d.boundTo()
	if err != nil {
		return err
	}
	if log != nil {
		if err := t.set(logKey, log); err != nil {
			return err
		}
	}
	return t.finish()
}

func (t *tableWriter) set(key, value []byte) error {
	if t.table == nil {
		if err := t.begin(); err != nil {
			return err
		}
	}
	if err := t.table.Set(key, value); err != nil {
		return err
	}
	if t.size += len(key) + len(value); t.size >= tableBytes {
		return t.finish()
	}
	return nil
}

func (t *tableWriter) begin() error {
	name := t.d.fs.PathJoin(t.d.stage(), fmt.Sprintf("%06d.sst", len(t.names)))
	f, err := t.d.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	options := t.d.pebbleOptions()
	options.EnsureDefaults()
	t.names, t.size = append(t.names, name), 0
	t.table = sstable.NewWriter(objstorageprovider.NewFileWritable(f), options.MakeWriterOptions(len(options.Levels)-1, t.d.db.TableFormat()))
	return nil
}

// finish makes the file that is being written durable.
func (t *tableWriter) finish() error {
	if t.table == nil {
		return nil
	}
	err := t.table.Close()
	t.table = nil
	return err
}

// boundTo is the id of the log that the rows are tied to, or nil.
func (d *Disk) boundTo() (log []byte, err error) {
	d.applyMu.Lock()
	defer d.applyMu.Unlock()
	if d.closed || d.wedged {
		return nil, errors.Join(storage.ErrClosed, d.Err())
	}
	defer recovered(&err)
	value, closer, err := d.db.Get(logKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return own(value), closer.Close()
}

// Install reads the whole stream before anything changes.
func (m *Memory) Install(index uint64, r io.Reader) error {
	rows, err := storage.ReadRows(r)
	if err != nil {
		return fmt.Errorf("install rows: %w", err)
	}
	if index == 0 {
		index = rows.Index()
	}
	fresh := newTree()
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && row.Key[0] == reserved {
			err = fmt.Errorf("%w: row %d: %w", storage.ErrCorrupt, rows.Count(), errReserved)
		}
		if err != nil {
			return fmt.Errorf("install rows: %w", err)
		}
		fresh.ReplaceOrInsert(storage.Row{Key: own(row.Key), Value: own(row.Value)})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return storage.ErrClosed
	}
	m.rows, m.shared = fresh, nil
	m.applied.Store(index)
	return nil
}
