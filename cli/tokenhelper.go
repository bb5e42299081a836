package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl"

	"github.com/fastness-dev/fastness/client"
)

// A tokenHelper keeps the token between commands: in ~/.vault-token, or with an
// external program that takes get, store or erase as its last argument and the
// token on standard input.
type tokenHelper struct {
	file    string
	program string // wins over file
}

// tokenHelper is what ~/.vault (or VAULT_CONFIG_PATH) asks for.
func (c *call) tokenHelper() (*tokenHelper, error) {
	home := c.env.Getenv("HOME")
	h := &tokenHelper{file: filepath.Join(home, ".vault-token")}
	path := client.Getenv(c.env.Getenv, "CONFIG_PATH")
	if path == "" {
		path = filepath.Join(home, ".vault")
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h, nil
	case err != nil:
		return nil, local("read the client's configuration: %w", err)
	}
	var conf struct {
		TokenHelper string `hcl:"token_helper"`
	}
	if err := hcl.Decode(&conf, string(text)); err != nil {
		return nil, local("read the client's configuration %s: %w", path, err)
	}
	if p := conf.TokenHelper; p != "" && !filepath.IsAbs(strings.Fields(p)[0]) {
		return nil, local("token_helper in %s: want an absolute path", path)
	}
	h.program = conf.TokenHelper
	return h, nil
}

// get is "" when no token is kept.
func (h *tokenHelper) get() (string, error) {
	if h.program != "" {
		return h.run("get", "")
	}
	b, err := os.ReadFile(h.file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// store replaces the token in one step: a crash leaves the old one or the new
// one, and nobody else can read either.
func (h *tokenHelper) store(token string) error {
	if h.program != "" {
		_, err := h.run("store", token)
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(h.file), ".vault-token.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.WriteString(token)
	if err := errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), h.file)
}

func (h *tokenHelper) run(verb, stdin string) (string, error) {
	words := append(strings.Fields(h.program), verb)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("token helper %s %s: %w: %s", words[0], verb, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
