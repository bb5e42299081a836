package wire

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/catalog"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/version"
	"github.com/fastness-dev/fastness/server"
)

// apiVersion is the version that our server says it is.
const apiVersion = version.APIVersion

// A process is the command "server", run in this process with its own listener.
type process struct {
	addr, cluster string // host:port
	dir           string

	mu  sync.Mutex
	now time.Time
}

func (p *process) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *process) advance(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

// start starts a server of a kind and returns when it answers.
func start(t *testing.T, kind string) *process {
	t.Helper()
	p := &process{addr: freePort(t), cluster: freePort(t), dir: t.TempDir(), now: time.Now().Truncate(time.Second)}
	command := server.Command{Engines: engines(), Clock: p.clock, Getenv: func(name string) string {
		if name == "HOME" {
			return p.dir
		}
		return ""
	}}
	ready := "Root Token: "
	switch kind {
	case "dev":
		command.Args = []string{"-dev", "-dev-root-token-id=root", "-dev-no-store-token", "-dev-listen-address=" + p.addr}
	case "raft":
		ready = "Vault server started!"
		file := filepath.Join(p.dir, "config.hcl")
		text := fmt.Sprintf("listener \"tcp\" {\n  address = %q\n  tls_disable = true\n}\nstorage \"raft\" {\n  path = %q\n  node_id = \"n1\"\n}\n"+
			"api_addr = \"http://%s\"\ncluster_addr = \"https://%s\"\ndisable_mlock = true\n", p.addr, filepath.Join(p.dir, "data"), p.addr, p.cluster)
		if err := os.MkdirAll(filepath.Join(p.dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		command.Args = []string{"-config=" + file}
	default:
		t.Fatalf("no server of the kind %q: dev or raft", kind)
	}
	out, log := &watched{word: ready, seen: make(chan struct{})}, &watched{}
	command.Stdout, command.Stderr = out, log
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- server.Run(ctx, command) }()
	select {
	case <-out.seen:
	case code := <-ended:
		stop()
		t.Fatalf("the server ended with code %d\n%s", code, log)
	}
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return p
}

type people struct{}

// engines are those of the catalog, and a method named userpass that only can be
// mounted for as long as there is none.
func engines() []engine.Type {
	all := catalog.Engines()
	if slices.ContainsFunc(all, func(t engine.Type) bool { return t.Info().Name == "userpass" }) {
		return all
	}
	return append(all, (&engine.Spec[people]{Name: "userpass", Kind: engine.Auth, Version: "v" + apiVersion + "+builtin.vault"}).Type())
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// watched keeps what is written and tells when a word has come.
type watched struct {
	word string
	seen chan struct{}

	mu   sync.Mutex
	b    bytes.Buffer
	told bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(p)
	if w.word != "" && !w.told && strings.Contains(w.b.String(), w.word) {
		w.told = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
