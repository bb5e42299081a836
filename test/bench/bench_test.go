package main

import (
	"context"
	"net/http"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == bareCommand {
		_ = serveBare(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

func TestStatOfANameWithBrackets(t *testing.T) {
	got, err := parseStat([]byte("7 (a) b 1 (c)) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 8 0 1"))
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 * time.Second; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	for _, bad := range []string{"", "7 x S", "7 (x) S 1", "7 (x) S 1 7 7 0 -1 4194560 1 0 0 0 x 50 0"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestTheBareServerIsMeasured(t *testing.T) {
	s, err := startBare(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	l := s.load("", func(int) request { return request{http.MethodGet, "/", ""} })
	got, err := measure(t.Context(), options{requests: 200, clients: 4}, l)
	if err != nil {
		t.Fatal(err)
	}
	if got.rate <= 0 {
		t.Fatalf("rate is %v", got.rate)
	}
}

func TestDriveStopsAtTheFirstRefusal(t *testing.T) {
	s, err := startBare(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	l := s.load("", func(int) request { return request{http.MethodGet, "/", ""} })
	if err := l.drive(context.Background(), 4, 1000); err == nil {
		t.Fatal("a server that is gone answered")
	}
}
