package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// restart fills a store with o.secrets secrets, stops the server, and tells how
// long it takes from the start of the process to the first secret read, with
// what memory. The unseal key is given as soon as the server listens.
func restart(ctx context.Context, o options, binary string, out io.Writer) error {
	dir, err := os.MkdirTemp("", "fastness-bench-restart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := prepared(ctx, o, binary, filepath.Join(dir, "fastness"))
	if err != nil {
		return err
	}
	log.Printf("writing %d secrets", o.secrets)
	began := time.Now()
	if err := fill(ctx, s, max(o.clients, 64), o.secrets); err != nil {
		s.Kill()
		return err
	}
	filled := time.Since(began)
	full, err := residentMiB(s.PID())
	if err != nil {
		s.Kill()
		return err
	}
	stopping, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := s.Stop(stopping); err != nil {
		return err
	}

	log.Print("starting again")
	began = time.Now()
	if err := s.Run(ctx); err != nil {
		return err
	}
	defer s.Kill()
	listens := time.Since(began)
	if err := s.Unseal(ctx); err != nil {
		return err
	}
	last := fmt.Sprintf("/v1/bench/data/s%d", o.secrets-1)
	if err := s.Do(ctx, http.MethodGet, last, nil, nil); err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	answers := time.Since(began)
	memory, err := residentMiB(s.PID())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n| %d secrets on disk | measured | budget |\n|---|---:|---:|\n", o.secrets)
	fmt.Fprintf(out, "| written through the API, per second | %.0f | |\n", float64(o.secrets)/filled.Seconds())
	fmt.Fprintf(out, "| resident memory after writing, MiB | %.0f | |\n", full)
	fmt.Fprintf(out, "| start to listening, s | %.2f | |\n", listens.Seconds())
	fmt.Fprintf(out, "| start, unseal, first read, s | %.2f | 2 |\n", answers.Seconds())
	fmt.Fprintf(out, "| resident memory after the start, MiB | %.0f | 400 |\n", memory)
	return nil
}
