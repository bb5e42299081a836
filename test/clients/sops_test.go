package clients

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fastness-dev/fastness/test/clients/target"
)

// SOPS encrypts a file with a key of transit's, and decrypts it, also after the
// key has rotated.
func TestSOPS(t *testing.T) {
	sops := buildSOPS(t)
	s := start(t)
	dir, ctx := t.TempDir(), t.Context()
	post := func(path string, body map[string]any) {
		t.Helper()
		if err := s.Do(ctx, http.MethodPost, path, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	post("/v1/sys/mounts/sops", map[string]any{"type": "transit"})
	post("/v1/sops/keys/team", map[string]any{})
	plain := []byte("password: hunter2\n")
	if err := os.WriteFile(filepath.Join(dir, "plain.yaml"), plain, 0o600); err != nil {
		t.Fatal(err)
	}
	sealed := runSOPS(t, s, dir, sops, "encrypt", "--hc-vault-transit", s.Addr+"/v1/sops/keys/team", "plain.yaml")
	if bytes.Contains(sealed, []byte("hunter2")) || !bytes.Contains(sealed, []byte("vault:v1:")) {
		t.Fatalf("encrypted to %s", sealed)
	}
	if err := os.WriteFile(filepath.Join(dir, "sealed.yaml"), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	post("/v1/sops/keys/team/rotate", nil)
	if back := runSOPS(t, s, dir, sops, "decrypt", "sealed.yaml"); !bytes.Equal(back, plain) {
		t.Errorf("decrypted to %s", back)
	}
	post("/v1/sops/keys/team/config", map[string]any{"min_decryption_version": 2})
	if out, err := output(t, dir, []string{sops, "decrypt", "sealed.yaml"}, aimed(s)); err == nil {
		t.Errorf("a version that is not to decrypt did: %s", out)
	}
}

func aimed(s *target.Server) []string {
	return []string{"VAULT_ADDR=" + s.Addr, "VAULT_CACERT=" + s.CAFile, "VAULT_TOKEN=" + s.RootToken}
}

func runSOPS(t *testing.T, s *target.Server, dir string, command ...string) []byte {
	t.Helper()
	out, err := output(t, dir, command, append(aimed(s), "SOPS_DISABLE_VERSION_CHECK=true"))
	if err != nil {
		t.Fatalf("%v: %v\n%s\nthe server's log:\n%s", command, err, out, s.Log())
	}
	return out
}

// buildSOPS builds the version that sops/go.mod pins, once. That may take longer
// than any other step, so nothing but the test's own end bounds it.
func buildSOPS(t *testing.T) string {
	t.Helper()
	pins, err := os.ReadFile("sops/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(cache(t), "sops-"+digest(pins))
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	t.Log("building SOPS, whose dependencies are many")
	dir, err := os.MkdirTemp(filepath.Dir(binary), "sops-new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	fresh := filepath.Join(dir, "sops")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", fresh, "github.com/getsops/sops/v3/cmd/sops")
	build.Dir, build.Env = "sops", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build SOPS: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, binary); err != nil {
		t.Fatal(err)
	}
	return binary
}
