package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/kv"
)

// open opens rows on fs with a small memtable, so that tests meet real files.
func open(t rapid.TB, o kv.Options) *kv.Disk {
	t.Helper()
	o.Dir, o.CacheBytes, o.MemTableBytes = "rows", 1<<20, 256<<10
	d, err := kv.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(key, value string) storage.Op {
	return storage.Op{Kind: storage.OpPut, Key: []byte(key), Value: []byte(value)}
}

func apply(t rapid.TB, s storage.State, index uint64, ops ...storage.Op) {
	t.Helper()
	if err := s.Apply(index, ops); err != nil {
		t.Fatal(err)
	}
}

// rows reads a snapshot in both ways there are, which must agree.
func rows(t rapid.TB, s storage.Snapshot) map[string]string {
	t.Helper()
	got := map[string]string{}
	last := ""
	err := s.Scan(nil, nil, func(k, v []byte) bool {
		if len(got) > 0 && string(k) <= last {
			t.Fatalf("scan: %q after %q", k, last)
		}
		last = string(k)
		got[last] = string(v)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range got {
		if one, err := s.Get([]byte(k)); err != nil || one == nil || string(one) != v {
			t.Fatalf("get %q = %q, %v; scan says %q", k, one, err, v)
		}
	}
	return got
}

func same(t rapid.TB, what string, s storage.Snapshot, want map[string]string) {
	t.Helper()
	if got := rows(t, s); !maps.Equal(got, want) {
		t.Fatalf("%s: rows are %v, want %v", what, got, want)
	}
}

func genOps() *rapid.Generator[[]storage.Op] {
	key := rapid.StringMatching(`[a-d][a-d]?[a-d]?`)
	op := rapid.Custom(func(t *rapid.T) storage.Op {
		o := storage.Op{Kind: storage.OpKind(rapid.IntRange(1, 3).Draw(t, "kind")), Key: []byte(key.Draw(t, "key"))}
		switch o.Kind {
		case storage.OpPut:
			o.Value = rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "value")
		case storage.OpDeleteRange:
			o.Value = []byte(key.Draw(t, "end"))
		}
		return o
	})
	return rapid.SliceOfN(op, 0, 6)
}

// model applies ops to a plain map.
func model(m map[string]string, ops []storage.Op) map[string]string {
	m = maps.Clone(m)
	for _, op := range ops {
		switch op.Kind {
		case storage.OpPut:
			m[string(op.Key)] = string(op.Value)
		case storage.OpDelete:
			delete(m, string(op.Key))
		case storage.OpDeleteRange:
			for k := range m {
				if k >= string(op.Key) && k < string(op.Value) {
					delete(m, k)
				}
			}
		}
	}
	return m
}

// Memory, disk and a plain map give the same answers to random entries;
// snapshots never change; a reopened or crashed disk holds a prefix of the
// entries, and replaying the rest brings it up to date.
func TestMemoryAndDiskAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewCrashableMem()
		disk, mem := open(t, kv.Options{FS: fs}), kv.NewMemory()
		type held struct {
			disk, mem storage.Snapshot
			want      map[string]string
		}
		var snaps []held
		drop := func() {
			for _, h := range snaps {
				if err := errors.Join(h.disk.Close(), h.mem.Close()); err != nil {
					t.Fatal(err)
				}
			}
			snaps = nil
		}
		entries, states, flushed := [][]storage.Op{nil}, []map[string]string{{}}, uint64(0)
		last := func() uint64 { return uint64(len(entries) - 1) }
		defer func() { drop(); _ = disk.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				ops := genOps().Draw(t, "ops")
				entries, states = append(entries, ops), append(states, model(states[last()], ops))
				apply(t, disk, last(), ops...)
				apply(t, mem, last(), ops...)
			},
			"apply again": func(t *rapid.T) {
				old := rapid.Uint64Range(0, last()).Draw(t, "index")
				apply(t, disk, old, put("zombie", "walks"))
				apply(t, mem, old, put("zombie", "walks"))
			},
			"snapshot": func(t *rapid.T) {
				snaps = append(snaps, held{disk.Snapshot(), mem.Snapshot(), states[last()]})
			},
			"flush": func(t *rapid.T) {
				if err := disk.Flush(); err != nil {
					t.Fatal(err)
				}
				flushed = last()
			},
			"reopen": func(t *rapid.T) {
				drop()
				if err := disk.Close(); err != nil {
					t.Fatal(err)
				}
				disk, flushed = open(t, kv.Options{FS: fs}), last()
				if disk.Applied() != last() {
					t.Fatalf("applied %d after a clean close, want %d", disk.Applied(), last())
				}
			},
			"crash": func(t *rapid.T) {
				drop()
				after := fs.CrashClone(vfs.CrashCloneCfg{
					UnsyncedDataPercent: rapid.IntRange(0, 100).Draw(t, "percent"),
					RNG:                 rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed"))),
				})
				_ = disk.Close()
				fs = after
				disk = open(t, kv.Options{FS: fs})
				a := disk.Applied()
				if a < flushed || a > last() {
					t.Fatalf("applied %d after a crash, flushed %d, last %d", a, flushed, last())
				}
				s := disk.Snapshot()
				same(t, "after the crash", s, states[a])
				_ = s.Close()
				for i := a + 1; i <= last(); i++ {
					apply(t, disk, i, entries[i]...)
				}
			},
			"": func(t *rapid.T) {
				for _, h := range snaps {
					same(t, "old snapshot, disk", h.disk, h.want)
					same(t, "old snapshot, memory", h.mem, h.want)
				}
				d, m := disk.Snapshot(), mem.Snapshot()
				same(t, "disk", d, states[last()])
				same(t, "memory", m, states[last()])
				if err := errors.Join(d.Close(), m.Close()); err != nil {
					t.Fatal(err)
				}
				if disk.Applied() != last() || mem.Applied() != last() {
					t.Fatalf("applied %d on disk, %d in memory, want %d", disk.Applied(), mem.Applied(), last())
				}
			},
		})
	})
}

func both(t *testing.T, f func(t *testing.T, s storage.State)) {
	t.Run("memory", func(t *testing.T) { f(t, kv.NewMemory()) })
	t.Run("disk", func(t *testing.T) {
		d := open(t, kv.Options{FS: vfs.NewMem()})
		f(t, d)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEdges(t *testing.T) {
	both(t, func(t *testing.T, s storage.State) {
		apply(t, s, 5, put("a", ""), put("b", "1"), put("\xfe\xff", "last"))
		snap := s.Snapshot()
		if v, err := snap.Get([]byte("a")); err != nil || v == nil || len(v) != 0 {
			t.Errorf("an empty value reads as %v, %v", v, err)
		}
		if v, err := snap.Get([]byte("absent")); err != nil || v != nil {
			t.Errorf("an absent row reads as %v, %v", v, err)
		}
		if v, err := snap.Get([]byte("\xffa")); err != nil || v != nil {
			t.Errorf("a row of the State reads as %v, %v", v, err)
		}
		var keys []string
		stop := func(k, _ []byte) bool { keys = append(keys, string(k)); return len(keys) < 2 }
		if err := snap.Scan([]byte("a"), []byte("\xff\xff"), stop); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(keys, []string{"a", "b"}) {
			t.Errorf("scan did not stop when told: %q", keys)
		}
		if err := errors.Join(snap.Close(), snap.Close()); err != nil {
			t.Errorf("close twice: %v", err)
		}
		if _, err := snap.Get([]byte("a")); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("read of a closed snapshot: %v", err)
		}
		for _, bad := range []storage.Op{put("", "x"), put("\xffa", "x"), {Kind: 9, Key: []byte("k")}} {
			if err := s.Apply(6, []storage.Op{put("c", "1"), bad}); err == nil {
				t.Errorf("took %v %q", bad.Kind, bad.Key)
			}
		}
		// A range delete up to the end leaves the applied index alone, and what
		// was refused above left nothing.
		apply(t, s, 6, storage.Op{Kind: storage.OpDeleteRange, Key: []byte("a"), Value: []byte("\xff\xff\xff")})
		snap = s.Snapshot()
		same(t, "after deleting all", snap, map[string]string{})
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
		if s.Applied() != 6 {
			t.Errorf("applied %d, want 6", s.Applied())
		}
	})
}

// Rows that a caller changes afterwards stay as they were applied.
func TestApplyKeepsItsOwnCopy(t *testing.T) {
	both(t, func(t *testing.T, s storage.State) {
		key, value := []byte("key"), []byte("value")
		apply(t, s, 1, storage.Op{Kind: storage.OpPut, Key: key, Value: value})
		key[0], value[0] = 'X', 'X'
		snap := s.Snapshot()
		defer snap.Close()
		same(t, "after", snap, map[string]string{"key": "value"})
		v, _ := snap.Get([]byte("key"))
		v[0] = 'X'
		same(t, "after changing what Get gave", snap, map[string]string{"key": "value"})
	})
}

// An entry larger than a memtable takes another way through Pebble.
func TestLargeEntry(t *testing.T) {
	fs := vfs.NewMem()
	d := open(t, kv.Options{FS: fs})
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	apply(t, d, 1, put("small", "1"))
	apply(t, d, 2, storage.Op{Kind: storage.OpPut, Key: []byte("big"), Value: big})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, kv.Options{FS: fs})
	defer d.Close()
	s := d.Snapshot()
	defer s.Close()
	if got, err := s.Get([]byte("big")); err != nil || !bytes.Equal(got, big) {
		t.Fatalf("%d bytes came back, %v", len(got), err)
	}
}

func BenchmarkApply(b *testing.B) {
	d, err := kv.Open(kv.Options{Dir: b.TempDir(), ReserveBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	value := make([]byte, 1024)
	for i := 0; b.Loop(); i++ {
		ops := []storage.Op{
			{Kind: storage.OpPut, Key: fmt.Appendf(nil, "a%012d", i*7919%1000003), Value: value},
			{Kind: storage.OpPut, Key: fmt.Appendf(nil, "b%012d", i*104729%1000003), Value: value},
			{Kind: storage.OpPut, Key: fmt.Appendf(nil, "c%012d", i), Value: value},
		}
		if err := d.Apply(uint64(i)+1, ops); err != nil {
			b.Fatal(err)
		}
	}
}
