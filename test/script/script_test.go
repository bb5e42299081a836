package script

import (
	"context"
	"crypto/tls"
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
//	server tls          the same over TLS, with its certificates below $WORK/tls
//	server raft         one on raft storage below $WORK/data, not initialised
//	server FILE         one on the config FILE, whose $ADDR, $ADDR2 and $WORK are filled in
//	configure FILE      another content for the config of the server that runs
//	hup                 SIGHUP, and wait until the server has taken it
//	log PATTERN         what the server has written so far
//	stop                SIGTERM: it ends with code 0
//	restart             stop, then the same server again
//	kill9               SIGKILL, and no server
//	start               the server that was killed, again
//	exits N CMD...      the command ends with code N
//	keep NAME PATTERN   $NAME is what PATTERN's group caught in the last output
//	code NAME URL [STEP]  $NAME is the code that the authenticator with that URL
//	                    shows, now or a step away
//	pgpkey NAME         a new PGP key: NAME.pub is its public half
//	pgpread NAME TEXT   standard output is TEXT (base64), decrypted by it
//
// The program goes by the name of vault too. VAULT_ADDR follows the server;
// VAULT_TOKEN is set by "server" and "server tls", and HOME is the script's own,
// so that "login" writes its token there.
func TestScript(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "fastness"), "github.com/fastness-dev/fastness/cmd/fastness")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	if err := os.Symlink("fastness", filepath.Join(bin, "vault")); err != nil {
		t.Fatal(err)
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
			"server":    serve,
			"configure": configure,
			"hup":       hup,
			"log":       logged,
			"stop":      func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).stop(ts) },
			"restart":   restart,
			"pgpkey":    newPGPKey,
			"pgpread":   pgpRead,
			"kill9":     func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).kill() },
			"start":     func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(of(ts).start()) },
			"exits":     exits,
			"code":      code,
			"keep":      keep,
		},
	})
}

// A process is the one server of a script.
type process struct {
	binary string
	dir    string
	addr   string // of the first listener
	second string // of another one
	scheme string // http or https
	args   []string

	cmd    *exec.Cmd
	log    output
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
	var err error
	p.addr, err = freeAddress()
	ts.Check(err)
	p.second, err = freeAddress()
	ts.Check(err)
	p.scheme = "http"
	addr := p.addr
	defer func() {
		ts.Setenv("VAULT_ADDR", p.scheme+"://"+addr)
		ts.Setenv("ADDR", p.addr)
		ts.Setenv("ADDR2", p.second)
	}()
	switch {
	case len(args) > 0 && args[0] == "tls":
		p.scheme = "https"
		dir := filepath.Join(p.dir, "tls")
		ts.Check(os.MkdirAll(dir, 0o700))
		p.args = []string{"server", "-dev", "-dev-tls", "-dev-tls-cert-dir=" + dir, "-dev-root-token-id=root", "-dev-no-store-token", "-dev-listen-address=" + addr}
		ts.Setenv("VAULT_TOKEN", "root")
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
	text = strings.NewReplacer("$ADDR2", p.second, "$ADDR", p.addr, "$CLUSTER", cluster, "$WORK", p.dir).Replace(text)
	file := filepath.Join(p.dir, "server.hcl")
	p.args = []string{"server", "-config=" + file}
	return os.WriteFile(file, []byte(text), 0o600)
}

// start runs the process and returns when it answers.
func (p *process) start() error {
	if p.exited != nil || p.args == nil {
		return fmt.Errorf("start: there is no server that was killed")
	}
	p.log.reset()
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
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.scheme+"://"+p.addr+path, nil)
		if err != nil {
			return err
		}
		if resp, err := trusting.Do(req); err == nil {
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

// trusting only asks whether there is an answer.
var trusting = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}

func configure(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(of(ts).configure(ts.ReadFile(args[0])))
}

// hup asks for a reload and waits for the line that ends one.
func hup(ts *testscript.TestScript, _ bool, _ []string) {
	p := of(ts)
	done := func() int { return strings.Count(p.log.String(), "reloaded certificates") }
	before := done()
	ts.Check(p.cmd.Process.Signal(syscall.SIGHUP))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(startLimit)
	for done() == before {
		select {
		case <-tick.C:
		case <-p.exited:
			ts.Fatalf("hup: the server ended\n%s", p.log.String())
		case <-late:
			ts.Fatalf("hup: the server did not reload\n%s", p.log.String())
		}
	}
}

func logged(ts *testscript.TestScript, neg bool, args []string) {
	line := regexp.MustCompile("(?m)" + args[0])
	found := line.MatchString(of(ts).log.String())
	for limit := time.Now().Add(startLimit); !found && !neg && time.Now().Before(limit); {
		time.Sleep(10 * time.Millisecond) // another process writes it: a line may be on its way
		found = line.MatchString(of(ts).log.String())
	}
	if found == neg {
		ts.Fatalf("log: %q found: %t, in\n%s", args[0], found, of(ts).log.String())
	}
}

// restart ends the server as an operator would, and starts it again.
func restart(ts *testscript.TestScript, _ bool, _ []string) {
	p := of(ts)
	p.stop(ts)
	ts.Check(p.start())
}

func (p *process) stop(ts *testscript.TestScript) {
	if p.exited == nil {
		ts.Fatalf("stop: no server is running")
	}
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.exited:
	case <-time.After(startLimit):
		p.kill()
		ts.Fatalf("stop: the server did not end\n%s", p.log.String())
	}
	p.exited = nil
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		ts.Fatalf("stop: the server ended with code %d\n%s", code, p.log.String())
	}
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
