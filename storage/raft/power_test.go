package raft_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
)

var (
	powerCuts = flag.Int("power-cuts", 25, "how often TestPowerCut cuts the power")
	powerSeed = flag.Uint64("seed", 0, "the seed of TestPowerCut; 0 draws one")
)

// TestPowerCut runs a whole store, cuts the power in the middle of a save of
// the log, and finds every write that was acknowledged, over and over on the
// same data.
//
// The rows are on a file system that forgets what was not synced. The log is on
// the real one, through etcd's WAL: what it would leave is put together from
// two images. One was taken when the last save had returned: that is durable.
// One is of the save that is under way. Each sector that differs is taken from
// either, or the file ends somewhere between. That etcd's WAL syncs before a
// save returns is taken on trust here; another test counts its syncs.
// The note of what was acknowledged is never synced meanwhile: any of its
// versions may be what the disk holds.
func TestPowerCut(t *testing.T) {
	seed := *powerSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d -power-cuts=%d", seed, *powerCuts)
	p := &power{rng: rand.New(rand.NewPCG(seed, 0)), fs: vfs.NewCrashableMem(), keys: make([]counter, 4)}
	for round := range *powerCuts {
		p.round(t, filepath.Join(t.TempDir(), fmt.Sprint(round)))
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	acked := 0
	for i := range p.keys {
		acked += p.keys[i].acked
	}
	t.Logf("%d writes were acknowledged", acked)
	if acked < *powerCuts {
		t.Errorf("only %d writes were acknowledged in %d rounds: the test saw nothing", acked, *powerCuts)
	}
}

// A power is the machine: what its disk holds, and what clients know.
type power struct {
	rng  *rand.Rand
	fs   *vfs.MemFS
	log  image
	keys []counter // one per writer
}

// A counter is a key that a writer counts up.
type counter struct{ acked, tried int }

var errPower = errors.New("the power is gone")

// round starts on what the last cut left, checks it, and writes until the next.
func (p *power) round(t *testing.T, dir string) {
	p.log.write(t, dir)
	// The disk draws in the log's goroutine, beside the writers: from its own.
	d := &disk{t: t, dir: dir, rng: rand.New(rand.NewPCG(p.rng.Uint64(), 0)), left: 1 + p.rng.IntN(60)}
	if p.log == nil {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		d.left++
	}
	d.cut = func() { d.rows = p.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: d.rng.IntN(101), RNG: d.rng}) }
	state, err := kv.Open(kv.Options{Dir: "rows", FS: p.fs, CacheBytes: 1 << 20, MemTableBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	o := raft.Options{Dir: dir, Bind: state.Bind, CompactBytes: 6 << 10, MinFree: 1,
		Flush: func() (uint64, error) { i := state.Applied(); return i, state.Flush() }}
	o.Watch(d.save)
	l, err := raft.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := storage.Open(storage.Options{State: state, Log: l, Sealer: clear16{}})
	if err == nil {
		p.check(t, s)
		p.write(s)
		_ = s.Close() // the power is gone: what it says is not of interest
	} else if !errors.Is(err, errPower) {
		t.Fatal(err)
	} else {
		_ = state.Close()
	}
	p.fs, p.log = d.rows, d.after
}

// check wants each counter where it was acknowledged, or one further.
func (p *power) check(t *testing.T, s *storage.Store) {
	t.Helper()
	for i := range p.keys {
		k := &p.keys[i]
		err := s.View(ctx, func(tx *storage.Tx) error {
			rows := tx.In(storage.System)
			b, err := rows.Get(fmt.Sprintf("w%d/n", i))
			if err != nil {
				return err
			}
			n, _ := strconv.Atoi(strings.TrimRight(string(b), ".")) // absent is 0
			if n < k.acked || n > k.tried {
				t.Errorf("writer %d: %d was acknowledged and %d sent, found %d", i, k.acked, k.tried, n)
			}
			if b, err := rows.Get(fmt.Sprintf("w%d/%d", i, n)); err != nil || n > 0 && b == nil {
				t.Errorf("writer %d: half of write %d is there: %v", i, n, err)
			}
			k.acked, k.tried = n, n
			return nil
		})
		if err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	}
}

func (p *power) write(s *storage.Store) {
	var wg sync.WaitGroup
	for i := range p.keys {
		size := p.rng.IntN(900)
		wg.Go(func() {
			k := &p.keys[i]
			for {
				k.tried = k.acked + 1
				_, err := s.Update(ctx, func(tx *storage.Tx) error {
					rows := tx.In(storage.System)
					rows.Put(fmt.Sprintf("w%d/n", i), []byte(strconv.Itoa(k.tried)+strings.Repeat(".", size)))
					rows.Put(fmt.Sprintf("w%d/%d", i, k.tried), []byte("1"))
					rows.Delete(fmt.Sprintf("w%d/%d", i, k.tried-1))
					return nil
				})
				if err != nil {
					return
				}
				k.acked = k.tried
			}
		})
	}
	wg.Wait()
}

// A disk remembers what is durable of a log, and cuts the power in a save.
type disk struct {
	t     *testing.T
	dir   string
	rng   *rand.Rand
	left  int // saves to go
	cut   func()
	rows  *vfs.MemFS
	safe  image
	notes [][]byte
	after image // what the cut leaves
}

func (d *disk) save(done bool) error {
	if d.after != nil {
		return errPower
	}
	now := take(d.t, d.dir)
	if !done || d.left > 0 {
		d.notes = append(d.notes, now[raft.NoteName]) // the one of the save that is cut comes too late
	}
	if !done {
		if d.safe == nil {
			d.safe = now // the log was synced when it was opened
		}
		d.left--
		return nil
	}
	if d.left > 0 {
		d.safe = now
		return nil
	}
	d.cut()
	d.after = d.leaves(now)
	return errPower
}

// leaves is what the disk may hold when the power goes before the save that led
// to now has returned.
func (d *disk) leaves(now image) image {
	img := image{}
	names := func(m image) (all []string) {
		for name := range m {
			if strings.HasSuffix(name, ".wal") {
				all = append(all, name)
			}
		}
		return all
	}
	grown := false // a new file is only made when the one before is synced
	for _, name := range names(now) {
		if d.safe[name] == nil && d.rng.IntN(2) == 0 {
			grown = true
		}
	}
	for _, name := range names(now) {
		switch was := d.safe[name]; {
		case was != nil && !grown:
			img[name] = d.mix(was, now[name])
		case was != nil || grown:
			img[name] = now[name]
		}
	}
	if len(d.notes) > 0 {
		if n := d.notes[d.rng.IntN(len(d.notes))]; n != nil {
			img[raft.NoteName] = n
		}
	}
	return img
}

// mix takes each sector from one of two, and may end the file early.
func (d *disk) mix(was, now []byte) []byte {
	got := bytes.Clone(was)
	copy(got[min(len(got), len(now)):], make([]byte, len(got)))
	if len(now) > len(got) {
		got = append(got, make([]byte, len(now)-len(got))...)
	}
	prefix := d.rng.IntN(2) == 0 // in order up to a sector, or any of them
	stop := d.rng.IntN(len(now)/512 + 1)
	if from := differs(was, now); prefix && from < len(now) {
		stop = (from + d.rng.IntN(4000)) / 512
	}
	for s := 0; s*512 < len(now); s++ {
		if prefix && s < stop || !prefix && d.rng.IntN(2) == 0 {
			copy(got[s*512:min((s+1)*512, len(got))], now[s*512:])
		}
	}
	durable := (len(bytes.TrimRight(was, "\x00")) + 7) &^ 7
	if d.rng.IntN(4) == 0 && durable < len(got) {
		got = got[:durable+d.rng.IntN(min(len(got)-durable, 3000))]
	}
	return got
}

func differs(a, b []byte) int {
	for i := range b {
		if i >= len(a) || a[i] != b[i] {
			return i
		}
	}
	return len(b)
}

// clear16 seals nothing.
type clear16 struct{}

func (clear16) Seal(dst, _, value []byte) ([]byte, error)  { return append(dst, value...), nil }
func (clear16) Open(dst, _, sealed []byte) ([]byte, error) { return append(dst, sealed...), nil }
func (clear16) Sealed() bool                               { return false }
func (clear16) Name(r storage.Range, path string) (n [16]byte, err error) {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", r.NS, r.ID, path))
	copy(n[:], h[:])
	return n, nil
}
