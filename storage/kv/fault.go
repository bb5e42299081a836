package kv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fastness-dev/fastness/storage"
)

// faults remembers what went wrong in the background. A fault is either for
// good (corruption, a lost write-ahead log) or until the next flush succeeds.
type faults struct {
	mu      sync.Mutex
	forGood error
	passing error
	changed chan struct{} // closed and replaced at every fault
	files   map[string]bool
}

// first says whether a file was not heard of before.
func (f *faults) first(file string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files[file] {
		return false
	}
	if f.files == nil {
		f.files = make(map[string]bool)
	}
	f.files[file] = true
	return true
}

func (f *faults) set(err error, forGood bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if forGood && f.forGood == nil {
		f.forGood = err
	}
	if !forGood {
		f.passing = err
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// watch is closed at the next fault.
func (f *faults) watch() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passing = nil
}

func (f *faults) sticky() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.forGood
}

func (f *faults) current() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.forGood != nil {
		return f.forGood
	}
	return f.passing
}

// Err says why entries are refused, or nil. It wraps [storage.ErrCorrupt] or
// [storage.ErrFull] when that is the reason.
func (d *Disk) Err() error { return d.fault.current() }

// fail notes a fault that only a restart can heal. The first is told.
func (d *Disk) fail(err error) {
	err = describe(err)
	if d.fault.sticky() == nil {
		d.opts.Logger.Error("rows: writes are refused from here on", "err", err)
	}
	d.fault.set(err, true)
}

// damaged notes that bytes of a file are not those that were written. Each file
// is told once.
func (d *Disk) damaged(file string, err error) {
	err = fmt.Errorf("%w: file %s is damaged: restore this node from a backup or from its peers: %w", storage.ErrCorrupt, file, err)
	if d.fault.first(file) {
		d.opts.Logger.Error("rows: a file is damaged; what lies in it cannot be read, and writes are refused from here on", "err", err)
	}
	d.fault.set(err, true)
}

// backgroundError is called by Pebble, which holds its lock: it must not call
// back. Pebble tries again what failed, except when bytes are wrong.
func (d *Disk) backgroundError(err error) {
	if errors.Is(err, pebble.ErrCancelledCompaction) {
		return
	}
	d.opts.Logger.Error("rows: background work failed", "err", err)
	d.fault.set(describe(err), pebble.IsCorruptionError(err))
}

func (d *Disk) flushed() { d.fault.clear() }

// writable says whether an entry may be applied now.
func (d *Disk) writable() error {
	if d.closed {
		return storage.ErrClosed
	}
	if err := d.Err(); err != nil {
		return err
	}
	if d.below(d.opts.MinFreeBytes / 2) {
		return storage.ErrFull
	}
	return nil
}

// Full says whether new writes should be refused: free space is below the
// minimum, or there was none when it was needed. Reads go on.
func (d *Disk) Full() bool {
	return errors.Is(d.Err(), storage.ErrFull) || d.below(d.opts.MinFreeBytes)
}

// below asks the file system. When it does not answer, writing goes on: the
// write itself will tell.
func (d *Disk) below(want uint64) bool {
	free, err := d.opts.FreeSpace()
	return err == nil && free < want
}

// describe adds our error for what Pebble or the system reported.
func describe(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrFull), errors.Is(err, storage.ErrCorrupt):
		return err
	case pebble.IsCorruptionError(err), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", storage.ErrCorrupt, err)
	case vfs.IsNoSpaceError(err):
		return fmt.Errorf("%w: %w", storage.ErrFull, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: files and directories below the storage path must belong to the user that the server runs as (uid %d)", err, os.Getuid())
	}
	return err
}

// recovered turns a panic of Pebble into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = errors.Join(*err, panicked(r))
	}
}

func panicked(r any) error {
	if err, ok := r.(error); ok {
		if errors.Is(err, pebble.ErrClosed) {
			return storage.ErrClosed
		}
		return describe(fmt.Errorf("pebble panicked: %w", err))
	}
	return fmt.Errorf("pebble panicked: %v", r)
}

// makeReserve lays aside the reserve when there is room to spare. Without it
// the store works, so a failure is only told.
func (d *Disk) makeReserve() {
	if d.opts.ReserveBytes <= 0 || d.below(2*d.opts.MinFreeBytes+uint64(d.opts.ReserveBytes)) {
		return
	}
	name := d.fs.PathJoin(d.opts.Dir, reserve)
	if info, err := d.fs.Stat(name); err == nil && info.Size() >= d.opts.ReserveBytes {
		return
	}
	if err := d.writeReserve(name); err != nil {
		d.opts.Logger.Warn("rows: no reserve on disk", "err", err)
		_ = d.opts.FS.Remove(name)
	}
}

func (d *Disk) writeReserve(name string) error {
	f, err := d.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	err = f.Preallocate(0, d.opts.ReserveBytes)
	// The last byte gives the file its size, by which the next start knows it.
	if err == nil {
		_, err = f.WriteAt([]byte{0}, d.opts.ReserveBytes-1)
	}
	return errors.Join(err, f.Close())
}

// releaseReserve gives the reserve back to the file system, once.
func (d *Disk) releaseReserve() bool {
	err := d.opts.FS.Remove(d.opts.FS.PathJoin(d.opts.Dir, reserve))
	if err != nil {
		return false
	}
	d.opts.Logger.Error("rows: the disk is full; the reserve was given up")
	return true
}
