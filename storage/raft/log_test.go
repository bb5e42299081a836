package raft_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/raft"
)

// A machine remembers what was applied. durable is what it would still have
// after a crash.
type machine struct {
	mu      sync.Mutex
	entries []string
	applied uint64
	durable uint64
	seen    chan struct{}
	full    atomic.Bool
}

func (m *machine) apply(index uint64, entry []byte) error {
	if m.full.Load() {
		return fmt.Errorf("apply: %w", storage.ErrFull)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if index <= m.applied {
		return fmt.Errorf("entry %d applied after %d", index, m.applied)
	}
	m.applied = index
	m.entries = append(m.entries, string(entry))
	select {
	case m.seen <- struct{}{}:
	default:
	}
	return nil
}

func (m *machine) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

func (m *machine) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.entries) == 0 {
		return ""
	}
	return m.entries[len(m.entries)-1]
}

func (m *machine) wait(n int) {
	for m.count() < n {
		<-m.seen
	}
}

func start(t *testing.T, dir string, o raft.Options) (*raft.Log, *machine) {
	t.Helper()
	l, m, err := tryStart(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, m
}

func tryStart(dir string, o raft.Options) (*raft.Log, *machine, error) {
	m := &machine{seen: make(chan struct{}, 1)}
	o.Dir = dir
	if o.FreeSpace == nil {
		o.FreeSpace = func() (uint64, error) { return 1 << 40, nil }
	}
	l, err := raft.Open(o)
	if err != nil {
		return nil, nil, err
	}
	return l, m, l.Start(0, storage.Machine{Apply: m.apply})
}

var ctx = context.Background()

// try proposes an entry if the log leads.
func try(l *raft.Log, entry []byte) error {
	_, err := l.Propose(ctx, l.Leads(), entry)
	return err
}

func propose(t *testing.T, l *raft.Log, m *machine, entries ...string) {
	t.Helper()
	n := m.count()
	for _, e := range entries {
		if err := try(l, []byte(e)); err != nil {
			t.Fatal(err)
		}
	}
	m.wait(n + len(entries))
}

func TestEntriesComeBackInOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, m := start(t, dir, raft.Options{})
	propose(t, l, m, "a", "b", "c")
	term := l.Leads()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, m = start(t, dir, raft.Options{})
	if !slices.Equal(m.entries, []string{"a", "b", "c"}) {
		t.Fatalf("replayed %q", m.entries)
	}
	if l.Leads() <= term {
		t.Errorf("term %d after %d: a new leadership has a new term", l.Leads(), term)
	}
	propose(t, l, m, "d")
}

func TestConcurrentProposalsAreAppliedOnce(t *testing.T) {
	l, m := start(t, filepath.Join(t.TempDir(), "log"), raft.Options{})
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				if err := try(l, fmt.Appendf(nil, "%d-%d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	m.wait(800)
	got := slices.Clone(m.entries)
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 800 {
		t.Fatalf("%d different entries were applied", n)
	}
}

func edit(t *testing.T, dir string, f func([]byte)) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no journal in %s: %v", dir, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	f(b)
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFlippedByteIsReported(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, m := start(t, dir, raft.Options{})
	propose(t, l, m, "the first entry of all", "b", "c")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, func(b []byte) {
		i := indexOf(b, "first entry")
		b[i] ^= 1
	})
	_, _, err := tryStart(dir, raft.Options{})
	if !errors.Is(err, storage.ErrCorrupt) {
		t.Fatalf("started with %v", err)
	}
}

// A length that was overwritten looks like the end of the log. What was
// committed behind it gives it away.
func TestADamagedLengthIsNotTheEnd(t *testing.T) {
	damages := map[string]func(frame []byte){
		"zeroed": func(frame []byte) { clear(frame) },
		"grown":  func(frame []byte) { frame[5] ^= 0x40 },
	}
	for name, damage := range damages {
		dir := filepath.Join(t.TempDir(), "log")
		l, m := start(t, dir, raft.Options{})
		propose(t, l, m, "first")
		propose(t, l, m, "the second entry")
		propose(t, l, m, "third")
		propose(t, l, m, "fourth")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, dir, func(b []byte) { damage(frameOf(b, indexOf(b, "the second entry"))) })
		if _, m, err := tryStart(dir, raft.Options{}); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: started with %v and replayed %q", name, err, m.entries)
		}
	}
}

// frameOf is the length before the record that holds an offset.
func frameOf(b []byte, offset int) []byte {
	for at := 0; ; {
		frame := binary.LittleEndian.Uint64(b[at:])
		size := 8 + int(frame&(1<<56-1)) + int(frame>>56&7)
		if at+size > offset {
			return b[at : at+8]
		}
		at += size
	}
}

func indexOf(b []byte, s string) int {
	for i := range b {
		if string(b[i:i+len(s)]) == s {
			return i
		}
	}
	return -1
}

// A state that is ahead of its log is not that log's state.
func TestAStateAheadOfItsLogIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, m := start(t, dir, raft.Options{})
	propose(t, l, m, "a")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := raft.Open(raft.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(1000, storage.Machine{Apply: m.apply}); !errors.Is(err, storage.ErrCorrupt) {
		t.Fatalf("started with %v", err)
	}
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	var mu sync.Mutex
	free := uint64(1 << 40)
	set := func(n uint64) { mu.Lock(); free = n; mu.Unlock() }
	l, m := start(t, filepath.Join(t.TempDir(), "log"), raft.Options{FreeSpace: func() (uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		return free, nil
	}})
	propose(t, l, m, "a")
	set(1 << 20)
	if err := try(l, []byte("b")); !errors.Is(err, storage.ErrFull) {
		t.Fatalf("got %v", err)
	}
	set(1 << 40)
	propose(t, l, m, "c")
	if !slices.Equal(m.entries, []string{"a", "c"}) {
		t.Fatalf("applied %q", m.entries)
	}
}

// Behind what the state machine holds durably, the log is cut; a restart reads
// the rest.
func TestTheLogIsCutBehindTheState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	var m *machine
	flushed := make(chan uint64, 100)
	l, m := start(t, dir, raft.Options{CompactBytes: 10_000, Flush: func() (uint64, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.durable = m.applied
		flushed <- m.durable
		return m.durable, nil
	}})
	for i := range 50 {
		propose(t, l, m, fmt.Sprintf("%d %s", i, make([]byte, 1000)))
	}
	<-flushed
	propose(t, l, m, "after the cut", "the end")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := raft.Open(raft.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	cut := m.durable
	m2 := &machine{seen: make(chan struct{}, 1), applied: cut}
	if err := again.Start(cut, storage.Machine{Apply: m2.apply}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if n := len(m2.entries); n == 0 || m2.entries[n-1] != "the end" {
		t.Fatalf("replayed %d entries after the cut", n)
	}
	if l.Status().LastIndex == 0 {
		t.Error("status says nothing was written")
	}
}
