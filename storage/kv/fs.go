package kv

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What the rows' file system adds to the one below it:
//
//   - Directories are 0700 and files 0600, whatever the umask.
//   - When there is no space, the reserve is given up and the write tried again.
//   - A failed write of Pebble's own write-ahead log is noted, and that log is
//     lost from there on, instead of an error: Pebble would end the process.
//     Nothing is missing, since our log holds all of it and a restart finds the
//     prefix that was written.
//     The same holds for a failed sync of the directory.
//   - After halt nothing on disk changes any more, as if the process had died.

// errHalted is what writes meet after the store was stopped by a fault.
var errHalted = errors.New("storage was halted by an earlier fault")

// faultPause slows the retries of Pebble's background work after a fault.
const faultPause = 20 * time.Millisecond

type guardFS struct {
	vfs.FS
	onDisk bool // modes mean something

	halted  atomic.Bool
	walLost atomic.Bool
	// release gives space back and says whether it did.
	release func() bool
	// walFailed is told once why the write-ahead log was lost.
	walFailed func(error)
}

func (g *guardFS) halt() { g.halted.Store(true) }

func (g *guardFS) loseWAL(err error) {
	if !g.walLost.Swap(true) {
		g.walFailed(err)
	}
}

func isWAL(c vfs.DiskWriteCategory) bool { return c == "pebble-wal" }

// again says whether an operation that failed with err deserves a second try.
func (g *guardFS) again(err error) bool {
	return err != nil && vfs.IsNoSpaceError(err) && g.release()
}

// mutate runs a change of the directory.
func (g *guardFS) mutate(f func() error) error {
	if g.halted.Load() {
		time.Sleep(faultPause)
		return errHalted
	}
	err := f()
	if g.again(err) {
		err = f()
	}
	return err
}

func (g *guardFS) create(name string, c vfs.DiskWriteCategory, f func() (vfs.File, error)) (vfs.File, error) {
	if isWAL(c) && g.walLost.Load() {
		return nullFile{}, nil
	}
	var file vfs.File
	err := g.mutate(func() (err error) {
		file, err = f()
		return err
	})
	if err == nil {
		err = g.private(name, 0o600)
		if err != nil {
			_ = file.Close()
		}
	}
	switch {
	case err != nil && isWAL(c):
		g.loseWAL(err)
		return nullFile{}, nil
	case err != nil:
		return nil, err
	case isWAL(c):
		return &walFile{guardFile{file, g}}, nil
	}
	return &guardFile{file, g}, nil
}

func (g *guardFS) private(name string, mode os.FileMode) error {
	if !g.onDisk {
		return nil
	}
	return os.Chmod(name, mode)
}

func (g *guardFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create(name, c, func() (vfs.File, error) { return g.FS.Create(name, c) })
}

func (g *guardFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.create(name, c, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, opts...) })
}

func (g *guardFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create(newname, c, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, c) })
}

func (g *guardFS) Link(oldname, newname string) error {
	return g.mutate(func() error { return g.FS.Link(oldname, newname) })
}

func (g *guardFS) Remove(name string) error {
	return g.mutate(func() error { return g.FS.Remove(name) })
}

func (g *guardFS) RemoveAll(name string) error {
	return g.mutate(func() error { return g.FS.RemoveAll(name) })
}

func (g *guardFS) Rename(oldname, newname string) error {
	return g.mutate(func() error { return g.FS.Rename(oldname, newname) })
}

func (g *guardFS) MkdirAll(dir string, _ os.FileMode) error {
	if err := g.mutate(func() error { return g.FS.MkdirAll(dir, 0o700) }); err != nil {
		return err
	}
	return g.private(dir, 0o700)
}

func (g *guardFS) Lock(name string) (io.Closer, error) {
	l, err := g.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	if err := g.private(name, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

func (g *guardFS) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardDir{f, g}, nil
}

func (g *guardFS) Unwrap() vfs.FS { return g.FS }

// guardDir is a directory opened for syncing. Pebble syncs it while it changes
// its write-ahead log, where it cannot bear an error. Since we then do not know
// which files a crash would leave, nothing more is written.
type guardDir struct {
	vfs.File
	g *guardFS
}

func (d *guardDir) Sync() error {
	if d.g.halted.Load() {
		return nil
	}
	if err := d.File.Sync(); err != nil {
		d.g.halt()
		d.g.loseWAL(err)
	}
	return nil
}

// guardFile is a file of rows or of the manifest.
type guardFile struct {
	vfs.File
	g *guardFS
}

func (f *guardFile) Write(p []byte) (int, error) {
	if f.g.halted.Load() {
		time.Sleep(faultPause)
		return 0, errHalted
	}
	n, err := f.File.Write(p)
	if f.g.again(err) {
		var m int
		m, err = f.File.Write(p[n:])
		n += m
	}
	if err != nil {
		time.Sleep(faultPause)
	}
	return n, err
}

// walFile is a segment of Pebble's write-ahead log.
type walFile struct{ guardFile }

func (f *walFile) lose(err error) error {
	if err != nil {
		f.g.loseWAL(err)
	}
	return nil
}

func (f *walFile) Write(p []byte) (int, error) {
	if f.g.walLost.Load() {
		return len(p), nil
	}
	_, err := f.guardFile.Write(p)
	return len(p), f.lose(err)
}

func (f *walFile) Sync() error     { return f.lose(f.File.Sync()) }
func (f *walFile) SyncData() error { return f.lose(f.File.SyncData()) }
func (f *walFile) Close() error    { return f.lose(f.File.Close()) }

func (f *walFile) SyncTo(n int64) (bool, error) {
	full, err := f.File.SyncTo(n)
	return full, f.lose(err)
}

// Preallocate only saves metadata writes, so failing it costs nothing.
func (f *walFile) Preallocate(off, n int64) error {
	_ = f.File.Preallocate(off, n)
	return nil
}

// nullFile takes what is written after the write-ahead log was lost.
type nullFile struct{}

func (nullFile) Close() error                           { return nil }
func (nullFile) Read([]byte) (int, error)               { return 0, io.EOF }
func (nullFile) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (nullFile) Write(p []byte) (int, error)            { return len(p), nil }
func (nullFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nullFile) Preallocate(int64, int64) error         { return nil }
func (nullFile) Stat() (vfs.FileInfo, error)            { return nullInfo{}, nil }
func (nullFile) Sync() error                            { return nil }
func (nullFile) SyncTo(int64) (bool, error)             { return true, nil }
func (nullFile) SyncData() error                        { return nil }
func (nullFile) Prefetch(int64, int64) error            { return nil }
func (nullFile) Fd() uintptr                            { return vfs.InvalidFd }

type nullInfo struct{}

func (nullInfo) Name() string           { return "" }
func (nullInfo) Size() int64            { return 0 }
func (nullInfo) Mode() os.FileMode      { return 0o600 }
func (nullInfo) ModTime() time.Time     { return time.Time{} }
func (nullInfo) IsDir() bool            { return false }
func (nullInfo) Sys() any               { return nil }
func (nullInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
