package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/kv"
)

// memoryLog applies what is proposed at once.
type memoryLog struct {
	mu    sync.Mutex
	index uint64
	apply func(uint64, []byte) error
	fail  chan struct{}
}

func (l *memoryLog) Start(applied uint64, m storage.Machine) error {
	l.index, l.apply, l.fail = applied, m.Apply, make(chan struct{})
	return nil
}

func (l *memoryLog) Propose(_ context.Context, _ uint64, entry []byte) (*storage.Fate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index++
	return storage.NewFate(), l.apply(l.index, entry)
}

func (l *memoryLog) ReadIndex(context.Context) (uint64, error) { return 0, nil }

func (l *memoryLog) Leads() uint64           { return 1 }
func (l *memoryLog) Full() bool              { return false }
func (l *memoryLog) Failed() <-chan struct{} { return l.fail }
func (l *memoryLog) Err() error              { return nil }
func (l *memoryLog) Close() error            { return nil }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStore(t testing.TB) *storage.Store {
	t.Helper()
	b := barrier.New()
	root, ring, err := b.Create()
	must(t, err)
	must(t, b.Unlock(root, ring))
	change, err := b.NewLeadership(ring)
	must(t, err)
	must(t, change.Install())
	s, err := storage.Open(storage.Options{State: kv.NewMemory(), Log: &memoryLog{}, Sealer: b})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// A diary notes which jobs ran.
type diary struct {
	t     *testing.T
	store *storage.Store
	ran   []string
	r     *schedule.Runner
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newDiary(t *testing.T, f schedule.Handler) *diary {
	d := &diary{t: t, store: newStore(t)}
	d.r = &schedule.Runner{Store: d.store, Handlers: map[string]schedule.Handler{
		"note": func(tx *storage.Tx, j schedule.Job) error {
			d.ran = append(d.ran, fmt.Sprintf("%s%s#%d", j.Mount, j.ID, j.Attempts))
			if f == nil {
				return nil
			}
			return f(tx, j)
		},
	}}
	return d
}

func (d *diary) update(f func(tx *storage.Tx)) {
	d.t.Helper()
	_, err := d.store.Update(d.t.Context(), func(tx *storage.Tx) error { f(tx); return nil })
	must(d.t, err)
}

// at runs what is due and tells it.
func (d *diary) at(seconds float64, want ...string) {
	d.t.Helper()
	d.ran = nil
	n, err := d.r.RunDue(d.t.Context(), start.Add(time.Duration(seconds*float64(time.Second))))
	must(d.t, err)
	if n != len(d.ran) || !slices.Equal(d.ran, want) {
		d.t.Fatalf("at %gs %d jobs ran: %v, want %v", seconds, n, d.ran, want)
	}
}

func in(tx *storage.Tx, seconds int, mount, id string) {
	schedule.At(tx, start.Add(time.Duration(seconds)*time.Second), schedule.Job{Kind: "note", Mount: mount, ID: id})
}

func TestJobsRunInOrderWhenTheyAreDue(t *testing.T) {
	d := newDiary(t, nil)
	d.update(func(tx *storage.Tx) {
		in(tx, 30, "", "third")
		in(tx, 10, "", "first")
		in(tx, 20, "", "second")
		in(tx, 20, "m/", "second") // of a mount: another job
		in(tx, 15, "", "cancelled")
		in(tx, 10, "", "moved")
	})
	d.update(func(tx *storage.Tx) {
		schedule.Cancel(tx, "note", "cancelled")
		schedule.Cancel(tx, "note", "never there")
		in(tx, 40, "", "moved")
	})
	d.at(9.999)
	d.at(10, "first#0")
	d.update(func(tx *storage.Tx) { schedule.Job{Kind: "note", Mount: "m/", ID: "second"}.Cancel(tx) })
	d.at(30, "second#0", "third#0")
	d.at(39)
	must(t, d.store.View(t.Context(), func(tx *storage.Tx) error {
		when, err := schedule.When(tx, schedule.Job{Kind: "note", ID: "moved"})
		if !when.Equal(start.Add(40 * time.Second)) {
			t.Errorf("moved is due at %s", when)
		}
		return err
	}))
	d.at(1000, "moved#0")
	d.at(1000)
}

func TestSchedulingIsPartOfTheTransaction(t *testing.T) {
	d := newDiary(t, nil)
	broken := errors.New("broken")
	if _, err := d.store.Update(t.Context(), func(tx *storage.Tx) error { in(tx, 1, "", "x"); return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	d.at(10)
	err := d.store.View(t.Context(), func(tx *storage.Tx) error { in(tx, 1, "", "x"); return nil })
	if err != nil && !errors.Is(err, storage.ErrReadOnly) {
		t.Fatal(err)
	}
	d.at(10)
}

func TestAFailedJobIsTriedLaterAndLeavesNothing(t *testing.T) {
	broken := errors.New("broken")
	d := newDiary(t, func(tx *storage.Tx, j schedule.Job) error {
		tx.In(storage.System).Put("done", []byte{byte(j.Attempts)})
		if j.Attempts < 3 {
			return broken
		}
		return nil
	})
	done := func() (v []byte) {
		must(t, d.store.View(t.Context(), func(tx *storage.Tx) (err error) { v, err = tx.In(storage.System).Get("done"); return err }))
		return v
	}
	d.update(func(tx *storage.Tx) { in(tx, 0, "", "x") })
	d.at(0, "x#0")
	d.at(0.5)
	d.at(1, "x#1")
	d.at(2.9)
	if done() != nil {
		t.Error("a failed job left a write")
	}
	d.at(3, "x#2")
	d.at(7, "x#3")
	if got := done(); len(got) != 1 || got[0] != 3 {
		t.Errorf("the job that succeeded wrote %v", got)
	}
	d.at(1e6)
}

func TestAnUnknownKindWaitsForAProgramThatKnowsIt(t *testing.T) {
	d := newDiary(t, nil)
	d.update(func(tx *storage.Tx) { schedule.At(tx, start, schedule.Job{Kind: "later", ID: "x"}) })
	if n, err := d.r.RunDue(t.Context(), start); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	d.r.Handlers["later"] = d.r.Handlers["note"]
	d.at(1, "x#1")
}

func TestAJobMayScheduleItselfAndOthers(t *testing.T) {
	ticks := 0
	d := newDiary(t, func(tx *storage.Tx, j schedule.Job) error {
		if ticks++; j.ID == "tick" {
			in(tx, 60*ticks, "", "tick")
			in(tx, 0, "", "beside")
		}
		return nil
	})
	d.update(func(tx *storage.Tx) { in(tx, 0, "", "tick") })
	d.at(0, "tick#0", "beside#0")
	d.at(59)
	d.at(60, "tick#0", "beside#0")
}

func TestManyJobsAreReadInPages(t *testing.T) {
	d := newDiary(t, nil)
	var want []string
	d.update(func(tx *storage.Tx) {
		for i := range 600 {
			in(tx, i, "", fmt.Sprint(i))
			want = append(want, fmt.Sprintf("%d#0", i))
		}
	})
	d.at(600, want...)
}

func TestNamesAreNotInOrderedKeys(t *testing.T) {
	d := newDiary(t, nil)
	d.update(func(tx *storage.Tx) { in(tx, 0, "", "payroll") })
	must(t, d.store.View(t.Context(), func(tx *storage.Tx) error {
		for row, err := range tx.In(storage.Due).Scan("", "") {
			must(t, err)
			if strings.Contains(string(row.Key), "payroll") {
				t.Errorf("key %q shows the job's id", row.Key)
			}
		}
		return nil
	}))
}

// The runner waits for the index to change; there is no clock to wait for.
func TestRunWakesForWhatIsScheduledLater(t *testing.T) {
	d := newDiary(t, nil)
	ran := make(chan string)
	d.r.Now = func() time.Time { return start }
	d.r.Handlers["tell"] = func(_ *storage.Tx, j schedule.Job) error { ran <- j.ID; return nil }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.r.Run(ctx); close(ended) }()
	for i := range 3 {
		id := fmt.Sprint(i)
		d.update(func(tx *storage.Tx) { schedule.At(tx, start, schedule.Job{Kind: "tell", ID: id}) })
		if got := <-ran; got != id {
			t.Errorf("ran %s, want %s", got, id)
		}
	}
	stop()
	<-ended
}
