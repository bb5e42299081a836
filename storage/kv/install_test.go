package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/kv"
)

func dumped(t rapid.TB, s storage.State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Dump(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func now(t rapid.TB, s storage.State) map[string]string {
	t.Helper()
	snap := s.Snapshot()
	defer snap.Close()
	return rows(t, snap)
}

// What one State dumps another installs, in either kind, whatever it held
// before, and a reopened disk still has it. Entries go on from there.
func TestDumpAndInstall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		disk, mem := open(t, kv.Options{FS: fs}), kv.NewMemory()
		defer func() { _ = disk.Close() }()
		for i := range rapid.IntRange(0, 5).Draw(t, "entries before") {
			apply(t, disk, uint64(i)+1, genOps().Draw(t, "ops")...)
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "entries dumped") {
			apply(t, mem, uint64(i)+100, genOps().Draw(t, "ops")...)
		}
		want, from := now(t, mem), mem.Applied()
		as := rapid.SampledFrom([]uint64{0, 7, 1000}).Draw(t, "index")
		if err := disk.Install(as, bytes.NewReader(dumped(t, mem))); err != nil {
			t.Fatal(err)
		}
		if as == 0 {
			as = from
		}
		check := func(when string) {
			if got := now(t, disk); !maps.Equal(got, want) {
				t.Fatalf("%s: rows are %v, want %v", when, got, want)
			}
			if disk.Applied() != as {
				t.Fatalf("%s: applied %d, want %d", when, disk.Applied(), as)
			}
		}
		check("installed")
		if err := disk.Close(); err != nil {
			t.Fatal(err)
		}
		disk = open(t, kv.Options{FS: fs})
		check("reopened")
		again := kv.NewMemory()
		if err := again.Install(0, bytes.NewReader(dumped(t, disk))); err != nil {
			t.Fatal(err)
		}
		if got := now(t, again); !maps.Equal(got, want) || again.Applied() != as {
			t.Fatalf("back in memory: rows are %v at %d, want %v at %d", got, again.Applied(), want, as)
		}
		apply(t, disk, as+1, put("next", "entry"))
		if got := now(t, disk)["next"]; got != "entry" {
			t.Fatalf("the entry behind the installed rows reads %q", got)
		}
	})
}

// The tie to the log is the State's own and stays.
func TestInstallKeepsTheTieToTheLog(t *testing.T) {
	d := open(t, kv.Options{FS: vfs.NewMem()})
	defer d.Close()
	if err := d.Bind("ours"); err != nil {
		t.Fatal(err)
	}
	if err := d.Install(0, bytes.NewReader(dumped(t, filled(t, 3)))); err != nil {
		t.Fatal(err)
	}
	if err := d.Bind("ours"); err != nil {
		t.Error(err)
	}
	if err := d.Bind("theirs"); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("rows of our log were tied to another: %v", err)
	}
}

func filled(t testing.TB, count uint64) storage.State {
	t.Helper()
	s := kv.NewMemory()
	fill(t, s, 1, count)
	return s
}

// A snapshot from before never shows a row of the new ones: on disk it says
// that the rows were replaced, in memory it still has the old ones.
func TestInstallUnderOpenSnapshots(t *testing.T) {
	both(t, func(t *testing.T, s storage.State) {
		apply(t, s, 1, put("a", "old"))
		before := s.Snapshot()
		defer before.Close()
		other := kv.NewMemory()
		apply(t, other, 9, put("a", "new"), put("b", "new"))
		if err := s.Install(0, bytes.NewReader(dumped(t, other))); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{"a": "old", "b": ""} {
			v, err := before.Get([]byte(key))
			if !errors.Is(err, storage.ErrReplaced) && (err != nil || string(v) != want) {
				t.Errorf("%s reads as %q, %v through a snapshot from before", key, v, err)
			}
		}
		if got := now(t, s); !maps.Equal(got, map[string]string{"a": "new", "b": "new"}) {
			t.Errorf("rows are %v", got)
		}
	})
}

// A stream that is cut off anywhere, or of which any byte is another, is
// refused and changes nothing.
func TestDamagedStreamIsRefused(t *testing.T) {
	other := kv.NewMemory()
	apply(t, other, 9, put("a", "new"), put("b", ""), put("c", "new"))
	good := dumped(t, other)
	both(t, func(t *testing.T, s storage.State) {
		apply(t, s, 1, put("a", "old"))
		refused := func(what string, stream []byte) {
			t.Helper()
			if err := s.Install(0, bytes.NewReader(stream)); err == nil {
				t.Errorf("%s: taken", what)
			}
			if got := now(t, s); len(got) != 1 || got["a"] != "old" || s.Applied() != 1 {
				t.Fatalf("%s: rows are %v at %d", what, got, s.Applied())
			}
		}
		for i := range good {
			refused(fmt.Sprintf("cut at %d", i), good[:i])
			flipped := bytes.Clone(good)
			flipped[i] ^= 0x20
			refused(fmt.Sprintf("byte %d changed", i), flipped)
		}
		huge := append(bytes.Clone(good[:16]), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)
		refused("a key of 2^62 bytes", huge)
		own := append(append(bytes.Clone(good[:16]), 2, 0xff, 'a', 1, 'x'), good[len(good)-41:]...)
		refused("a row of the State", own)
	})
}

// The process may be killed before, between and after any two changes of the
// file system: what is found then is all of the old or all of the new.
func TestInstallIsAtomic(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var (
		mu     sync.Mutex
		armed  bool
		clones []*vfs.MemFS
	)
	watched := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			for _, percent := range []int{0, 50, 100} {
				clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(7, uint64(len(clones))))}))
			}
		}
		return nil
	}))
	arm := func(on bool) { mu.Lock(); armed = on; mu.Unlock() }
	d := open(t, kv.Options{FS: watched})
	apply(t, d, 1, put("which", "old"), put("only old", strings.Repeat("o", 2000)))
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	apply(t, d, 2, put("in memory", "old"))
	other := kv.NewMemory()
	apply(t, other, 1, put("which", "new"), put("only new", strings.Repeat("n", 2000)))
	stream := dumped(t, other)
	arm(true)
	if err := d.Install(3, bytes.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	arm(false)
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	inspect := func(i int, fs vfs.FS) string {
		d := open(t, kv.Options{FS: fs})
		defer d.Close()
		got := now(t, d)
		which := got["which"]
		oldRow, newRow := got["only old"] != "", got["only new"] != ""
		if oldRow == newRow || oldRow != (which == "old") || newRow != (d.Applied() == 3) {
			t.Fatalf("crash %d: a mixture: which=%q, old %v, new %v, applied %d", i, which, oldRow, newRow, d.Applied())
		}
		if names, err := fs.List("rows/incoming"); err == nil {
			t.Fatalf("crash %d: staged files are left: %v", i, names)
		}
		seen[which]++
		return which
	}
	for i, fs := range clones {
		inspect(i, fs)
	}
	if seen["old"] == 0 || seen["new"] == 0 {
		t.Errorf("the crashes were not around the exchange: %v", seen)
	}
	if which := inspect(-1, after); which != "new" {
		t.Errorf("an installed state was lost by a crash: %q", which)
	}
}

// When the disk refuses, the rows before are served on.
func TestInstallOnAFullDisk(t *testing.T) {
	free := uint64(1 << 40)
	d := open(t, kv.Options{FS: vfs.NewMem(), FreeSpace: func() (uint64, error) { return free, nil }})
	defer d.Close()
	apply(t, d, 1, put("a", "old"))
	free = 0
	if err := d.Install(0, bytes.NewReader(dumped(t, filled(t, 3)))); !errors.Is(err, storage.ErrFull) {
		t.Errorf("on a full disk: %v", err)
	}
	free = 1 << 40
	if got := now(t, d); got["a"] != "old" {
		t.Errorf("rows are %v", got)
	}
	apply(t, d, 2, put("b", "next"))
}

// A dump is of one moment, and entries are applied while it is written.
func TestDumpWhileEntriesAreApplied(t *testing.T) {
	both(t, func(t *testing.T, s storage.State) {
		fill(t, s, 1, 1000)
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			err := s.Dump(w)
			_ = w.CloseWithError(err)
			done <- err
		}()
		stream, err := storage.ReadRows(r)
		if err != nil {
			t.Fatal(err)
		}
		index := uint64(1000)
		for {
			_, err := stream.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			index++
			apply(t, s, index, put(fmt.Sprintf("zrow%06d", index), "later"))
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if stream.Index() != 1000 || stream.Count() != 1000 {
			t.Errorf("the dump has %d rows of entry %d", stream.Count(), stream.Index())
		}
	})
}
