package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/test/clients/target"
)

var (
	crashes = flag.Int("crashes", 50, "how often the server is killed")
	seedOf  = flag.Uint64("seed", 0, "the seed of the moments of the kills; 0 draws one")
)

const writers = 8

// TestCrash kills the server with SIGKILL at random moments under concurrent
// writers, starts it again, and finds every write that was acknowledged, and of
// the others all or nothing. The seed repeats the moments, not the scheduling.
func TestCrash(t *testing.T) {
	seed := *seedOf
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d -crashes=%d", seed, *crashes)
	r := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*crashes)*20*time.Second+2*time.Minute)
	defer cancel()
	binary, err := target.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := target.Start(ctx, binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Kill() }()
	must(t, s, mount(ctx, s))

	var sum tally
	var all []write // of every round
	hot := newHot()
	for round := range *crashes {
		after := time.Duration(1+r.IntN(400)) * time.Millisecond
		done := load(ctx, s, round, after, hot)
		must(t, s, s.Run(ctx))
		must(t, s, s.Unseal(ctx))
		for _, w := range done {
			w.check(ctx, t, s)
		}
		for i := range hot {
			hot[i].check(ctx, t, s, &sum)
		}
		listed(ctx, t, s, round)
		if t.Failed() {
			t.Fatalf("in round %d, killed after %v; the server's log:\n%s", round, after, s.Log())
		}
		all = append(all, done...)
	}
	for _, w := range all {
		w.check(ctx, t, s) // no later crash took what an earlier one had left
		sum.add(w)
	}
	t.Logf("%d crashes: %+v", *crashes, sum)
	if sum.V1 == 0 || sum.V2 == 0 || sum.Overwrites == 0 {
		t.Errorf("some kind of write was never acknowledged before a crash, so the test saw nothing of it: %+v", sum)
	}
}

// A tally counts writes: those acknowledged by kind, and those in flight at a
// kill, of which HotKept are overwrites that turned out to be there.
type tally struct{ V1, V2, Overwrites, Unacked, HotKept int }

func (s *tally) add(w write) {
	switch {
	case !w.acked:
		s.Unacked++
	case w.engine == v1:
		s.V1++
	default:
		s.V2++
	}
}

func must(t *testing.T, s *target.Server, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v; the server's log:\n%s", err, s.Log())
	}
}

// load has the writers at work when the server is killed. Each goes round a
// new v2 secret, a new v1 secret and its own v2 secret that it overwrites, and
// ends with the first write that is not acknowledged.
func load(ctx context.Context, s *target.Server, round int, after time.Duration, hot []overwritten) []write {
	var mu sync.Mutex
	var all []write
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := 0; ; n++ {
				if n%3 == 2 {
					if hot[i].put(ctx, s) != nil {
						return
					}
					continue
				}
				w := write{engine: []string{v2, v1}[n%3], path: fmt.Sprintf("%s/%d", folder(round, i), n), n: n}
				err := w.put(ctx, s)
				w.acked = err == nil
				mu.Lock()
				all = append(all, w)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	time.Sleep(after) // the random moment; nothing is asserted about it
	s.Kill()
	wg.Wait()
	return all
}

func folder(round, writer int) string { return fmt.Sprintf("r%d/w%d", round, writer) }

// listed reads every secret that a list names: a name without a secret would
// be half a write.
func listed(ctx context.Context, t *testing.T, s *target.Server, round int) {
	t.Helper()
	for i := range writers {
		for engine, list := range map[string]string{v1: "/v1/v1/", v2: "/v1/v2/metadata/"} {
			var keys struct{ Data struct{ Keys []string } }
			if err := absent(s.Do(ctx, "LIST", list+folder(round, i), nil, &keys)); err != nil {
				t.Errorf("list %s%s: %v", list, folder(round, i), err)
			}
			for _, k := range keys.Data.Keys {
				w := write{engine: engine, path: folder(round, i) + "/" + k}
				if got, err := w.read(ctx, s); got == nil {
					t.Errorf("%s is listed and cannot be read: %v", w.url(), err)
				}
			}
		}
	}
}
