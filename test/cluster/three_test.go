package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A node is a server of the cluster, as a process.
type node struct {
	t         *testing.T
	dir       string
	binary    string
	api, peer string // host:port
	process   *exec.Cmd
}

// free finds an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "fastness")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/fastness").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

func newNode(t *testing.T, binary, name string) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), binary: binary, api: free(t), peer: free(t)}
	conf := fmt.Sprintf(`storage "raft" {
  path    = %q
  node_id = %q
}
listener "tcp" {
  address         = %q
  cluster_address = %q
  tls_disable     = true
}
api_addr      = "http://%s"
cluster_addr  = "https://%s"
disable_mlock = true
`, filepath.Join(n.dir, "data"), name, n.api, n.peer, n.api, n.peer)
	if err := os.WriteFile(filepath.Join(n.dir, "node.hcl"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	return n
}

func (n *node) start() {
	n.t.Helper()
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	n.process = exec.Command(n.binary, "server", "-config="+filepath.Join(n.dir, "node.hcl"))
	n.process.Stdout, n.process.Stderr = log, log
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(n.kill)
	n.eventually("it answers", func() bool { return n.try("GET", "sys/seal-status", "", nil, nil) == 200 })
}

func (n *node) kill() {
	_ = n.process.Process.Kill() // it may have ended
	_ = n.process.Wait()
}

// try asks once, and gives the status; 0 is no answer.
func (n *node) try(method, path, token string, body, answer any) int {
	b, err := json.Marshal(body)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+n.api+"/v1/"+path, bytes.NewReader(b))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	b, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0
	}
	if resp.StatusCode/100 != 2 {
		n.t.Logf("%s %s: %d: %s", method, path, resp.StatusCode, b)
	} else if answer != nil {
		if err := json.Unmarshal(b, answer); err != nil {
			n.t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	}
	return resp.StatusCode
}

func (n *node) ask(method, path, token string, body, answer any) {
	n.t.Helper()
	if got := n.try(method, path, token, body, answer); got/100 != 2 {
		log, _ := os.ReadFile(filepath.Join(n.dir, "log")) // for show
		n.t.Fatalf("%s %s: %d\n%s", method, path, got, log)
	}
}

// eventually polls what another process has no signal for.
func (n *node) eventually(what string, f func() bool) {
	n.t.Helper()
	for range 1200 {
		if f() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(n.dir, "log")) // for show
	n.t.Fatalf("never: %s\n%s", what, log)
}

type leader struct {
	Self   bool   `json:"is_self"`
	Leader string `json:"leader_address"`
}

// Three nodes are one: what one acknowledged, all read at once; what any of them
// is asked, the leader does; one may be killed at any time.
func TestThreeNodes(t *testing.T) {
	binary := build(t)
	var nodes []*node
	for i := range 3 {
		nodes = append(nodes, newNode(t, binary, fmt.Sprint("n", i+1)))
	}
	var made struct {
		Keys []string `json:"keys"`
		Root string   `json:"root_token"`
	}
	first := nodes[0]
	first.ask("PUT", "sys/init", "", map[string]any{"secret_shares": 1, "secret_threshold": 1}, &made)
	unseal := func(n *node) { n.ask("PUT", "sys/unseal", "", map[string]any{"key": made.Keys[0]}, nil) }
	unseal(first)
	first.ask("POST", "sys/mounts/secret", made.Root, map[string]any{"type": "kv", "options": map[string]any{"version": "2"}}, nil)
	for _, n := range nodes[1:] {
		n.ask("POST", "sys/storage/raft/join", "", map[string]any{"leader_api_addr": "http://" + first.api}, nil)
		unseal(n)
	}
	put := func(by *node, value int) {
		t.Helper()
		by.ask("POST", "secret/data/a", made.Root, map[string]any{"data": map[string]any{"v": value}}, nil)
	}
	read := func(n *node, want int) {
		t.Helper()
		var a struct {
			Data struct {
				Data struct{ V int } `json:"data"`
			} `json:"data"`
		}
		n.ask("GET", "secret/data/a", made.Root, nil, &a)
		if a.Data.Data.V != want {
			t.Errorf("node at %s reads %d, and %d was acknowledged", n.api, a.Data.Data.V, want)
		}
	}
	for i := range 10 {
		put(nodes[i%3], i)
		for _, n := range nodes {
			read(n, i)
		}
	}
	var limited struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	nodes[1].ask("POST", "auth/token/create", made.Root, map[string]any{"num_uses": 2, "policies": []string{"root"}}, &limited)
	for i, want := range []int{200, 200, 403} {
		if got := nodes[i].try("GET", "secret/data/a", limited.Auth.Token, nil, nil); got != want {
			t.Errorf("use %d of a token with two: %d", i+1, got)
		}
	}
	first.eventually("all vote", func() bool {
		var a struct {
			Data struct {
				Config struct{ Servers []struct{ Voter bool } }
			}
		}
		first.ask("GET", "sys/storage/raft/configuration", made.Root, nil, &a)
		voters := 0
		for _, s := range a.Data.Config.Servers {
			if s.Voter {
				voters++
			}
		}
		return voters == 3
	})
	for round := range 3 {
		var led *node
		first.eventually("a leader", func() bool {
			for _, n := range nodes {
				var is leader
				if n.try("GET", "sys/leader", "", nil, &is); is.Self {
					led = n
				}
			}
			return led != nil
		})
		led.kill()
		for i, n := range nodes {
			if n != led {
				put(n, 100*round+i)
				read(nodes[(i+1)%3].orElse(led, n), 100*round+i)
			}
		}
		led.start()
		unseal(led)
		read(led, 100*round+last(nodes, led))
	}
}

// orElse is n, or another if that is down.
func (n *node) orElse(down, other *node) *node {
	if n == down {
		return other
	}
	return n
}

// last is the place of the last of the nodes but one.
func last(nodes []*node, but *node) int {
	for i := len(nodes) - 1; ; i-- {
		if nodes[i] != but {
			return i
		}
	}
}
