package kv_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/kv"
)

// fill applies count entries of one 1 KiB row each from index first on.
func fill(t testing.TB, s storage.State, first, count uint64) {
	t.Helper()
	for i := first; i < first+count; i++ {
		apply(t, s, i, put(fmt.Sprintf("row%06d", i), strings.Repeat("x", 1024)))
	}
}

func read(t testing.TB, s storage.State, index uint64) ([]byte, error) {
	t.Helper()
	snap := s.Snapshot()
	defer snap.Close()
	return snap.Get(fmt.Appendf(nil, "row%06d", index))
}

// flip changes one byte in the middle of every file with the given ending.
func flip(t *testing.T, mem vfs.FS, ending string) {
	t.Helper()
	names, err := mem.List("rows")
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ending) {
			continue
		}
		f, err := mem.OpenReadWrite(mem.PathJoin("rows", name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == 0 {
			t.Logf("%s is empty", name)
			continue
		}
		var b [1]byte
		if _, err := f.ReadAt(b[:], info.Size()/3); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 0x40
		if _, err := f.WriteAt(b[:], info.Size()/3); err != nil {
			t.Fatal(err)
		}
		flipped++
		_ = f.Close()
	}
	if flipped == 0 {
		t.Fatalf("no file ends in %s: %v", ending, names)
	}
}

func TestFlippedByteIsReported(t *testing.T) {
	mem := vfs.NewMem()
	d := open(t, kv.Options{FS: mem})
	fill(t, d, 1, 100)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, mem, ".sst")
	d = open(t, kv.Options{FS: mem})
	defer d.Close()
	var bad int
	for i := uint64(1); i <= 100; i++ {
		v, err := read(t, d, i)
		switch {
		case errors.Is(err, storage.ErrCorrupt):
			bad++
		case err != nil:
			t.Fatal(err)
		case len(v) != 1024:
			t.Fatalf("row %d has %d bytes and no error", i, len(v))
		}
	}
	if bad == 0 {
		t.Fatal("no read noticed the flipped byte")
	}
	snap := d.Snapshot()
	defer snap.Close()
	if err := snap.Scan(nil, nil, func(_, _ []byte) bool { return true }); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("scan: %v", err)
	}
	if !errors.Is(d.Err(), storage.ErrCorrupt) {
		t.Errorf("Err: %v", d.Err())
	}
	if err := d.Apply(101, []storage.Op{put("a", "b")}); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("apply after corruption: %v", err)
	}
}

func TestDamagedManifestDoesNotOpen(t *testing.T) {
	mem := vfs.NewMem()
	d := open(t, kv.Options{FS: mem})
	fill(t, d, 1, 10)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := mem.List("rows")
	for _, n := range names {
		if strings.HasPrefix(n, "MANIFEST") {
			flip(t, mem, n)
		}
	}
	_, err := kv.Open(kv.Options{Dir: "rows", FS: mem, CacheBytes: 1 << 20})
	if !errors.Is(err, storage.ErrCorrupt) {
		t.Fatalf("open: %v", err)
	}
}

// full fails every write with ENOSPC while it is on.
type full struct {
	on   atomic.Bool
	only string // part of the name, or all
}

func (f *full) fs(base vfs.FS) vfs.FS {
	return errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !f.on.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !strings.Contains(op.Path, f.only) {
			return nil
		}
		if op.Kind == errorfs.OpRemove || op.Kind == errorfs.OpFileClose {
			return nil
		}
		return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
	}))
}

// When the disk is full before we noticed, writes are refused and reads go on,
// whichever file met the end first; a restart finds all that was flushed and no
// entry without those before it.
func TestFullDisk(t *testing.T) {
	for _, only := range []string{"", ".log", ".sst", "MANIFEST"} {
		t.Run("only "+only, func(t *testing.T) {
			mem, f := vfs.NewMem(), &full{only: only}
			d := open(t, kv.Options{FS: f.fs(mem)})
			fill(t, d, 1, 100)
			if err := d.Flush(); err != nil {
				t.Fatal(err)
			}
			f.on.Store(true)
			var err error
			index := uint64(101)
			for ; err == nil && index < 5000; index++ {
				err = d.Apply(index, []storage.Op{put(fmt.Sprintf("row%06d", index), strings.Repeat("y", 1024))})
				if index%200 == 0 && err == nil {
					err = d.Flush()
				}
			}
			if !errors.Is(err, storage.ErrFull) {
				t.Fatalf("entry %d: %v", index, err)
			}
			if !d.Full() {
				t.Error("not Full")
			}
			for _, i := range []uint64{1, 100, 101} {
				if v, err := read(t, d, i); err != nil || len(v) != 1024 {
					t.Errorf("row %d: %d bytes, %v", i, len(v), err)
				}
			}
			_ = d.Close() // may say that it could not flush
			f.on.Store(false)
			d = open(t, kv.Options{FS: mem})
			defer d.Close()
			if d.Applied() < 100 {
				t.Fatalf("applied %d after reopening, 100 were flushed", d.Applied())
			}
			for i := uint64(1); i <= d.Applied(); i++ {
				if v, err := read(t, d, i); err != nil || len(v) != 1024 {
					t.Fatalf("row %d of %d: %d bytes, %v", i, d.Applied(), len(v), err)
				}
			}
			fill(t, d, d.Applied()+1, 100)
		})
	}
}

// A flush that failed for want of space is tried again, and writing goes on.
func TestSpaceComesBack(t *testing.T) {
	mem, f := vfs.NewMem(), &full{only: ".sst"}
	d := open(t, kv.Options{FS: f.fs(mem)})
	defer d.Close()
	fill(t, d, 1, 10)
	f.on.Store(true)
	if err := d.Flush(); !errors.Is(err, storage.ErrFull) {
		t.Fatalf("flush on a full disk: %v", err)
	}
	if err := d.Apply(11, nil); !errors.Is(err, storage.ErrFull) {
		t.Fatalf("apply on a full disk: %v", err)
	}
	f.on.Store(false)
	for d.Flush() != nil { // until the retry got through
	}
	fill(t, d, 11, 10)
	if d.Full() {
		t.Error("still Full")
	}
}

// Writes are refused before the disk is full.
func TestFreeSpaceIsWatched(t *testing.T) {
	var free atomic.Uint64
	free.Store(1000)
	d := open(t, kv.Options{
		FS: vfs.NewMem(), MinFreeBytes: 100,
		FreeSpace: func() (uint64, error) { return free.Load(), nil },
	})
	defer d.Close()
	fill(t, d, 1, 1)
	if d.Full() {
		t.Error("Full with space left")
	}
	free.Store(99)
	if !d.Full() {
		t.Error("not Full below the minimum")
	}
	fill(t, d, 2, 1) // it is in the log already: take it while there is room
	free.Store(49)
	if err := d.Apply(3, nil); !errors.Is(err, storage.ErrFull) {
		t.Errorf("apply: %v", err)
	}
	if v, err := read(t, d, 2); err != nil || len(v) != 1024 {
		t.Errorf("read: %d bytes, %v", len(v), err)
	}
	free.Store(1000)
	fill(t, d, 3, 1)
}

// The reserve is given up for a write that found no space, once.
func TestReserveIsGivenUp(t *testing.T) {
	mem := vfs.NewMem()
	name := mem.PathJoin("rows", "reserve")
	disk := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpFileWrite || !strings.HasSuffix(op.Path, ".sst") {
			return nil
		}
		if _, err := mem.Stat(name); err == nil { // as long as it takes the space
			return syscall.ENOSPC
		}
		return nil
	}))
	d := open(t, kv.Options{FS: disk, ReserveBytes: 1 << 20})
	fill(t, d, 1, 100)
	if err := d.Flush(); err != nil {
		t.Fatalf("flush with a reserve: %v", err)
	}
	if _, err := mem.Stat(name); err == nil {
		t.Error("the reserve is still there")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, kv.Options{FS: mem, ReserveBytes: 1 << 20})
	defer d.Close()
	if info, err := mem.Stat(name); err != nil || info.Size() != 1<<20 {
		t.Errorf("the next start made no new reserve: %v", err)
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "rows")
	d, err := kv.Open(kv.Options{Dir: dir, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, d, 1, 1000)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	seen := 0
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		info, statErr := os.Stat(path)
		if errors.Is(statErr, fs.ErrNotExist) {
			return nil // cleaned up in the meantime
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s is %v, want %v", path, info.Mode().Perm(), want)
		}
		seen++
		return errors.Join(err, statErr)
	})
	if err != nil || seen < 5 {
		t.Fatalf("saw %d files, %v", seen, err)
	}
}

func TestClosedDisk(t *testing.T) {
	d := open(t, kv.Options{FS: vfs.NewMem()})
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(1, nil); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("apply: %v", err)
	}
	if err := d.Flush(); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("flush: %v", err)
	}
	if _, err := read(t, d, 1); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}

func TestRowsOfAnotherLogAreRefused(t *testing.T) {
	mem := vfs.NewMem()
	d := open(t, kv.Options{FS: mem})
	if err := d.Bind("one"); err != nil {
		t.Fatal(err)
	}
	fill(t, d, 1, 10)
	if err := errors.Join(d.Bind("one"), d.Close()); err != nil {
		t.Fatal(err)
	}
	d = open(t, kv.Options{FS: mem})
	defer d.Close()
	if err := d.Bind("one"); err != nil {
		t.Errorf("its own log: %v", err)
	}
	if err := d.Bind("two"); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("another log: %v", err)
	}
}

func TestRowsThatNameNoLogAreRefused(t *testing.T) {
	d := open(t, kv.Options{FS: vfs.NewMem()})
	defer d.Close()
	fill(t, d, 1, 10)
	if err := d.Bind("one"); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}
