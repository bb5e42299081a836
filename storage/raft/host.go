package raft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/fastness-dev/fastness/storage"
)

// freeSpace is the number of bytes free in the file system of a directory.
func freeSpace(dir string) (uint64, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return st.Bavail * uint64(st.Bsize), nil
		}
		if !os.IsNotExist(err) || dir == filepath.Dir(dir) {
			return 0, fmt.Errorf("ask for free space: %w", err)
		}
		dir = filepath.Dir(dir)
	}
}

// lockDir makes a directory and takes it for this process, until the file is
// closed.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log directory: %w", describe(err))
	}
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock log directory: %w", describe(err))
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("another process is using %s: stop it, or give this server a path of its own: %w", dir, err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock log directory: %w", err), f.Close())
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// describe adds our error, or what to do, to what the system reported.
func describe(err error) error {
	switch {
	case errors.Is(err, storage.ErrFull), errors.Is(err, storage.ErrCorrupt):
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", storage.ErrFull, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: files and directories below the storage path must belong to the user that the server runs as (uid %d)", err, os.Getuid())
	}
	return err
}

// guard runs a call of the WAL package, which panics where it cannot go on.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(err, fmt.Errorf("the log's files cannot be used: %v", r))
		}
	}()
	return describe(f())
}

// walLogger takes the messages of the WAL package: what it warns of is logged,
// its chatter is not. Its Fatal panics where it would end the process; see guard.
func walLogger(to *slog.Logger) *zap.Logger {
	return zap.New(walCore{to}, zap.WithFatalHook(zapcore.WriteThenPanic))
}

type walCore struct{ to *slog.Logger }

func (walCore) Enabled(l zapcore.Level) bool        { return l >= zapcore.WarnLevel }
func (c walCore) With([]zapcore.Field) zapcore.Core { return c }
func (walCore) Sync() error                         { return nil }
func (c walCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return to
	}
	return to.AddCore(e, c)
}

func (c walCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	level := slog.LevelError
	if e.Level == zapcore.WarnLevel {
		level = slog.LevelWarn
	}
	c.to.Log(context.Background(), level, "log: "+e.Message, "details", enc.Fields)
	return nil
}

// quiet takes raft's own messages: what it warns of is logged, its chatter is
// not. It panics where raft's invariants are broken, as raft expects.
type quiet struct{ log *slog.Logger }

func (q quiet) Debug(...any)                     {}
func (q quiet) Debugf(string, ...any)            {}
func (q quiet) Info(...any)                      {}
func (q quiet) Infof(string, ...any)             {}
func (q quiet) Warning(v ...any)                 { q.log.Warn(fmt.Sprint(v...)) }
func (q quiet) Warningf(format string, v ...any) { q.log.Warn(fmt.Sprintf(format, v...)) }
func (q quiet) Error(v ...any)                   { q.log.Error(fmt.Sprint(v...)) }
func (q quiet) Errorf(format string, v ...any)   { q.log.Error(fmt.Sprintf(format, v...)) }
func (q quiet) Fatal(v ...any)                   { panic(fmt.Sprint(v...)) }
func (q quiet) Fatalf(format string, v ...any)   { panic(fmt.Sprintf(format, v...)) }
func (q quiet) Panic(v ...any)                   { panic(fmt.Sprint(v...)) }
func (q quiet) Panicf(format string, v ...any)   { panic(fmt.Sprintf(format, v...)) }
