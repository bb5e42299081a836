// Package target builds the server and runs it as a person would: a config
// file, a TLS listener with a throwaway CA, raft storage, init and unseal over
// HTTP. The client tests and the benchmark aim at what it starts.
//
// It drives the program from outside and knows nothing of its packages.
package target

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
	"strings"
	"syscall"
	"time"
)

// A Server is one running server process, initialised with one share and
// unsealed. Its files are below Dir.
type Server struct {
	Dir       string
	Addr      string // https://127.0.0.1:port
	CAFile    string // PEM of the CA that signed the listener's certificate
	RootToken string
	UnsealKey string // the one share, in base64

	binary string
	client *http.Client
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{} // closed when the process is gone
}

// Root is the folder of the main module, found from the working directory.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/fastness-dev/fastness").Output()
	if err != nil {
		return "", fmt.Errorf("find the main module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Build compiles cmd/fastness into dir and returns the binary's path.
func Build(ctx context.Context, dir string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "fastness")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/fastness")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return binary, nil
}

// Start writes a config below dir, starts binary on it, initialises it and
// unseals it. It returns when the server answers as active, or when ctx ends.
func Start(ctx context.Context, binary, dir string) (*Server, error) {
	s := &Server{Dir: dir, binary: binary}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("prepare a server: %w", err)
	}
	if err := s.Run(ctx); err != nil {
		return nil, err
	}
	if err := s.initialise(ctx); err != nil {
		s.Kill()
		return nil, fmt.Errorf("initialise: %w\n%s", err, s.Log())
	}
	if err := s.Unseal(ctx); err != nil {
		s.Kill()
		return nil, fmt.Errorf("unseal: %w\n%s", err, s.Log())
	}
	return s, nil
}

func (s *Server) prepare() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	clusterPort, err := freePort()
	if err != nil {
		return err
	}
	data := filepath.Join(s.Dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	ca, err := NewCA()
	if err != nil {
		return err
	}
	s.CAFile = filepath.Join(s.Dir, "ca.pem")
	if err := os.WriteFile(s.CAFile, ca.PEM, 0o600); err != nil {
		return err
	}
	cert, key, err := ca.Issue("127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	certFile, keyFile := filepath.Join(s.Dir, "cert.pem"), filepath.Join(s.Dir, "key.pem")
	if err := os.WriteFile(certFile, cert, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		return err
	}
	s.Addr = fmt.Sprintf("https://127.0.0.1:%d", port)
	s.client = ca.Client()
	config := fmt.Sprintf(`
listener "tcp" {
  address       = "127.0.0.1:%d"
  tls_cert_file = %q
  tls_key_file  = %q
}
storage "raft" {
  path    = %q
  node_id = "one"
}
api_addr      = %q
cluster_addr  = "https://127.0.0.1:%d"
disable_mlock = true
`, port, certFile, keyFile, data, s.Addr, clusterPort)
	return os.WriteFile(filepath.Join(s.Dir, "config.hcl"), []byte(config), 0o600)
}

// Run starts the process on the config that is there, and waits until it
// answers. A server that was run before comes up sealed.
func (s *Server) Run(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.Dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s.log = log
	s.cmd = exec.Command(s.binary, "server", "-config="+filepath.Join(s.Dir, "config.hcl"))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Env = append(os.Environ(), "HOME="+s.Dir)
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(s.cmd, s.exited)
	if err := s.until(ctx, "/v1/sys/seal-status", http.StatusOK); err != nil {
		s.Kill()
		return fmt.Errorf("wait for the server to listen: %w\n%s", err, s.Log())
	}
	return nil
}

// PID is the process id of the running server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// HTTP is a client that trusts the server's CA and keeps connections.
func (s *Server) HTTP() *http.Client { return s.client }

// Stop asks the server to end and waits for it; ctx bounds the wait, after
// which the server is killed.
func (s *Server) Stop(ctx context.Context) error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		return s.log.Close()
	case <-ctx.Done():
		s.Kill()
		return fmt.Errorf("the server did not stop on SIGTERM: %w", ctx.Err())
	}
}

// Kill ends the server as a power cut would, and waits for the process.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
	_ = s.log.Close()
}

// Log is what the server printed, for the text of a failure.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.Dir, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) initialise(ctx context.Context) error {
	var answer struct {
		KeysBase64 []string `json:"keys_base64"`
		RootToken  string   `json:"root_token"`
	}
	body := map[string]int{"secret_shares": 1, "secret_threshold": 1}
	if err := s.Do(ctx, http.MethodPut, "/v1/sys/init", body, &answer); err != nil {
		return err
	}
	if len(answer.KeysBase64) != 1 || answer.RootToken == "" {
		return fmt.Errorf("init answered %d shares and a root token of %d bytes", len(answer.KeysBase64), len(answer.RootToken))
	}
	s.UnsealKey, s.RootToken = answer.KeysBase64[0], answer.RootToken
	return nil
}

// Unseal gives the one share and waits until the server is active.
func (s *Server) Unseal(ctx context.Context) error {
	if err := s.Do(ctx, http.MethodPut, "/v1/sys/unseal", map[string]string{"key": s.UnsealKey}, nil); err != nil {
		return err
	}
	return s.until(ctx, "/v1/sys/health", http.StatusOK)
}

// Do sends body as JSON with the root token and reads the answer into out. Any
// status but 200 and 204 is an error with the answer's text.
func (s *Server) Do(ctx context.Context, method, path string, body, out any) error {
	return s.DoAs(ctx, s.RootToken, method, path, body, out)
}

// DoAs is Do with another token; "" is none.
func (s *Server) DoAs(ctx context.Context, token, method, path string, body, out any) error {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.Addr+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Request", "true")
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s %s answered %d: %s", method, path, resp.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// until asks path again and again until it answers want. There is no event to
// wait for: the listener belongs to another process.
func (s *Server) until(ctx context.Context, path string, want int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Addr+path, nil)
		if err != nil {
			return err
		}
		resp, err := s.client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == want {
				return nil
			}
			err = fmt.Errorf("%s answers %d", path, resp.StatusCode)
		}
		last = err
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended: %s", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), last)
		case <-tick.C:
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
