package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// file appends to a file, which it opens when first needed, again after an
// error, when the file was deleted, and when it is told to.
type file struct {
	path    string
	mode    fs.FileMode // zero keeps the mode of a file that exists
	dirs    []string
	timeout time.Duration

	open *os.File // nil before the first write and after an error
	// torn says that the file ends in the middle of a line: the next write
	// begins with a new line, so that only the torn one is lost.
	torn    bool
	checked time.Time   // when it was last seen to have a name
	regular atomic.Bool // what is open is a regular file

	mu   sync.Mutex
	next *os.File // what a reload opened, for the next write to take over
}

func (f *file) write(lines []byte) error {
	f.takeOver()
	if len(lines) == 0 {
		return nil
	}
	if now := time.Now(); f.open != nil && now.Sub(f.checked) > nameCheck {
		if f.checked = now; deleted(f.open) {
			f.forget()
		}
	}
	if f.open == nil {
		opened, err := f.openFile()
		if err != nil {
			return err
		}
		f.use(opened, f.torn)
	}
	if err := f.append(lines); err != nil {
		f.forget()
		return err
	}
	return nil
}

// nameCheck is how often a file is looked at for having been deleted.
const nameCheck = time.Second

// use takes an opened file into use.
func (f *file) use(opened *os.File, torn bool) {
	f.open, f.torn, f.checked = opened, torn || endsTorn(opened, f.path), time.Now()
	info, err := opened.Stat()
	f.regular.Store(err == nil && info.Mode().IsRegular())
}

func (f *file) forget() {
	f.open.Close()
	f.open = nil
	f.regular.Store(false)
}

func (f *file) prompt() bool { return f.regular.Load() }

func (f *file) append(lines []byte) error {
	// Only pipes and terminals know deadlines; for others the writer's watchdog
	// stands in.
	if !f.regular.Load() {
		_ = f.open.SetWriteDeadline(time.Now().Add(f.timeout))
	}
	if f.torn {
		if _, err := f.open.WriteString("\n"); err != nil {
			return err
		}
		f.torn = false
	}
	n, err := f.open.Write(lines)
	if n > 0 && lines[n-1] != '\n' {
		f.torn = true
	}
	return err
}

// takeOver puts what a reload opened in the place of the old file.
func (f *file) takeOver() {
	f.mu.Lock()
	next := f.next
	f.next = nil
	f.mu.Unlock()
	if next == nil {
		return
	}
	if f.open != nil {
		f.open.Close()
	}
	f.use(next, false)
}

// reload opens the path anew. The old file stays in use if that fails.
func (f *file) reload() error {
	opened, err := f.openFile()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next != nil {
		f.next.Close()
	}
	f.next = opened
	return nil
}

func (f *file) close() error {
	f.takeOver()
	if f.open == nil {
		return nil
	}
	defer func() { f.open = nil }()
	return f.open.Close()
}

// openFile opens the path for appending. It never waits for a pipe's reader,
// never touches what could be run, and sets the mode whatever the umask says.
func (f *file) openFile() (*os.File, error) {
	if err := f.allowed(); err != nil {
		return nil, err
	}
	create := f.mode
	if create == 0 {
		create = 0o600
	}
	o, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, create)
	if err != nil {
		return nil, explain(err)
	}
	if err := f.settle(o); err != nil {
		o.Close()
		return nil, fmt.Errorf("open %s: %w", f.path, err)
	}
	return o, nil
}

// settle refuses files that are no log, and sets the mode of those that are.
func (f *file) settle(o *os.File) error {
	info, err := o.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode()
	switch {
	case mode.IsDir():
		return errors.New("file_path is a directory")
	case mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0:
		return errors.New("file_path is a disk")
	case !mode.IsRegular():
		return nil
	case mode.Perm()&0o111 != 0 || mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return errors.New("file_path is an executable file")
	case f.mode == 0 || mode.Perm() == f.mode:
		return nil
	}
	return o.Chmod(f.mode)
}

// allowed checks that the path, links followed, lies below one of dirs.
func (f *file) allowed() error {
	if len(f.dirs) == 0 {
		return nil
	}
	real, err := filepath.EvalSymlinks(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(f.path); err == nil {
			return fmt.Errorf("open %s: file_path is a link to nothing", f.path)
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(f.path))
		if err != nil {
			return explain(err)
		}
		real = filepath.Join(dir, filepath.Base(f.path))
	} else if err != nil {
		return err
	}
	for _, dir := range f.dirs {
		dir, err := filepath.EvalSymlinks(dir)
		if err == nil && strings.HasPrefix(real, strings.TrimSuffix(dir, "/")+"/") {
			return nil
		}
	}
	return fmt.Errorf("open %s: file_path must lie in %s", f.path, strings.Join(f.dirs, " or "))
}

// explain adds what to do to errors whose text leaves a person guessing.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("%w: nothing reads from this pipe", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: create its directory first", err)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%w: file_path must name a file", err)
	}
	return err
}

// deleted tells whether an open file has no name any more: lines written to it
// would vanish when it is closed.
func deleted(o *os.File) bool {
	info, err := o.Stat()
	return err == nil && info.Mode().IsRegular() && links(info) == 0
}

// endsTorn tells whether an existing log ends within a line, as after a crash.
// A log that we may write but not read is taken to be whole.
func endsTorn(o *os.File, path string) bool {
	info, err := o.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	r, err := os.Open(path)
	if err != nil {
		return false
	}
	defer r.Close()
	last := []byte{'\n'}
	_, _ = r.ReadAt(last, info.Size()-1)
	return last[0] != '\n'
}
