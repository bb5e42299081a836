package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// What one mount has to reach is dead: its jobs take their share of hands and no
// more, also when far more of them are due than are looked at, and all jobs of
// the others are done meanwhile.
func TestADeadMountHoldsUpNobody(t *testing.T) {
	store := newStore(t)
	var mu sync.Mutex
	stuck, most, done := 0, 0, 0
	others, release := make(chan struct{}), make(chan struct{})
	r := &schedule.Runner{Store: store, Workers: 8, PerMount: 2, Now: clockAt(start), Handlers: map[string]schedule.Handler{
		"note": func(_ *storage.Tx, j schedule.Job) error {
			mu.Lock()
			if j.Mount == "live" {
				if done++; done == 200 {
					close(others)
				}
				mu.Unlock()
				return nil
			}
			stuck++
			most = max(most, stuck)
			mu.Unlock()
			<-release
			mu.Lock()
			stuck--
			mu.Unlock()
			return nil
		},
	}}
	_, err := store.Update(context.Background(), func(tx *storage.Tx) error {
		for i := range 600 { // all before any of the others
			schedule.At(tx, start.Add(-2), schedule.Job{Kind: "note", Mount: "dead", ID: fmt.Sprint(i)})
		}
		for i := range 200 {
			schedule.At(tx, start, schedule.Job{Kind: "note", Mount: "live", ID: fmt.Sprint(i)})
		}
		return nil
	})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	<-others
	mu.Lock()
	if most > 2 {
		t.Errorf("%d jobs of the dead mount at a time, want 2", most)
	}
	mu.Unlock()
	close(release)
	stop()
	running.Wait()
}

// A job that is given up is not tried again, and what is done instead commits
// with that.
func TestAJobIsGivenUp(t *testing.T) {
	d := newDiary(t, func(*storage.Tx, schedule.Job) error { return errors.New("no route to host") })
	var given []string
	d.r.GiveUp = map[string]func(*storage.Tx, schedule.Job, error) (bool, error){
		"note": func(tx *storage.Tx, j schedule.Job, cause error) (bool, error) {
			if j.Attempts < 3 {
				return true, nil
			}
			given = append(given, fmt.Sprint(j.ID, " ", j.Attempts, " ", cause))
			return false, nil
		},
	}
	_, err := d.store.Update(context.Background(), func(tx *storage.Tx) error {
		schedule.At(tx, start, schedule.Job{Kind: "note", ID: "a"})
		return nil
	})
	must(t, err)
	for i := range 20 {
		if _, err := d.r.RunDue(context.Background(), start.Add(time.Duration(i+1)*maxWait)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := fmt.Sprint(d.ran, given), "[a#0 a#1 a#2] [a 3 no route to host]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// maxWait is longer than any job is put off for.
const maxWait = 24 * time.Hour

func clockAt(t time.Time) func() time.Time { return func() time.Time { return t } }
