package script

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	// The program is built by another process: without these, a cached result
	// would outlive a change of it.
	_ "github.com/fastness-dev/fastness/catalog"
	_ "github.com/fastness-dev/fastness/cli"
	_ "github.com/fastness-dev/fastness/server"
)

// startLimit bounds the wait for a process that hangs; no test measures it.
const startLimit = 60 * time.Second

// TestScript runs testdata. Beside testscript's own verbs a script has
//
//	server              a -dev server whose root token is "root"
//	server raft         one on raft storage below $WORK/data, not initialised
//	server FILE         one on the config FILE, whose $ADDR and $WORK are filled in
//	restart             SIGTERM, then the same server again
//	kill9               SIGKILL, and no server
//	start               the server that was killed, again
//	exits N CMD...      the command ends with code N
//	keep NAME PATTERN   $NAME is what PATTERN's group caught in the last output
//
// VAULT_ADDR follows the server; VAULT_TOKEN is set by "server" alone, and HOME
// is the script's own, so that "login" writes its token there.
func TestScript(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "fastness"), "github.com/fastness-dev/fastness/cmd/fastness")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("VAULT_MAX_RETRIES", "0")
			p := &process{binary: filepath.Join(bin, "fastness"), dir: e.WorkDir}
			e.Values["process"] = p
			e.Defer(p.kill)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server":  serve,
			"restart": restart,
			"kill9":   func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).kill() },
			"start":   func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(of(ts).start()) },
			"exits":   exits,
			"keep":    keep,
		},
	})
}

// A process is the one server of a script.
type process struct {
	binary string
	dir    string
	addr   string
	args   []string

	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan struct{} // closed when the process is gone; nil when none runs
}

func of(ts *testscript.TestScript) *process { return ts.Value("process").(*process) }

const raftConfig = `
listener "tcp" {
  address     = "$ADDR"
  tls_disable = true
}
storage "raft" {
  path    = "$WORK/data"
  node_id = "one"
}
api_addr      = "http://$ADDR"
cluster_addr  = "http://$CLUSTER"
disable_mlock = true
`

func serve(ts *testscript.TestScript, _ bool, args []string) {
	p := of(ts)
	if p.exited != nil {
		ts.Fatalf("server: one is running")
	}
	addr, err := freeAddress()
	ts.Check(err)
	p.addr = addr
	ts.Setenv("VAULT_ADDR", "http://"+addr)
	switch {
	case len(args) == 0:
		p.args = []string{"server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token", "-dev-listen-address=" + addr}
		ts.Setenv("VAULT_TOKEN", "root")
	case args[0] == "raft":
		ts.Check(os.MkdirAll(filepath.Join(p.dir, "data"), 0o700))
		ts.Check(p.configure(raftConfig))
	default:
		ts.Check(p.configure(ts.ReadFile(args[0])))
	}
	ts.Check(p.start())
}

// configure writes the config with this server's own addresses and folder.
func (p *process) configure(text string) error {
	cluster, err := freeAddress()
	if err != nil {
		return err
	}
	text = strings.NewReplacer("$ADDR", p.addr, "$CLUSTER", cluster, "$WORK", p.dir).Replace(text)
	file := filepath.Join(p.dir, "server.hcl")
	p.args = []string{"server", "-config=" + file}
	return os.WriteFile(file, []byte(text), 0o600)
}

// start runs the process and returns when it answers.
func (p *process) start() error {
	if p.exited != nil || p.args == nil {
		return fmt.Errorf("start: there is no server that was killed")
	}
	p.log.Reset()
	p.cmd = exec.Command(p.binary, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = append(os.Environ(), "HOME="+p.dir)
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	exited := make(chan struct{})
	p.exited = exited
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(exited)
	}(p.cmd)
	if err := p.listening(); err != nil {
		p.kill()
		return fmt.Errorf("wait for the server: %w\n%s", err, p.log.String())
	}
	return nil
}

// listening asks until it is answered. There is no event to wait for: the
// listener belongs to another process. A -dev server answers as active; one
// with a config may still be sealed.
func (p *process) listening() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	path := "/v1/sys/seal-status"
	if p.args[1] == "-dev" {
		path = "/v1/sys/internal/ui/mounts"
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+path, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended: %s", p.cmd.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// restart ends the server as an operator would, and starts it again.
func restart(ts *testscript.TestScript, _ bool, _ []string) {
	p := of(ts)
	if p.exited == nil {
		ts.Fatalf("restart: no server is running")
	}
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.exited:
	case <-time.After(startLimit):
		p.kill()
		ts.Fatalf("restart: the server did not end\n%s", p.log.String())
	}
	p.exited = nil
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		ts.Fatalf("restart: the server ended with code %d\n%s", code, p.log.String())
	}
	ts.Check(p.start())
}

// kill ends the server as a power cut would.
func (p *process) kill() {
	if p.exited == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	p.exited = nil
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = code.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func keep(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: keep NAME PATTERN")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout") + "\n" + ts.ReadFile("stderr"))
	if len(m) != 2 {
		ts.Fatalf("keep: %q catches no group in the last output", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
