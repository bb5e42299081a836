package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/version"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/server/listener"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// A Command is the command line of `server`.
type Command struct {
	Args    []string
	Stdout  io.Writer
	Stderr  io.Writer
	Getenv  func(string) string
	Engines []engine.Type
	Clock   func() time.Time // nil is time.Now
}

type flags struct {
	configs    []string
	dev        bool
	devTLS     bool
	devTLSDir  string
	devTLSSANs []string
	devRoot    string
	devAddress string
	devNoStore bool
	devNoKV    bool
	logLevel   string
	logFormat  string
}

func (c Command) parse() (*flags, error) {
	f := &flags{}
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(c.Stderr)
	list := func(to *[]string) func(string) error {
		return func(s string) error { *to = append(*to, s); return nil }
	}
	fs.Func("config", "configuration `file` or directory; may be repeated", list(&f.configs))
	fs.BoolVar(&f.dev, "dev", false, "run in memory, unsealed, for trying things out")
	fs.BoolVar(&f.devTLS, "dev-tls", false, "as -dev, over TLS with a certificate made for it")
	fs.StringVar(&f.devTLSDir, "dev-tls-cert-dir", "", "`directory` for the certificate of -dev-tls")
	fs.Func("dev-tls-san", "another `name` for the certificate of -dev-tls; may be repeated", list(&f.devTLSSANs))
	fs.StringVar(&f.devRoot, "dev-root-token-id", c.Getenv("VAULT_DEV_ROOT_TOKEN_ID"), "root `token` of -dev")
	fs.StringVar(&f.devAddress, "dev-listen-address", c.Getenv("VAULT_DEV_LISTEN_ADDRESS"), "`address` of -dev, 127.0.0.1:8200 if not set")
	fs.BoolVar(&f.devNoStore, "dev-no-store-token", false, "do not keep the root token in the token helper's file")
	fs.BoolVar(&f.devNoKV, "dev-no-kv", false, "do not mount a KV engine at secret/")
	fs.StringVar(&f.logLevel, "log-level", "", "trace, debug, info, warn or error")
	fs.StringVar(&f.logFormat, "log-format", "", "standard or json")
	if err := fs.Parse(c.Args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("server takes no arguments, only flags: %q", fs.Arg(0))
	}
	f.dev = f.dev || f.devTLS
	if !f.dev && len(f.configs) == 0 {
		return nil, errors.New("must specify at least one config path using -config, or -dev")
	}
	return f, nil
}

// Run runs the server until ctx ends, and gives the exit code.
func Run(ctx context.Context, c Command) int {
	f, err := c.parse()
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = c.run(ctx, f)
	}
	if err != nil {
		fmt.Fprintf(c.Stderr, "error: %v\n", err)
		return 1
	}
	return 0
}

func (c Command) run(ctx context.Context, f *flags) error {
	defer keepHeapFloor()()
	conf, err := c.config(f)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	setLevel(level, first(f.logLevel, conf.Level()))
	tap := NewLogTap()
	logger := slog.New(tap.Over(newHandler(c.Stderr, first(f.logFormat, conf.LogFormat), level)))
	state, log, err := openStorage(conf, logger)
	if err != nil {
		return err
	}
	standard, ceiling := conf.LeaseTTLs()
	build := version.Get()
	o := Options{State: state, Log: log, Engines: c.Engines, Clock: c.Clock, Logger: logger, LogLevel: level, LogTap: tap, Settings: sys.Settings{
		Version: version.APIVersion, FastnessVersion: build.Version, BuildDate: build.Date, StorageType: conf.Storage.Type,
		ClusterName: conf.ClusterName, APIAddr: first(conf.APIAddr, conf.ListenerURL()), ClusterAddr: conf.ClusterAddr,
		RawEnabled: conf.RawStorageEndpoint, DefaultTTL: standard, MaxTTL: ceiling,
		Sanitized: conf.Sanitized(), UnauthRekey: !sharesNeedToken(conf),
	}}
	if f.dev {
		o.Settings.RootToken = f.devRoot
		o.Seed = seedDev(f)
	}
	s, err := New(o)
	if err != nil {
		return err
	}
	defer func() {
		if err := s.Close(); err != nil {
			logger.Error("close storage", "error", err)
		}
	}()
	return c.serve(ctx, f, conf, s, logger)
}

// serve opens the listeners, tells the operator, and waits for the end.
func (c Command) serve(ctx context.Context, f *flags, conf *config.Config, s *Server, logger *slog.Logger) error {
	var listeners []*listener.Listener
	defer func() {
		s.logs.End() // who follows the log would never be drained
		for _, l := range listeners {
			end, cancel := context.WithTimeout(context.Background(), drainTime)
			_ = l.Shutdown(end) // what is not done by then is cut off
			cancel()
		}
	}()
	failed := make(chan error, len(conf.Listeners))
	for _, lc := range conf.Listeners {
		l, err := listener.Open(lc, logger)
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
		h := s.edge(lc, s.at(l, conf.Limits(lc)))
		go func() { failed <- l.Serve(h) }()
	}
	if conf.PIDFile != "" {
		if err := os.WriteFile(conf.PIDFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
			return fmt.Errorf("write pid_file: %w", err)
		}
		defer func() { _ = os.Remove(conf.PIDFile) }() // it is stale either way
	}
	c.banner(conf)
	if f.dev {
		if err := c.startDev(ctx, f, conf, s); err != nil {
			return err
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			logger.Info("shutting down")
			return nil
		case <-hup:
			c.reload(f, s, listeners, logger)
		case <-s.Failed():
			return fmt.Errorf("storage has failed: %w", s.Err())
		case err := <-failed:
			if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("listener: %w", err)
			}
		}
	}
}

// drainTime is how long requests get to finish when the server stops.
const drainTime = 10 * time.Second

// reload takes over what may change while the server runs.
func (c Command) reload(f *flags, s *Server, listeners []*listener.Listener, logger *slog.Logger) {
	for _, l := range listeners {
		if err := l.Reload(); err != nil {
			logger.Error("reload certificates", "error", err)
		}
	}
	if err := s.ReloadAudit(); err != nil {
		logger.Error("reopen audit files", "error", err)
	}
	if len(f.configs) > 0 {
		conf, _, err := config.Load(f.configs...)
		if err != nil {
			logger.Error("reload the configuration", "error", err)
		} else {
			setLevel(s.level, first(f.logLevel, conf.Level()))
		}
	}
	logger.Info("reloaded certificates, log level and audit files")
}

func (c Command) config(f *flags) (*config.Config, error) {
	if !f.dev {
		conf, warnings, err := config.Load(f.configs...)
		if err != nil {
			return nil, err
		}
		for _, w := range warnings {
			fmt.Fprintf(c.Stderr, "warning: %v\n", w)
		}
		return conf, nil
	}
	o := config.DevOptions{Address: f.devAddress}
	if f.devTLS {
		if f.devTLSDir == "" {
			dir, err := os.MkdirTemp("", "vault-tls")
			if err != nil {
				return nil, err
			}
			f.devTLSDir = dir
		}
		hosts := append([]string{"localhost", "127.0.0.1", "::1"}, f.devTLSSANs...)
		var err error
		if _, o.CertFile, o.KeyFile, err = listener.SelfSigned(f.devTLSDir, hosts); err != nil {
			return nil, err
		}
	}
	return config.DevConfig(o), nil
}

func openStorage(conf *config.Config, logger *slog.Logger) (storage.State, storage.Log, error) {
	if conf.Storage.Type == "inmem" {
		return kv.NewMemory(), raft.NewMemory(), nil
	}
	state, err := kv.Open(kv.Options{Dir: filepath.Join(conf.Storage.Path, "state"), Logger: logger})
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", conf.Storage.Path, err)
	}
	log, err := raft.Open(raft.Options{Dir: filepath.Join(conf.Storage.Path, "log"), NodeID: conf.Storage.NodeID, Logger: logger,
		Flush: func() (uint64, error) { i := state.Applied(); return i, state.Flush() }})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the log in %s: %w", conf.Storage.Path, err), state.Close())
	}
	return state, log, nil
}

// sharesNeedToken says whether a listener asks that rekey and generate-root need
// a token. Routes are the same on all listeners, so one that asks decides.
func sharesNeedToken(conf *config.Config) bool {
	return slices.ContainsFunc(conf.Listeners, func(l config.Listener) bool { return l.DisableUnauthedRekey || l.DisableUnauthedGenRoot })
}

// at is the handler behind one listener.
func (s *Server) at(l *listener.Listener, limits config.Limits) http.Handler {
	api := s.Handler(wire.Limits{MaxBody: limits.RequestSize, MaxDepth: int(limits.JSONDepth), MaxString: int(limits.JSONString),
		MaxFields: int(limits.JSONObject), MaxItems: int(limits.JSONArray), MaxToken: int(limits.TokenHeader)})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr, err := l.ClientAddr(r)
		if err != nil {
			wire.Fail(w, nil, engine.Bad("%s", err))
			return
		}
		r.RemoteAddr = addr
		if limits.RequestDuration > 0 && r.URL.Path != "/v1/sys/monitor" { // which lasts as long as somebody looks
			ctx, cancel := context.WithTimeout(r.Context(), limits.RequestDuration)
			defer cancel()
			r = r.WithContext(ctx)
		}
		api.ServeHTTP(w, r)
	})
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
