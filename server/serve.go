package server

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/server/listener"
)

// drainTime is how long requests get to finish when the server stops.
const drainTime = 10 * time.Second

// A node is a running server with its listeners.
type node struct {
	command Command
	flags   *flags
	conf    *config.Config
	server  *Server
	logger  *slog.Logger
	logFile *logFile // nil without one
	places  []*place
	failed  chan error // of a listener that cannot go on
}

// A place is one open listener and what it asks of requests.
type place struct {
	conf     config.Listener
	listener *listener.Listener
	edge     *edge
}

// serve opens the listeners, tells the operator, and waits for the end.
func (n *node) serve(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	defer n.drain()
	if err := n.open(); err != nil {
		return err
	}
	leave, err := n.register(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if n.conf.PIDFile != "" {
		if err := os.WriteFile(n.conf.PIDFile, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			return fmt.Errorf("write pid_file: %w", err)
		}
		defer func() { _ = os.Remove(n.conf.PIDFile) }() // it is stale either way
	}
	n.command.banner(n.conf)
	if n.flags.dev {
		if err := n.command.startDev(ctx, n.flags, n.conf, n.server); err != nil {
			return err
		}
	} else if err := n.tellSeal(ctx); err != nil {
		return err
	}
	defer n.server.keepUnsealed(ctx)()
	for {
		select {
		case <-ctx.Done():
			n.logger.Info("shutting down")
			return nil
		case <-hup:
			n.reload()
		case <-n.server.Failed():
			return fmt.Errorf("storage has failed: %w", n.server.Err())
		case err := <-n.failed:
			if err != nil {
				return fmt.Errorf("listener: %w", err)
			}
		}
	}
}

// tellSeal says what a server waits for that has just started.
func (n *node) tellSeal(ctx context.Context) error {
	is, err := n.server.sys.Status(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read the seal's state: %w", err)
	case !is.Initialized:
		n.logger.Info("not initialized: no secret can be kept before \"fastness operator init\"")
	case is.Sealed && n.server.sys.Seals.Auto() && !is.Migration:
		n.logger.Info(fmt.Sprintf("sealed: asking seal %q for the root key", n.server.sys.Seals.Type()))
	case is.Sealed:
		n.logger.Info(fmt.Sprintf("sealed: no request is served before \"fastness operator unseal\" with %d of %d unseal keys", is.Threshold, is.Shares))
	}
	return nil
}

func (n *node) open() error {
	n.failed = make(chan error, len(n.conf.Listeners))
	for _, lc := range n.conf.Listeners {
		l, err := listener.Open(lc, n.logger)
		if err != nil {
			return err
		}
		p := &place{lc, l, n.server.newEdge(l.Client, lc, n.conf)}
		n.places = append(n.places, p)
		go func() { n.failed <- p.listener.Serve(p.edge) }()
	}
	return nil
}

// drain lets the requests under way finish, on all listeners at a time.
func (n *node) drain() {
	n.server.logs.End() // who follows the log would never be drained
	end, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	done := make(chan struct{})
	for _, p := range n.places {
		go func() {
			_ = p.listener.Shutdown(end) // what is not done by then is cut off
			done <- struct{}{}
		}()
	}
	for range n.places {
		<-done
	}
}

// reload takes over what may change while the server runs: certificates, audit
// files, the log's level and file, and headers of listeners. What fails stays
// as it was and is told.
func (n *node) reload() {
	try := func(what string, err error) {
		if err != nil {
			n.logger.Error(what, "error", err)
		}
	}
	for _, p := range n.places {
		try("reload certificates", p.listener.Reload())
	}
	try("reopen audit files", n.server.ReloadAudit())
	if n.logFile != nil {
		try("reopen log_file", n.logFile.Reload())
	}
	if len(n.flags.configs) > 0 {
		conf, _, err := n.flags.load()
		try("reload the configuration", err)
		if err == nil {
			n.adopt(conf)
		}
	}
	n.logger.Info("reloaded certificates, log level, response headers and audit files")
}

// adopt takes over what a listener or the log may change while it is open, and
// says what it leaves.
func (n *node) adopt(conf *config.Config) {
	setLevel(n.server.level, conf.Level())
	left := len(conf.Listeners) != len(n.places)
	for _, p := range n.places {
		i := slices.IndexFunc(conf.Listeners, func(l config.Listener) bool {
			return l.Type == p.conf.Type && l.Address == p.conf.Address
		})
		if i < 0 {
			left = true
			continue
		}
		p.edge.reload(conf.Listeners[i], conf)
	}
	if left {
		n.logger.Warn("listeners are opened and closed by a restart only: they stay as they are")
	}
}
