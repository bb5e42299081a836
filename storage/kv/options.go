package kv

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options say where rows live and what they may use. Only Dir is needed.
type Options struct {
	// Dir holds the files; it is made when absent.
	Dir string
	// FS replaces the disk; for tests.
	FS vfs.FS
	// CacheBytes bounds the block cache; 0 is a quarter of the memory, but at
	// least 32 MiB and at most 256 MiB: without cgo it is heap, and the kernel keeps
	// the files in memory besides.
	CacheBytes int64
	// MemTableBytes is how much is gathered before it is written out as a
	// sorted file; 0 is 32 MiB. A restart replays at most four of them.
	MemTableBytes int
	// ReserveBytes is the size of a file that is given up when the disk is full,
	// so that what is in memory can still be written out; 0 is 64 MiB on a real
	// disk and none otherwise, below 0 is none.
	ReserveBytes int64
	// MinFreeBytes is the free space below which Full is true; 0 is 256 MiB.
	// Apply takes entries that are already in the log down to half of it.
	MinFreeBytes uint64
	// FreeSpace replaces the question to the file system; for tests.
	FreeSpace func() (uint64, error)
	// Logger gets what Pebble reports; nil discards it.
	Logger *slog.Logger
}

const (
	minCache = 32 << 20
	maxCache = 256 << 20
	reserve  = "reserve"
)

func (o *Options) defaults() error {
	if o.Dir == "" {
		return errors.New("no directory given")
	}
	onDisk := o.FS == nil
	if onDisk {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = min(max(totalMemory()/4, minCache), maxCache)
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 32 << 20
	}
	if o.ReserveBytes == 0 && onDisk {
		o.ReserveBytes = 64 << 20
	}
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = 256 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FreeSpace == nil {
		fs, dir := o.FS, o.Dir
		o.FreeSpace = func() (uint64, error) {
			u, err := fs.GetDiskUsage(dir)
			if errors.Is(err, vfs.ErrUnsupported) {
				return math.MaxUint64, nil
			}
			return u.AvailBytes, err
		}
	}
	return nil
}

// totalMemory is the machine's memory in bytes, or 0 when it is not known.
func totalMemory() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) >= 2 && string(f[0]) == "MemTotal:" {
			kb, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// pebbleOptions: ciphertext does not compress; small blocks and bloom filters
// serve point reads; the format is fixed so that an upgrade of Pebble alone
// never changes what is on disk.
func (d *Disk) pebbleOptions() *pebble.Options {
	p := &pebble.Options{
		FS:                          d.fs,
		Lock:                        d.lock,
		Cache:                       d.cache,
		MemTableSize:                uint64(d.opts.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		Logger:                      pebbleLog{d},
		EventListener: &pebble.EventListener{
			BackgroundError: d.backgroundError,
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				d.damaged(i.Path, i.Details)
			},
			FlushEnd: func(i pebble.FlushInfo) {
				if i.Err == nil {
					d.flushed()
				}
			},
			WriteStallBegin: func(i pebble.WriteStallBeginInfo) { d.opts.Logger.Warn("rows: writes stall", "why", i.Reason) },
			DiskSlow:        func(i pebble.DiskSlowInfo) { d.opts.Logger.Warn("rows: disk is slow", "what", i.String()) },
		},
	}
	for i := range p.Levels {
		p.Levels[i].BlockSize = 4 << 10
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		p.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	return p
}

// pebbleLog takes Pebble's messages. Fatalf must not end the process: the store
// stops changing anything on disk, and serves what it can still read.
type pebbleLog struct{ d *Disk }

func (l pebbleLog) Infof(format string, args ...any) {
	l.d.opts.Logger.Debug("rows: " + fmt.Sprintf(format, args...))
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.d.opts.Logger.Error("rows: " + fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	l.d.fs.halt()
	l.d.fail(fatal(format, args))
}

// fatal keeps the error among the arguments, so that its kind can be told.
func fatal(format string, args []any) error {
	err := fmt.Errorf("%s", fmt.Sprintf(format, args...)) //nolint:err113 // Pebble's words
	for _, a := range args {
		if e, ok := a.(error); ok {
			return fmt.Errorf("%w (%w)", e, err)
		}
	}
	return err
}
