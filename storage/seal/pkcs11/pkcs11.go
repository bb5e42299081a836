// Package pkcs11 is a seal whose key is kept by a hardware security module. The
// vendor's library needs C, and the server is linked without it, so a program
// of ours, fastness-pkcs11, holds the library and is spoken to over pipes.
//
// A library that crashes or hangs takes the program with it and not the server;
// the next question starts it anew.
package pkcs11

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fastness-dev/fastness/storage/seal"
)

// Program is the name of the plugin, looked for beside the server and then in
// the PATH.
const Program = "fastness-pkcs11"

// Kind is the seal "pkcs11".
func Kind() seal.Kind {
	return seal.Kind{Type: "pkcs11", Open: open}
}

type wrapper struct {
	program string
	token   Token

	mu      sync.Mutex // one question at a time
	process *process   // nil until it is needed
}

func open(s *seal.Settings, _ *slog.Logger) (seal.Wrapper, error) {
	w := &wrapper{program: s.Text("plugin"), token: Token{
		Lib:        s.Need("lib", "VAULT_HSM_LIB"),
		Slot:       s.Text("slot", "VAULT_HSM_SLOT"),
		TokenLabel: s.Text("token_label", "VAULT_HSM_TOKEN_LABEL"),
		PIN:        s.Need("pin", "VAULT_HSM_PIN"),
		KeyLabel:   s.Text("key_label", "VAULT_HSM_KEY_LABEL"),
		KeyID:      s.Text("key_id", "VAULT_HSM_KEY_ID"),
		Mechanism:  s.Text("mechanism", "VAULT_HSM_MECHANISM"),
		OAEPHash:   s.Text("rsa_oaep_hash", "VAULT_HSM_RSA_OAEP_HASH"),
	}}
	if w.token.Slot == "" && w.token.TokenLabel == "" {
		s.Fail("token_label", "is missing: set it, or slot, to the token that holds the key")
	}
	if w.token.KeyLabel == "" && w.token.KeyID == "" {
		s.Fail("key_label", "is missing: set it, or key_id, to the key")
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if w.program == "" {
		w.program = find()
	}
	return w, nil
}

func find() string {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), Program)
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	return Program
}

func (w *wrapper) Type() string { return "pkcs11" }

func (w *wrapper) Target() string {
	t := w.token
	return strings.Join([]string{t.TokenLabel, t.Slot, t.KeyLabel, t.KeyID}, "/")
}

func (w *wrapper) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop()
	return nil
}

func (w *wrapper) Encrypt(ctx context.Context, key []byte) (seal.Blob, error) {
	a, err := w.ask(ctx, Request{Op: "encrypt", Data: key})
	if err != nil {
		return seal.Blob{}, err
	}
	return seal.Blob{KeyID: a.KeyID, Data: a.Data}, nil
}

func (w *wrapper) Decrypt(ctx context.Context, b seal.Blob) ([]byte, error) {
	a, err := w.ask(ctx, Request{Op: "decrypt", Data: b.Data, KeyID: b.KeyID})
	if err != nil {
		return nil, err
	}
	return a.Data, nil
}

// ask starts the program if need be. A program that was refused its token is
// ended: with the next question it opens the token anew.
func (w *wrapper) ask(ctx context.Context, q Request) (*Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process == nil {
		p, err := start(w.program)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w: install it beside the server, or set plugin to its path", w.program, err)
		}
		w.process = p
		if err := w.exchange(ctx, Request{Op: "open", Token: &w.token}, &Answer{}); err != nil {
			w.drop()
			return nil, err
		}
	}
	var a Answer
	if err := w.exchange(ctx, q, &a); err != nil {
		w.drop() // a session that failed may be a token that was pulled out
		return nil, err
	}
	return &a, nil
}

func (w *wrapper) exchange(ctx context.Context, q Request, a *Answer) error {
	done := make(chan error, 1)
	p := w.process
	go func() { done <- p.exchange(q, a) }()
	select {
	case err := <-done:
		switch {
		case err != nil:
			return err
		case a.Error != "":
			return errors.New(a.Error)
		case a.Done != q.Op: // a program that only echoes would keep the seal key in the clear
			return fmt.Errorf("%s does not speak this server's protocol: are both of the same version?", w.program)
		}
		return nil
	case <-ctx.Done():
		p.kill()
		return errors.Join(fmt.Errorf("the token does not answer: %w", ctx.Err()), <-done) // which ends with the program
	}
}

func (w *wrapper) drop() {
	if w.process != nil {
		w.process.kill()
		w.process = nil
	}
}

// A process is the running program.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(program string) (*process, error) {
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr // what the vendor's library has to say
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, in, bufio.NewReader(out)}, nil
}

func (p *process) exchange(q Request, a *Answer) error {
	line, err := json.Marshal(q)
	if err != nil {
		return err
	}
	defer clear(line)
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s has ended: %w", Program, err)
	}
	got, err := p.out.ReadBytes('\n')
	defer clear(got)
	if err != nil {
		return fmt.Errorf("%s has ended: the vendor's library may have crashed: %w", Program, err)
	}
	if json.Unmarshal(got, a) != nil {
		return fmt.Errorf("%s does not speak this server's protocol: are both of the same version?", Program)
	}
	return nil
}

// kill ends the program and waits for it.
func (p *process) kill() {
	_ = p.in.Close()
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()
}
