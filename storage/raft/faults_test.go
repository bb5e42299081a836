package raft_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/raft"
)

func TestTheLogOfAnotherNodeIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, m := start(t, dir, raft.Options{NodeID: "one"})
	propose(t, l, m, "a")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err := tryStart(dir, raft.Options{NodeID: "two"})
	if err == nil {
		t.Fatal("node two took the log of node one")
	}
	for _, want := range []string{dir, `belongs to node "one"`, `this node is "two"`, `set node_id to "one"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal lacks %q: %v", want, err)
		}
	}
	l, m = start(t, dir, raft.Options{}) // no name takes the one that is there
	if l.Status().NodeID != "one" || !slices.Equal(m.entries, []string{"a"}) {
		t.Errorf("status %+v, entries %q", l.Status(), m.entries)
	}
}

func TestANodeWithoutANameKeepsTheOneItDrew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	var ids []string
	for range 2 {
		l, _ := start(t, dir, raft.Options{Bind: func(id string) error { ids = append(ids, id); return nil }})
		ids = append(ids, l.Status().NodeID)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if ids[0] == "" || ids[0] != ids[2] || ids[1] == "" || ids[1] != ids[3] {
		t.Errorf("log id and node id at two starts: %q", ids)
	}
}

func TestAStateOfAnotherLogIsRefused(t *testing.T) {
	mine := errors.New("not mine")
	_, _, err := tryStart(filepath.Join(t.TempDir(), "log"), raft.Options{Bind: func(string) error { return mine }})
	if !errors.Is(err, mine) {
		t.Fatalf("got %v", err)
	}
}

func TestALogHasOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, _ := start(t, dir, raft.Options{})
	_, _, err := tryStart(dir, raft.Options{})
	if err == nil || !strings.Contains(err.Error(), "another process is using "+dir) {
		t.Fatalf("a second one got %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, dir, raft.Options{})
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "data", "log")
	l, m := start(t, dir, raft.Options{})
	propose(t, l, m, strings.Repeat("a", 40<<10), "a second file")
	seen := 0
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, e os.DirEntry, err error) error {
		info, statErr := os.Stat(path)
		if errors.Is(statErr, os.ErrNotExist) {
			return nil // laid aside, and taken into use in the meantime
		}
		want := os.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s is %v", path, info.Mode().Perm())
		}
		seen++
		return errors.Join(err, statErr)
	})
	if err != nil || seen < 6 {
		t.Fatalf("saw %d, %v", seen, err)
	}
}

// The WAL package's logger would end the process.
func TestFatalIsAnError(t *testing.T) {
	var out bytes.Buffer
	err := raft.Fatal(slog.New(slog.NewTextHandler(&out, nil)))
	if err == nil || !strings.Contains(err.Error(), "the log's files cannot be used") {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(out.String(), "the end") {
		t.Errorf("nothing was logged: %q", out.String())
	}
}

// Making a log that was cut short by a crash is begun anew.
func TestALogThatWasNeverFinishedIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, _ := start(t, dir, raft.Options{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	img := take(t, dir)
	name, _ := img.tail()
	delete(img, raft.NoteName)
	clear(img[name][200:])
	img.write(t, dir)
	l, m := start(t, dir, raft.Options{})
	propose(t, l, m, "a")
}

func TestALogThatIsGoneIsMissed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, m := start(t, dir, raft.Options{})
	propose(t, l, m, "a")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "wal")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tryStart(dir, raft.Options{}); !errors.Is(err, storage.ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
}

// A write that finds no space is refused, and so are those after it; once there
// is space they are taken again, and what was acknowledged is there.
func TestWritesResumeWhenThereIsSpace(t *testing.T) {
	for _, stage := range []struct {
		name string
		done bool
	}{{"before the write", false}, {"after the write", true}} {
		t.Run(stage.name, func(t *testing.T) {
			var full atomic.Bool
			var o raft.Options
			o.Watch(func(done bool) error {
				if done == stage.done && full.Load() {
					return syscall.ENOSPC
				}
				return nil
			})
			dir := filepath.Join(t.TempDir(), "log")
			l, m := start(t, dir, o)
			propose(t, l, m, "a", "b")
			full.Store(true)
			fate, err := l.Propose(ctx, l.Leads(), []byte("in flight"))
			if err != nil {
				t.Fatal(err)
			}
			<-fate.Decided()
			if err := try(l, []byte("refused")); !errors.Is(err, storage.ErrFull) {
				t.Fatalf("got %v", err)
			}
			if !l.Full() || l.Leads() == 0 || l.Err() != nil {
				t.Errorf("full %t, leading %t, failed %v", l.Full(), l.Leads() != 0, l.Err())
			}
			full.Store(false)
			for try(l, []byte("c")) != nil {
			}
			for m.last() != "c" {
				<-m.seen
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			want := []string{"a", "b", "c"}
			if stage.done {
				want = []string{"a", "b", "in flight", "c"}
			}
			if !slices.Equal(m.entries, want) {
				t.Errorf("applied %q", m.entries)
			}
			_, m = start(t, dir, raft.Options{})
			if !slices.Equal(m.entries, want) {
				t.Errorf("after a restart %q", m.entries)
			}
		})
	}
}

// A state machine without space has the log wait as well.
func TestTheStateMayBeFull(t *testing.T) {
	l, m := start(t, filepath.Join(t.TempDir(), "log"), raft.Options{})
	propose(t, l, m, "a")
	m.full.Store(true)
	fate, err := l.Propose(ctx, l.Leads(), []byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	<-fate.Decided()
	m.full.Store(false)
	m.wait(2) // it was durable: it is applied after all
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// An entry is applied after the WAL package has synced it: it counts its syncs.
func TestAnEntryIsSyncedBeforeItIsApplied(t *testing.T) {
	l, err := raft.Open(raft.Options{Dir: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan uint64)
	if err := l.Start(0, storage.Machine{Apply: func(uint64, []byte) error { seen <- syncs(t); return nil }}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for i := range 5 {
		before := syncs(t)
		if err := try(l, []byte("a")); err != nil {
			t.Fatal(err)
		}
		if now := <-seen; now <= before {
			t.Errorf("entry %d was applied after %d syncs, proposed after %d", i, now, before)
		}
	}
}

func syncs(t *testing.T) uint64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Error(err)
	}
	for _, f := range families {
		if f.GetName() == "etcd_disk_wal_fsync_duration_seconds" {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	t.Error("the WAL package counts its syncs no longer")
	return 0
}
