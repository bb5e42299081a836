package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/version"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/server/listener"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/sys"
)

// A Command is the command line of `server`.
type Command struct {
	Args    []string
	Stdout  io.Writer
	Stderr  io.Writer
	Getenv  func(string) string
	Engines []engine.Type
	Seals   []seal.Kind      // that open by themselves
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
	log        []override
}

// An override is a flag that wins over the same key of the configuration.
type override struct {
	key, value string
}

// bind declares the flags; of some, the environment has the default.
func (f *flags) bind(fs *flag.FlagSet, getenv func(string) string) {
	list := func(to *[]string) func(string) error {
		return func(s string) error { *to = append(*to, s); return nil }
	}
	fs.Func("config", "configuration `file` or directory; may be repeated", list(&f.configs))
	fs.BoolVar(&f.dev, "dev", false, "run in memory, unsealed, for trying things out")
	fs.BoolVar(&f.devTLS, "dev-tls", false, "as -dev, over TLS with a certificate made for it")
	fs.StringVar(&f.devTLSDir, "dev-tls-cert-dir", "", "`directory` for the certificate of -dev-tls")
	fs.Func("dev-tls-san", "another `name` for the certificate of -dev-tls; may be repeated", list(&f.devTLSSANs))
	fs.StringVar(&f.devRoot, "dev-root-token-id", getenv("VAULT_DEV_ROOT_TOKEN_ID"), "root `token` of -dev")
	fs.StringVar(&f.devAddress, "dev-listen-address", getenv("VAULT_DEV_LISTEN_ADDRESS"), "`address` of -dev, 127.0.0.1:8200 if not set")
	fs.BoolVar(&f.devNoStore, "dev-no-store-token", false, "do not keep the root token in the token helper's file")
	fs.BoolVar(&f.devNoKV, "dev-no-kv", false, "do not mount a KV engine at secret/")
	for name, usage := range map[string]string{
		"log-level": "`level` of the log: trace, debug, info, warn or error", "log-format": "`form` of the log: standard or json",
		"log-file": "log to this `file` too", "log-rotate-bytes": "put the log file aside at this `size`",
		"log-rotate-duration": "put the log file aside at this `age`; 24h if not set", "log-rotate-max-files": "`number` of log files to keep: 0 is all, -1 none",
	} {
		key := strings.ReplaceAll(name, "-", "_")
		fs.Func(name, usage, func(v string) error { f.log = append(f.log, override{key, v}); return nil })
	}
}

func (c Command) parse() (*flags, error) {
	f := &flags{}
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // Run tells the error, once
	fs.Usage = func() {}
	f.bind(fs, c.Getenv)
	err := fs.Parse(c.Args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(c.Stdout, "Usage: fastness server [options]\n\nStarts a server, with -config or to try it out with -dev.\n\n")
		fs.SetOutput(c.Stdout)
		fs.PrintDefaults()
	}
	if err != nil {
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
	setLevel(level, conf.Level())
	sinks := []io.Writer{c.Stderr}
	var file *logFile
	if conf.LogFile != "" {
		if file, err = openLogFile(conf, time.Now); err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // nothing is logged after it
		sinks = append(sinks, file)
	}
	tap := NewLogTap()
	logger := slog.New(tap.Over(newHandler(conf.LogFormat, level, sinks...)))
	seals, err := OpenSeals(conf.Seals, c.Seals, c.Getenv, logger)
	if err != nil {
		return err
	}
	state, log, err := openStorage(conf, logger)
	if err != nil {
		return errors.Join(err, seals.Close())
	}
	o := Options{State: state, Log: log, Engines: c.Engines, Clock: c.Clock, Logger: logger, LogLevel: level, LogTap: tap,
		Settings: settings(conf), Seals: seals, Telemetry: conf.Telemetry}
	if conf.Storage.Type != "inmem" {
		o.Staging = filepath.Join(conf.Storage.Path, "staging")
	} else if o.Staging, err = os.MkdirTemp("", "fastness-staging"); err != nil {
		return fmt.Errorf("make a directory for snapshots to restore: %w", err)
	} else {
		defer func() { _ = os.RemoveAll(o.Staging) }() // it is empty, or of no use
	}
	if f.dev {
		o.Settings.RootToken = f.devRoot
		o.Seed = seedDev(f)
	}
	o.Lockouts = lockouts(conf, c.Getenv)
	s, err := New(o)
	if err != nil {
		return err
	}
	if l, ok := log.(*raft.Log); ok {
		s.sys.Settings.NodeID = l.Status().NodeID // drawn by the log where the configuration is silent
	}
	defer func() {
		if err := s.Close(); err != nil {
			logger.Error("close storage", "error", err)
		}
	}()
	n := &node{command: c, flags: f, conf: conf, server: s, logger: logger, logFile: file}
	return n.serve(ctx)
}

// settings are what the configuration says to sys.
func settings(conf *config.Config) sys.Settings {
	standard, ceiling := conf.LeaseTTLs()
	build := version.Get()
	return sys.Settings{
		Version: version.APIVersion, FastnessVersion: build.Version, BuildDate: build.Date, StorageType: conf.Storage.Type,
		ClusterName: conf.ClusterName, APIAddr: first(conf.APIAddr, conf.ListenerURL()), ClusterAddr: conf.ClusterAddr,
		RawEnabled: conf.RawStorageEndpoint, DefaultTTL: standard, MaxTTL: ceiling, LogLevel: conf.Level(),
		Sanitized: conf.Sanitized(), UnauthRekey: !sharesNeedToken(conf), AuditPrefixes: conf.AllowAuditLogPrefixing,
		NoPrometheus: conf.Telemetry.PrometheusRetention < 0,
	}
}

func (c Command) config(f *flags) (*config.Config, error) {
	if !f.dev {
		conf, warnings, err := f.load()
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
	conf := config.DevConfig(o)
	return conf, f.override(conf)
}

// load reads the configuration anew, with what flags say on top.
func (f *flags) load() (*config.Config, config.Warnings, error) {
	conf, warnings, err := config.Load(f.configs...)
	if err != nil {
		return nil, nil, err
	}
	return conf, warnings, f.override(conf)
}

func (f *flags) override(conf *config.Config) error {
	for _, o := range f.log {
		if err := conf.Set(o.key, o.value); err != nil {
			return fmt.Errorf("flag -%s: %w", strings.ReplaceAll(o.key, "_", "-"), err)
		}
	}
	return nil
}

func openStorage(conf *config.Config, logger *slog.Logger) (storage.State, storage.Log, error) {
	if conf.Storage.Type == "inmem" {
		return kv.NewMemory(), raft.NewMemory(), nil
	}
	if err := os.MkdirAll(conf.Storage.Path, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the storage path: %w: make this directory for the user that the server runs as (uid %d), or set another path", err, os.Getuid())
	}
	state, err := kv.Open(kv.Options{Dir: filepath.Join(conf.Storage.Path, "state"), Logger: logger})
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", conf.Storage.Path, err)
	}
	log, err := raft.Open(raft.Options{Dir: filepath.Join(conf.Storage.Path, "log"), NodeID: conf.Storage.NodeID, Logger: logger, Bind: state.Bind,
		Flush: func() (uint64, error) { i := state.Applied(); return i, state.Flush() }})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the log in %s: %w", conf.Storage.Path, err), state.Close())
	}
	return state, log, nil
}

// sharesNeedToken says whether a listener asks that rekey or generate-root need
// a token, or is kept to a namespace, where neither is. Then the routes need one,
// and the doors of the other listeners open them.
func sharesNeedToken(conf *config.Config) bool {
	return slices.ContainsFunc(conf.Listeners, func(l config.Listener) bool {
		return l.DisableUnauthedRekey || l.DisableUnauthedGenRoot || l.ChrootNamespace != ""
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
