package server

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/version"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/storage"
)

// seedDev mounts what -dev begins with.
func seedDev(f *flags) func(*storage.Tx, *mount.Mounts) error {
	return func(tx *storage.Tx, m *mount.Mounts) error {
		if f.devNoKV {
			return nil
		}
		_, err := m.Enable(tx, mount.Entry{Path: "secret/", Kind: engine.Secret, Type: "kv",
			Description: "key/value secret storage", Options: map[string]string{"version": "2"}})
		return err
	}
}

// startDev initialises and unseals, and tells how to begin.
func (c Command) startDev(ctx context.Context, f *flags, conf *config.Config, s *Server) error {
	made, err := s.sys.Init(ctx, 1, 1, nil, "", false)
	if err != nil {
		return err
	}
	key, err := hex.DecodeString(made.Keys[0])
	if err != nil {
		return err
	}
	if err := s.sys.Unseal(ctx, key); err != nil {
		return err
	}
	if !f.devNoStore {
		if err := c.storeToken(made.RootToken); err != nil {
			fmt.Fprintf(c.Stderr, "warning: the root token was not stored for the command line: %v\n", err)
		}
	}
	fmt.Fprintf(c.Stdout, `WARNING! dev mode is enabled! Everything is kept in memory and gone when the
server stops. It starts unsealed, with a single unseal key, and the command
line is logged in with the root token already.

You may need to set the following environment variables:

    $ export VAULT_ADDR='%s'
`, conf.APIAddr)
	if f.devTLS {
		fmt.Fprintf(c.Stdout, "    $ export VAULT_CACERT='%s'\n", filepath.Join(f.devTLSDir, "vault-ca.pem"))
	}
	fmt.Fprintf(c.Stdout, `
The unseal key and root token are displayed below in case you want to
seal/unseal the server or log in again.

Unseal Key: %s
Root Token: %s

Do not use dev mode for anything that matters.

`, base64.StdEncoding.EncodeToString(key), made.RootToken)
	return nil
}

// storeToken keeps the token where the command line looks for it.
func (c Command) storeToken(token string) error {
	home := c.Getenv("HOME")
	if home == "" {
		return fmt.Errorf("HOME is not set")
	}
	tmp, err := os.CreateTemp(home, ".vault-token-*")
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(token)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(home, ".vault-token"))
	}
	return err
}

// banner says what was started, in the form that scripts around Vault read.
func (c Command) banner(conf *config.Config) {
	rows := [][2]string{{"Api Address", first(conf.APIAddr, conf.ListenerURL())}}
	if conf.ClusterAddr != "" {
		rows = append(rows, [2]string{"Cluster Address", conf.ClusterAddr})
	}
	rows = append(rows, [2]string{"Go Version", runtime.Version()})
	for i, l := range conf.Listeners {
		tls := "enabled"
		if l.TLSDisable || l.Type != "tcp" {
			tls = "disabled"
		}
		limits := conf.Limits(l)
		rows = append(rows, [2]string{fmt.Sprintf("Listener %d", i+1),
			fmt.Sprintf("%s (addr: %q, max_request_duration: %q, max_request_size: \"%d\", tls: %q)",
				l.Type, l.Address, limits.RequestDuration, limits.RequestSize, tls)})
	}
	rows = append(rows, [2]string{"Log Level", conf.Level()}, [2]string{"Storage", conf.Storage.Type}, [2]string{"Version", "Fastness v" + version.Get().Version})
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	var b strings.Builder
	b.WriteString("==> Vault server configuration:\n\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%*s: %s\n", width+1, r[0], r[1])
	}
	b.WriteString("\n==> Vault server started! Log data will stream in below:\n\n")
	_, _ = io.WriteString(c.Stdout, b.String()) // nobody is there to read it
}

func setLevel(v *slog.LevelVar, name string) {
	if l, ok := levels[strings.ToLower(name)]; ok {
		v.Set(l)
	}
}

// LogLevel is the level of the log.
func (s *Server) LogLevel() string {
	for _, n := range []string{"trace", "debug", "info", "warn", "error"} {
		if levels[n] == s.level.Level() {
			return n
		}
	}
	return "info"
}

// SetLogLevel changes it until the next reload.
func (s *Server) SetLogLevel(level string) error {
	if _, ok := levels[strings.ToLower(level)]; !ok {
		return engine.Bad("invalid level: it must be trace, debug, info, warn or error")
	}
	setLevel(s.level, level)
	return nil
}
