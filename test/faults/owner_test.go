package faults

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// wrapped is a program that runs another under a shell's commands.
func wrapped(t *testing.T, program, commands string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "wrapped")
	if err := os.WriteFile(name, fmt.Appendf(nil, "#!/bin/sh\n%s\nexec %s \"$@\"\n", commands, program), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

// Whatever the umask, what the server writes is its owner's only.
func TestUmask(t *testing.T) {
	dir := t.TempDir()
	w := begin(t, wrapped(t, program, "umask 000"), dir)
	seen := 0
	w.must(filepath.WalkDir(w.data(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == w.data() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it was removed meanwhile
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s is %v", path, info.Mode().Perm())
		}
		seen++
		return nil
	}))
	if seen < 10 {
		t.Errorf("saw only %d files", seen)
	}
	w.whole()
}

// A place that the server may not use is named, and so is what to do. Root may
// use all, so that under root the server runs as nobody for this.
func TestForeignOwner(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "as-nobody")
	const drop = "setpriv --reuid=65534 --regid=65534 --clear-groups --"
	switching := wrapped(t, program, fmt.Sprintf("[ -e %s ] && exec %s %s \"$@\"", flag, drop, program))
	open(t, filepath.Dir(filepath.Dir(switching)))
	for _, place := range []string{"state/LOCK", "log", "log/wal", "log/acknowledged"} {
		t.Run(place, func(t *testing.T) {
			w := begin(t, switching, t.TempDir())
			w.server.Kill()
			undo := w.forbid(place, flag)
			w.refuses(w.data(), "must belong to the user that the server runs as")
			undo()
			w.restarts()
		})
	}
}

// forbid takes a place below the data directory from the server.
func (w *world) forbid(place, flag string) (undo func()) {
	w.Helper()
	name := w.data(place)
	info, err := os.Stat(name)
	w.must(err)
	if os.Getuid() != 0 {
		w.must(os.Chmod(name, 0))
		return func() { w.must(os.Chmod(name, info.Mode())) }
	}
	w.must(os.WriteFile(flag, nil, 0o600))
	open(w.T, filepath.Dir(w.server.Dir))
	w.must(filepath.WalkDir(w.server.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == name {
			return err
		}
		return os.Chown(path, 65534, 65534)
	}))
	return func() { w.must(os.Remove(flag)) }
}

// open lets others pass through a directory that testing made for its owner.
func open(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}
