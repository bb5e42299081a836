package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/test/clients/target"
)

var crashes = flag.Int("crashes", 5, "how often the server is killed")

// A write is one attempt of a writer: version n of its own secret.
type write struct {
	path  string
	n     int
	acked bool
}

// TestCrash kills the server with SIGKILL at random moments under concurrent
// writers, starts it again, and finds every write that was acknowledged, and of
// the others all or nothing.
func TestCrash(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d, %d crashes", seed, *crashes)
	r := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*crashes)*10*time.Second+time.Minute)
	defer cancel()
	binary, err := target.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := target.Start(ctx, binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	must(t, s, s.Do(ctx, http.MethodPost, "/v1/sys/mounts/v2", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}, nil))
	total := 0
	for round := range *crashes {
		done := load(ctx, s, round, time.Duration(1+r.IntN(400))*time.Millisecond)
		must(t, s, s.Run(ctx))
		must(t, s, s.Unseal(ctx))
		for _, w := range done {
			check(ctx, t, s, w)
			if w.acked {
				total++
			}
		}
		listed(ctx, t, s, round)
		if t.Failed() {
			t.Fatalf("in round %d; the server's log:\n%s", round, s.Log())
		}
	}
	t.Logf("%d acknowledged writes survived %d crashes", total, *crashes)
	if total == 0 {
		t.Error("no write was acknowledged before any crash: the test saw nothing")
	}
}

func must(t *testing.T, s *target.Server, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v; the server's log:\n%s", err, s.Log())
	}
}

// load has eight writers at work when the server is killed.
func load(ctx context.Context, s *target.Server, round int, after time.Duration) []write {
	var mu sync.Mutex
	var all []write
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				path := fmt.Sprintf("/v1/v2/data/r%d/w%d/%d", round, w, n)
				err := s.Do(ctx, http.MethodPost, path, map[string]any{"data": map[string]any{"n": n, "twice": 2 * n}}, nil)
				mu.Lock()
				all = append(all, write{path, n, err == nil})
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	time.Sleep(after) // the random moment
	s.Kill()
	wg.Wait()
	return all
}

type secret struct {
	Data struct {
		Data     struct{ N, Twice int }
		Metadata struct{ Version int }
	}
}

// check reads a write back: it must be there if it was acknowledged, and whole
// if it is there.
func check(ctx context.Context, t *testing.T, s *target.Server, w write) {
	t.Helper()
	var got secret
	err := s.Do(ctx, http.MethodGet, w.path, nil, &got)
	switch {
	case err != nil && w.acked:
		t.Errorf("%s was acknowledged and is lost: %v", w.path, err)
	case err != nil && !strings.Contains(err.Error(), "404"):
		t.Errorf("%s: %v, want it whole or not there", w.path, err)
	case err == nil && (got.Data.Data.N != w.n || got.Data.Data.Twice != 2*w.n || got.Data.Metadata.Version != 1):
		t.Errorf("%s is there by halves: %+v", w.path, got)
	}
}

// listed reads every secret that a list names: a name without a secret would
// be half a write.
func listed(ctx context.Context, t *testing.T, s *target.Server, round int) {
	t.Helper()
	for w := range 8 {
		var keys struct{ Data struct{ Keys []string } }
		folder := fmt.Sprintf("r%d/w%d", round, w)
		if err := s.Do(ctx, "LIST", "/v1/v2/metadata/"+folder, nil, &keys); err != nil {
			if !strings.Contains(err.Error(), "404") {
				t.Errorf("list %s: %v", folder, err)
			}
			continue
		}
		for _, k := range keys.Data.Keys {
			if err := s.Do(ctx, http.MethodGet, "/v1/v2/data/"+folder+"/"+k, nil, nil); err != nil {
				t.Errorf("%s/%s is listed and cannot be read: %v", folder, k, err)
			}
		}
	}
}
