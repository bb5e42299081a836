package raft

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
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
