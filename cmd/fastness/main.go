// Command fastness is the server and the command line in one binary.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/fastness-dev/fastness/catalog"
	"github.com/fastness-dev/fastness/cli"
	"github.com/fastness-dev/fastness/server"
	"github.com/fastness-dev/fastness/server/config"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Main(cli.Env{
		Context: ctx,
		Args:    os.Args,
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Getenv:  os.Getenv,
		TrySeal: func(ctx context.Context, stanzas []config.Seal, at int) error {
			return server.TrySeal(ctx, stanzas, at, catalog.Seals(), os.Getenv)
		},
		Server: func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
			return server.Run(ctx, server.Command{Args: args, Stdout: stdout, Stderr: stderr, Engines: catalog.Engines(), Seals: catalog.Seals(), Getenv: os.Getenv})
		},
	})
}
