package storage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
)

// memLog is the smallest Log: it applies what is proposed, in order.
type memLog struct {
	mu      sync.Mutex
	index   uint64
	apply   func(uint64, []byte) error
	entries atomic.Int64
	refuse  atomic.Bool
	hold    atomic.Bool // takes entries and keeps them
	held    [][]byte
	fate    *storage.Fate
	term    atomic.Uint64
	machine storage.Machine
	failed  chan struct{}
}

func (l *memLog) Start(applied uint64, m storage.Machine) error {
	l.index, l.apply, l.machine, l.failed, l.fate = applied, m.Apply, m, make(chan struct{}), storage.NewFate()
	l.term.Store(1)
	return nil
}

func (l *memLog) Propose(_ context.Context, term uint64, entry []byte) (*storage.Fate, error) {
	if l.refuse.Load() {
		return nil, storage.ErrFull
	}
	if l.term.Load() != term {
		return nil, storage.ErrNotLeader
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hold.Load() {
		l.held = append(l.held, entry)
		fate := l.fate
		l.fate = storage.NewFate()
		fate.Decide(storage.ErrUnknownOutcome)
		return fate, nil
	}
	l.index++
	l.entries.Add(1)
	return l.fate, l.apply(l.index, entry)
}

func (l *memLog) ReadIndex(context.Context) (uint64, error) { return 0, nil }

func (l *memLog) Full() bool              { return false }
func (l *memLog) Leads() uint64           { return l.term.Load() }
func (l *memLog) Failed() <-chan struct{} { return l.failed }
func (l *memLog) Err() error              { return nil }
func (l *memLog) Close() error            { return nil }

func open(t testing.TB) (*storage.Store, *memLog) {
	t.Helper()
	return openOn(t, kv.NewMemory())
}

func openOn(t testing.TB, state storage.State) (*storage.Store, *memLog) {
	t.Helper()
	b := barrier.New()
	root, ring, err := b.Create()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Unlock(root, ring); err != nil {
		t.Fatal(err)
	}
	c, err := b.NewLeadership(ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Install(); err != nil {
		t.Fatal(err)
	}
	log := &memLog{}
	s, err := storage.Open(storage.Options{State: state, Log: log, Sealer: b})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, log
}

var (
	ctx    = context.Background()
	racing bool // the race detector is on
)

func put(t testing.TB, s *storage.Store, path, value string) {
	t.Helper()
	if _, err := s.Update(ctx, func(tx *storage.Tx) error {
		tx.In(storage.System).Put(path, []byte(value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func list(t testing.TB, s *storage.Store, folder string) (names []string) {
	t.Helper()
	if err := s.View(ctx, func(tx *storage.Tx) error {
		for n, err := range tx.In(storage.System).Children(folder, "") {
			if err != nil {
				return err
			}
			names = append(names, n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

// A folder is there as long as something lies in it, and a name may be a leaf
// and a folder at once.
func TestFoldersComeAndGoWithTheirChildren(t *testing.T) {
	s, _ := open(t)
	put(t, s, "a/b/c", "1")
	put(t, s, "a/b", "2")
	put(t, s, "d", "3")
	if got := list(t, s, ""); !slices.Equal(got, []string{"a/", "d"}) {
		t.Fatalf("top: %q", got)
	}
	if got := list(t, s, "a"); !slices.Equal(got, []string{"b", "b/"}) {
		t.Fatalf("a: %q", got)
	}
	if _, err := s.Update(ctx, func(tx *storage.Tx) error {
		tx.In(storage.System).Delete("a/b/c")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, "a"); !slices.Equal(got, []string{"b"}) {
		t.Fatalf("a after its folder emptied: %q", got)
	}
	if _, err := s.Update(ctx, func(tx *storage.Tx) error {
		tx.In(storage.System).DeletePrefix("a/")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, ""); !slices.Equal(got, []string{"d"}) {
		t.Fatalf("top at the end: %q", got)
	}
}

// What a transaction wrote under Always stays when its function fails; all
// else is gone.
func TestAlwaysSurvivesAFailure(t *testing.T) {
	s, _ := open(t)
	failure := errors.New("refused")
	_, err := s.Update(ctx, func(tx *storage.Tx) error {
		rows := tx.In(storage.System)
		tx.Always(func() { rows.Put("spent", []byte("1")) })
		rows.Put("other", []byte("2"))
		return failure
	})
	if !errors.Is(err, failure) {
		t.Fatalf("got %v", err)
	}
	if got := list(t, s, ""); !slices.Equal(got, []string{"spent"}) {
		t.Fatalf("kept %q", got)
	}
}

// A refused proposal is told to its writer, and the store goes on.
func TestARefusedProposalIsToldAndForgotten(t *testing.T) {
	s, log := open(t)
	put(t, s, "k", "1")
	log.refuse.Store(true)
	_, err := s.Update(ctx, func(tx *storage.Tx) error { tx.In(storage.System).Put("k", []byte("2")); return nil })
	if !errors.Is(err, storage.ErrFull) {
		t.Fatalf("got %v", err)
	}
	log.refuse.Store(false)
	if err := s.View(ctx, func(tx *storage.Tx) error {
		b, err := tx.In(storage.System).Get("k")
		if string(b) != "1" {
			t.Errorf("k is %q after a refused write", b)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "3")
}

// A reader that asks to write is run again as a writer.
func TestAReaderMayTurnOutToWrite(t *testing.T) {
	s, _ := open(t)
	_, err := s.Do(ctx, storage.ReadOnly, func(tx *storage.Tx) error {
		if tx.Mode() == storage.ReadOnly {
			return storage.ErrUpgrade
		}
		tx.In(storage.System).Put("k", []byte("1"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, ""); len(got) != 1 {
		t.Fatalf("wrote %q", got)
	}
}

// Concurrent transfers between accounts keep the sum, whatever they collide
// on, and every reader sees the sum: transactions are serialisable.
func TestTransfersKeepTheSum(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s, log := open(t)
	const accounts, total = 8, 8 * 100
	for i := range accounts {
		put(t, s, fmt.Sprintf("acct/%d", i), "100")
	}
	before := log.entries.Load()
	var wg sync.WaitGroup
	var committed atomic.Int64
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for range 200 {
				from, to, n := r.IntN(accounts), r.IntN(accounts), r.IntN(5)
				_, err := s.Update(ctx, func(tx *storage.Tx) error {
					rows := tx.In(storage.System)
					add := func(i, by int) error {
						k := fmt.Sprintf("acct/%d", i)
						b, err := rows.Get(k)
						if err != nil {
							return err
						}
						v, err := strconv.Atoi(string(b))
						rows.Put(k, []byte(strconv.Itoa(v+by)))
						return err
					}
					return errors.Join(add(from, -n), add(to, n))
				})
				if err != nil {
					t.Error(err)
					return
				}
				committed.Add(1)
				if err := s.View(ctx, func(tx *storage.Tx) error {
					sum := 0
					for i := range accounts {
						b, err := tx.In(storage.System).Get(fmt.Sprintf("acct/%d", i))
						if err != nil {
							return err
						}
						v, _ := strconv.Atoi(string(b))
						sum += v
					}
					if sum != total {
						t.Errorf("a reader saw a sum of %d", sum)
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := log.entries.Load() - before; n > committed.Load() {
		t.Errorf("%d transactions took %d entries of the log", committed.Load(), n)
	}
	t.Logf("%d transactions, %d entries, %d retries", committed.Load(), log.entries.Load()-before, s.Retries())
}

// Two transactions that each read a list and add to it if it is short: one of
// them must see the other.
func TestListsAreReadsToo(t *testing.T) {
	s, _ := open(t)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 20 {
				_, err := s.Update(ctx, func(tx *storage.Tx) error {
					rows := tx.In(storage.System)
					n := 0
					for _, err := range rows.Children("q", "") {
						if err != nil {
							return err
						}
						n++
					}
					if n < 5 {
						rows.Put(fmt.Sprintf("q/%d-%d", w, i), []byte("x"))
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := list(t, s, "q"); len(got) != 5 {
		t.Fatalf("the limit of five held %d: %q", len(got), got)
	}
}

// A derived value follows its range and nothing else.
func TestDerivedFollowsItsRange(t *testing.T) {
	s, _ := open(t)
	builds := 0
	d := storage.Derived[int]{Range: storage.System, Build: func(rows storage.Rows) (int, error) {
		builds++
		n := 0
		for _, err := range rows.Children("", "") {
			if err != nil {
				return 0, err
			}
			n++
		}
		return n, nil
	}}
	get := func() (n int) {
		if err := s.View(ctx, func(tx *storage.Tx) (err error) { n, err = d.Get(tx); return err }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	put(t, s, "a", "1")
	if a, b := get(), get(); a != 1 || b != 1 || builds != 1 {
		t.Fatalf("built %d times for one state", builds)
	}
	put(t, s, "b", "1")
	if n := get(); n != 2 || builds != 2 {
		t.Fatalf("after a change: value %d, built %d times", n, builds)
	}
	latest := func() int {
		n, err := d.Latest(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	put(t, s, "c", "1")
	if a, b := latest(), latest(); a != 3 || b != 3 || builds != 3 {
		t.Fatalf("the latest is %d, then %d, built %d times", a, b, builds)
	}
	if n := testing.AllocsPerRun(100, func() { latest() }); n > 0 && !racing {
		t.Errorf("looking at what did not change makes %.0f allocations", n)
	}
}

// A cached read of a row makes a bounded number of allocations.
func TestReadAllocations(t *testing.T) {
	s, _ := open(t)
	put(t, s, "k", "value")
	read := func() {
		if err := s.View(ctx, func(tx *storage.Tx) error {
			_, err := tx.In(storage.System).Get("k")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if n := testing.AllocsPerRun(200, read); n > 3 && !racing {
		t.Errorf("a cached read makes %.0f allocations, budget 3", n)
	}
}
