package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fastness-dev/fastness/server/config"
)

// A logFile is the file that log_file names. It is put aside under a name with
// the time in it when it is full or old, and the oldest of those put aside are
// removed.
type logFile struct {
	path  string
	bytes int64         // 0 is no limit
	every time.Duration // 0 is never
	keep  int           // of those put aside: 0 is all, negative none
	now   func() time.Time

	mu     sync.Mutex
	file   *os.File
	size   int64
	opened time.Time
}

func openLogFile(c *config.Config, now func() time.Time) (*logFile, error) {
	l := &logFile{path: logPath(c.LogFile), bytes: c.LogRotateBytes, every: c.LogRotateDuration, keep: c.LogRotateMaxFiles, now: now}
	if l.every == 0 {
		l.every = 24 * time.Hour
	}
	return l, l.open()
}

// logPath completes a path as Vault does: a directory gets a file name, and a
// name without an extension gets one.
func logPath(path string) string {
	if strings.HasSuffix(path, string(filepath.Separator)) {
		return filepath.Join(path, "vault.log")
	}
	if filepath.Ext(path) == "" {
		return path + ".log"
	}
	return path
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log_file: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log_file: %w", err), f.Close())
	}
	l.file, l.size, l.opened = f, st.Size(), l.now()
	return nil
}

// Write appends one line.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.bytes > 0 && l.size > 0 && l.size+int64(len(line)) > l.bytes
	old := l.every > 0 && l.now().Sub(l.opened) >= l.every
	if l.file != nil && (full || old) {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

// rotate puts the file aside. The next Write opens a new one.
func (l *logFile) rotate() error {
	if err := l.shut(); err != nil {
		return err
	}
	ext := filepath.Ext(l.path)
	base := strings.TrimSuffix(l.path, ext)
	aside := base + "-" + strconv.FormatInt(l.now().UnixNano(), 10) + ext
	if err := os.Rename(l.path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rotate log_file: %w", err)
	}
	if l.keep == 0 {
		return nil
	}
	old, err := filepath.Glob(base + "-*" + ext)
	if err != nil {
		return fmt.Errorf("rotate log_file: %w", err)
	}
	old = slices.DeleteFunc(old, func(name string) bool { // what only looks like ours
		_, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(name, base+"-"), ext), 10, 64)
		return err != nil
	})
	slices.Sort(old)
	for _, name := range old[:max(0, len(old)-max(0, l.keep))] {
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("remove an old log file: %w", err)
		}
	}
	return nil
}

func (l *logFile) shut() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// Reload opens the file anew, for whoever moved it.
func (l *logFile) Reload() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.shut(), l.open())
}

// Close ends the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shut()
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "" // an answer without a name is better than none
	}
	return name
}
