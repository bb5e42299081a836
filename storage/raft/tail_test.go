package raft_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/wal"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/raft"
)

// Small files, so that a test may start a node a thousand times.
func TestMain(m *testing.M) {
	wal.SegmentSizeBytes = 16 << 10
	os.Exit(m.Run())
}

// An image is the files of a log at one moment.
type image map[string][]byte

func take(t *testing.T, dir string) image {
	t.Helper()
	img := image{}
	for _, pattern := range []string{"wal/*.wal", raft.NoteName} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			rel, _ := filepath.Rel(dir, name) // it is below dir
			img[rel] = b
		}
	}
	return img
}

func (img image) write(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range img {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (img image) clone() image {
	c := image{}
	for name, b := range img {
		c[name] = bytes.Clone(b)
	}
	return c
}

// tail is the name of the last file and how many of its bytes are not the zeros
// at its end.
func (img image) tail() (string, int) {
	last := ""
	for name := range img {
		if strings.HasSuffix(name, ".wal") {
			last = max(last, name)
		}
	}
	return last, len(bytes.TrimRight(img[last], "\x00"))
}

// What the logs of these tests hold: entries around the size of a sector, and
// one that ends in zeros as a cut one would.
func stories() []string {
	r := rand.New(rand.NewPCG(1, 2))
	var all []string
	for _, n := range []int{1, 20, 300, 700, 40, 505, 512, 1030, 3, 90} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		all = append(all, string(b))
	}
	return append(all, "it ends in a zero\x00", "the last one")
}

// acknowledged is a log in which stories were acknowledged, after a kill.
func acknowledged(t *testing.T) image {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	l, m := start(t, dir, raft.Options{})
	for _, e := range stories() {
		propose(t, l, m, e)
	}
	return take(t, dir)
}

// Whatever byte of a log is flipped, the node refuses to start and says where,
// or it has every entry that was acknowledged.
func TestNoFlippedByteLosesWhatWasAcknowledged(t *testing.T) {
	img := acknowledged(t)
	name, live := img.tail()
	dir := filepath.Join(t.TempDir(), "log")
	refused := 0
	img.write(t, dir)
	want, _, err := raft.Check(dir)
	if err != nil {
		t.Fatal(err)
	}
	for at := range live + 16 {
		for _, b := range damages(img[name][at], at, live) {
			flip(t, dir, name, at, b)
			last, _, err := raft.Check(dir)
			switch {
			case err != nil:
				refused++
				names(t, err, name)
			case last < want:
				t.Errorf("byte %d: %#x for %#x: ends at entry %d of %d and says nothing", at, b, img[name][at], last, want)
			}
			flip(t, dir, name, at, img[name][at])
		}
	}
	t.Logf("%d damages to %d bytes were refused", refused, live)
}

// Without the note of what was acknowledged, shape alone tells. What can then
// be taken for a save that was cut short is a byte that became zero.
func TestShapeAloneFindsFlippedBits(t *testing.T) {
	img := acknowledged(t)
	delete(img, raft.NoteName)
	name, live := img.tail()
	dir := filepath.Join(t.TempDir(), "log")
	img.write(t, dir)
	want, _, err := raft.Check(dir)
	if err != nil {
		t.Fatal(err)
	}
	mistaken := 0
	for at := range live + 16 {
		for _, b := range damages(img[name][at], at, live) {
			flip(t, dir, name, at, b)
			last, _, err := raft.Check(dir)
			if err == nil && last < want {
				if mistaken++; b != 0 {
					t.Errorf("byte %d: %#x for %#x: ends at entry %d of %d and says nothing", at, b, img[name][at], last, want)
				}
			}
			flip(t, dir, name, at, img[name][at])
		}
	}
	if mistaken > 4 {
		t.Errorf("%d of %d bytes that became zero were taken for a cut", mistaken, live)
	}
}

// damages are what a byte may become: each bit flipped, all, and zero. Far from
// the end, one bit stands for all, and one byte for its neighbours.
func damages(b byte, at, live int) []byte {
	if at < live-600 && at%4 != 0 {
		return nil
	}
	all := []byte{0, b ^ 0xff, b ^ 1<<(at%8)}
	for bit := 0; bit < 8 && at > live-600; bit++ {
		all = append(all, b^1<<bit)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(d byte) bool { return d == b })
}

func flip(t *testing.T, dir, name string, at int, b byte) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{b}, int64(at))
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, err error, name string) {
	t.Helper()
	if text := err.Error(); !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(text, name) || !strings.Contains(text, "at byte") || !strings.Contains(text, "restore this node") {
		t.Errorf("the refusal does not say which file, where, and what to do: %v", err)
	}
}

// The same through a start, for each byte of the last records.
func TestADamagedEndIsRefusedOrWhole(t *testing.T) {
	img := acknowledged(t)
	name, live := img.tail()
	dir := filepath.Join(t.TempDir(), "log")
	for at := live - 300; at < live; at++ {
		hurt := img.clone()
		hurt[name][at] ^= 1 << (at % 8)
		hurt.write(t, dir)
		l, m, err := tryStart(dir, raft.Options{})
		if err != nil {
			names(t, err, name)
			continue
		}
		if !slices.Equal(m.entries, stories()) {
			t.Errorf("byte %d: started with %d of %d entries", at, len(m.entries), len(stories()))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is gone by whole sectors, or with the end of the file, was acknowledged
// all the same.
func TestALostEndIsRefused(t *testing.T) {
	img := acknowledged(t)
	name, live := img.tail()
	dir := filepath.Join(t.TempDir(), "log")
	for at := live - 1; at > live-600; at -= 7 {
		for _, cut := range []bool{false, true} {
			hurt := img.clone()
			if cut {
				hurt[name] = hurt[name][:at]
			} else {
				clear(hurt[name][at:])
			}
			hurt.write(t, dir)
			_, m, err := tryStart(dir, raft.Options{})
			if err == nil {
				t.Fatalf("byte %d, cut %t: started with %d of %d entries", at, cut, len(m.entries), len(stories()))
			}
			names(t, err, name)
		}
	}
}

// unfinished is a log before and after one save that nobody was told of.
func unfinished(t *testing.T, size int) (before, after image) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	var o raft.Options
	armed := false
	o.Watch(func(done bool) error {
		switch {
		case !armed:
		case done:
			after = take(t, dir)
		default:
			before = take(t, dir)
		}
		return nil
	})
	l, m := start(t, dir, o)
	for _, e := range stories() {
		propose(t, l, m, e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, m = start(t, dir, o)
	propose(t, l, m, "more")
	armed = true
	propose(t, l, m, strings.Repeat("unfinished ", size/11+1)[:size])
	return before, after
}

// A save that was under way, cut at any byte or with any of its sectors lost,
// is no damage: the node starts with what was acknowledged, and goes on.
func TestAnUnfinishedSaveIsCutOff(t *testing.T) {
	for _, size := range []int{5, 600} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			before, after := unfinished(t, size)
			name, end := after.tail()
			_, begin := before.tail()
			begin = (begin + 7) &^ 7 // the padding was written too
			dir := filepath.Join(t.TempDir(), "log")
			before.write(t, dir)
			want, _, err := raft.Check(dir)
			if err != nil {
				t.Fatal(err)
			}
			for i, torn := range tears(before[name], after[name], begin, end) {
				img := before.clone()
				img[name] = torn
				if i%2 == 1 {
					delete(img, raft.NoteName) // by shape alone
				}
				img.write(t, dir)
				if last, _, err := raft.Check(dir); err != nil || last < want {
					t.Fatalf("tear %d: read up to entry %d of %d, %v", i, last, want, err)
				}
				if i%23 == 0 {
					startsWhole(t, dir, i)
				}
			}
		})
	}
}

// tears are what a power cut can leave of a save into [begin, end).
func tears(before, after []byte, begin, end int) [][]byte {
	var all [][]byte
	for at := begin; at <= end; at++ {
		zeroed := bytes.Clone(after)
		clear(zeroed[at:])
		all = append(all, zeroed, zeroed, bytes.Clone(after[:at]), bytes.Clone(after[:at]))
	}
	first, last := begin/512, (end-1)/512
	for kept := range 1 << (last - first + 1) {
		b := bytes.Clone(before)
		for s := first; s <= last; s++ {
			if kept>>(s-first)&1 == 1 {
				copy(b[s*512:(s+1)*512], after[s*512:])
			}
		}
		all = append(all, b, b)
	}
	return all
}

func startsWhole(t *testing.T, dir string, i int) {
	t.Helper()
	l, m, err := tryStart(dir, raft.Options{})
	if err != nil {
		t.Fatalf("tear %d: %v", i, err)
	}
	want := append(stories(), "more")
	got := m.entries
	if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Fatalf("tear %d: started with %d entries, %d were acknowledged", i, len(got), len(want))
	}
	propose(t, l, m, "it goes on")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, m, err = tryStart(dir, raft.Options{})
	if err != nil {
		t.Fatalf("tear %d, the start after it: %v", i, err)
	}
	if n := len(m.entries); m.entries[n-1] != "it goes on" {
		t.Fatalf("tear %d: what was acknowledged after it is gone", i)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
