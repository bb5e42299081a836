package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fastness-dev/fastness/test/clients/target"
)

// bareCommand is the first argument by which this program becomes the server
// that all is measured against.
const bareCommand = "bare"

// serveBare answers every request with the same 400 bytes over TLS. Its
// arguments are the files of a certificate and a key; it prints its address
// and ends when its standard input does, so that it never outlives the bench.
func serveBare(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: bench %s CERT KEY", bareCommand)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		l.Close()
	}()
	body := bytes.Repeat([]byte("x"), 400)
	return http.ServeTLS(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}), args[0], args[1])
}

type bareServer struct {
	client *http.Client
	addr   string
	cmd    *exec.Cmd
	stdin  io.Closer
}

func startBare(ctx context.Context, dir string) (*bareServer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ca, err := target.NewCA()
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.Issue("127.0.0.1")
	if err != nil {
		return nil, err
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(certFile, cert, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, bareCommand, certFile, keyFile)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &bareServer{client: ca.Client(), cmd: cmd, stdin: stdin}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("read its address: %w", err)
	}
	s.addr = "https://" + strings.TrimSpace(addr)
	return s, nil
}

func (s *bareServer) load(token string, f func(int) request) load {
	return load{client: s.client, addr: s.addr, token: token, pid: s.cmd.Process.Pid, make: f}
}

func (s *bareServer) stop() {
	s.stdin.Close()
	_ = s.cmd.Wait()
}
