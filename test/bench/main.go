// Command bench measures what the server costs and prints it as Markdown for
// docs/performance.md.
//
// It starts a bare net/http TLS server that answers 400 bytes, and a freshly
// built Fastness with a file audit device, each in a process of its own, sends
// both the same number of requests over kept connections, and divides the CPU
// that each server used. Multiples of the bare server hold from machine to
// machine better than microseconds do. With -secrets it also fills a store,
// restarts the server and tells how soon it answers and what memory it takes.
// With -leases it makes as many token leases, and tells what they cost.
//
// All loops are bounded by flags; it talks to 127.0.0.1 only.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"time"

	"github.com/fastness-dev/fastness/test/clients/target"
)

type options struct {
	requests int
	clients  int
	secrets  int
	leases   int
	limit    time.Duration
}

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 && os.Args[1] == bareCommand {
		log.Fatal(serveBare(os.Args[2:]))
	}
	var o options
	flag.IntVar(&o.requests, "requests", 20000, "requests per row of the table")
	flag.IntVar(&o.clients, "clients", 8, "requests in flight at a time")
	flag.IntVar(&o.secrets, "secrets", 0, "secrets on disk for the start test; 0 leaves it out")
	flag.IntVar(&o.leases, "leases", 0, "token leases to make, start over and let end, instead of the rest; 0 leaves it out")
	flag.DurationVar(&o.limit, "limit", 30*time.Minute, "end after this time, whatever is left to do")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	if err := run(ctx, o, os.Stdout); err != nil {
		log.Fatalf("bench: %v", err)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "fastness-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.leases > 0 {
		return leases(ctx, o, out)
	}
	log.Print("building the server")
	binary, err := target.Build(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, %s/%s, %d cores, %d requests per row, %d in flight\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.requests, o.clients)
	if err := compare(ctx, o, binary, out); err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	if o.secrets > 0 {
		if err := restart(ctx, o, binary, out); err != nil {
			return fmt.Errorf("restart: %w", err)
		}
	}
	return nil
}
