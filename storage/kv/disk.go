package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fastness-dev/fastness/storage"
)

// appliedKey holds the index of the last applied entry, 8 bytes big-endian.
var appliedKey = []byte{reserved, 'a'}

// Disk is a State on disk. It is safe for concurrent use.
type Disk struct {
	opts  Options
	fs    *guardFS
	lock  *pebble.Lock
	cache *pebble.Cache
	db    *pebble.DB

	applied    atomic.Uint64
	generation atomic.Uint64 // counts what Install replaced

	installMu sync.Mutex // one Install at a time
	applyMu   sync.Mutex // one entry at a time; Close waits for it
	wedged    bool       // under applyMu: Pebble panicked and may hold its locks
	lifeMu    sync.RWMutex
	closed    bool // set under applyMu and lifeMu, read under either

	fault faults
}

// Open opens the rows in opts.Dir, making them when absent. An error wraps
// [storage.ErrCorrupt] or [storage.ErrFull] when that is what happened.
func Open(opts Options) (*Disk, error) {
	if err := opts.defaults(); err != nil {
		return nil, fmt.Errorf("open rows: %w", err)
	}
	d := &Disk{opts: opts}
	d.fault.changed = make(chan struct{})
	d.fs = &guardFS{FS: opts.FS, onDisk: vfs.Root(opts.FS) == vfs.Default, release: d.releaseReserve, walFailed: d.fail}
	err := d.open()
	if errors.Is(err, syscall.EAGAIN) { // the lock is held
		return nil, fmt.Errorf("another process is using %s: stop it, or give this server a path of its own: %w", opts.Dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open rows in %s: %w", opts.Dir, describe(err))
	}
	d.makeReserve()
	return d, nil
}

func (d *Disk) open() (err error) {
	if err := d.fs.MkdirAll(d.opts.Dir, 0o700); err != nil {
		return err
	}
	if d.lock, err = pebble.LockDirectory(d.opts.Dir, d.fs); err != nil {
		return err
	}
	d.cache = pebble.NewCache(d.opts.CacheBytes)
	defer func() {
		if err != nil {
			d.fs.halt()
			d.cache.Unref()
			_ = d.lock.Close()
		}
	}()
	defer recovered(&err)
	if err := d.fs.RemoveAll(d.stage()); err != nil {
		return err
	}
	if d.db, err = pebble.Open(d.opts.Dir, d.pebbleOptions()); err != nil {
		return err
	}
	index, err := readApplied(d.db)
	if err != nil {
		_ = d.db.Close()
		return err
	}
	d.applied.Store(index)
	return nil
}

func readApplied(rows pebble.Reader) (uint64, error) {
	value, closer, err := rows.Get(appliedKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read applied index: %w", err)
	}
	defer closer.Close()
	if len(value) != 8 {
		return 0, fmt.Errorf("applied index has %d bytes: %w", len(value), pebble.ErrCorruption)
	}
	return binary.BigEndian.Uint64(value), nil
}

// Apply writes all ops and the index as one batch. It refuses with ErrFull
// when the disk has no room for it, and with what [Disk.Err] says after a fault.
func (d *Disk) Apply(index uint64, ops []storage.Op) error {
	if err := checkOps(ops); err != nil {
		return fmt.Errorf("apply entry %d: %w", index, err)
	}
	d.applyMu.Lock()
	defer d.applyMu.Unlock()
	if index <= d.applied.Load() {
		return nil
	}
	if err := d.writable(); err != nil {
		return fmt.Errorf("apply entry %d: %w", index, err)
	}
	if err := d.commit(index, ops); err != nil {
		return fmt.Errorf("apply entry %d: %w", index, describe(err))
	}
	d.applied.Store(index)
	return nil
}

func (d *Disk) commit(index uint64, ops []storage.Op) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
			d.wedged = true
			d.fs.halt()
			d.fail(err)
		}
	}()
	b := d.db.NewBatch()
	for _, op := range ops {
		if err := set(b, op); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	if err := b.Set(appliedKey, binary.BigEndian.AppendUint64(nil, index), nil); err != nil {
		return errors.Join(err, b.Close())
	}
	// NoSync: the log is what is synced, and it replays what a crash loses here.
	if err := b.Commit(pebble.NoSync); err != nil {
		return errors.Join(err, b.Close())
	}
	return b.Close()
}

func set(b *pebble.Batch, op storage.Op) error {
	switch op.Kind {
	case storage.OpPut:
		return b.Set(op.Key, op.Value, nil)
	case storage.OpDelete:
		return b.Delete(op.Key, nil)
	case storage.OpDeleteRange:
		if from, to, ok := span(op); ok {
			return b.DeleteRange(from, to, nil)
		}
	}
	return nil
}

// Applied is the index of the last applied entry.
func (d *Disk) Applied() uint64 { return d.applied.Load() }

// Flush writes out what is in memory. When it returns nil, everything applied
// before the call survives a crash without the log.
func (d *Disk) Flush() error {
	err := d.flush()
	if err != nil {
		return fmt.Errorf("flush rows: %w", describe(err))
	}
	return nil
}

func (d *Disk) flush() (err error) {
	d.applyMu.Lock()
	if d.closed || d.wedged {
		d.applyMu.Unlock()
		return errors.Join(storage.ErrClosed, d.Err())
	}
	faults := d.fault.watch()
	done, err := d.asyncFlush()
	d.applyMu.Unlock()
	if err != nil {
		return err
	}
	return d.await(done, faults)
}

// await returns once a flush is done or cannot be.
func (d *Disk) await(done, faults <-chan struct{}) error {
	// Pebble retries a failed flush for ever; we say so instead of waiting.
	for {
		select {
		case <-done:
			return d.fault.sticky()
		case <-faults:
			faults = d.fault.watch()
			if err := d.Err(); err != nil {
				return err
			}
		}
	}
}

func (d *Disk) asyncFlush() (done <-chan struct{}, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
			d.wedged = true
			d.fs.halt()
			d.fail(err)
		}
	}()
	return d.db.AsyncFlush()
}

// Close flushes and closes the files. Snapshots must be closed before.
func (d *Disk) Close() error {
	var flushErr error
	if d.Err() == nil {
		flushErr = d.Flush()
	}
	d.applyMu.Lock()
	defer d.applyMu.Unlock()
	d.lifeMu.Lock()
	defer d.lifeMu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	err := flushErr
	if d.wedged {
		// Pebble may hold its own locks for ever; it can no longer write.
		err = errors.Join(err, d.Err())
	} else {
		err = errors.Join(err, d.closeDB())
		d.cache.Unref()
	}
	d.fs.halt()
	if err = errors.Join(err, d.lock.Close()); err != nil {
		return fmt.Errorf("close rows: %w", describe(err))
	}
	return nil
}

func (d *Disk) closeDB() (err error) {
	defer recovered(&err)
	return d.db.Close()
}
