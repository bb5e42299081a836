package clients

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/test/clients/target"
)

// patience bounds one step that another process does: a build, an install, a
// client's whole run. It is generous since it only ends what hangs.
const patience = 5 * time.Minute

var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fastness-clients-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if binary, err = target.Build(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func TestGoClient(t *testing.T) {
	s := start(t)
	client(t, s, "go", []string{"go", "test", "-count=1", "-v", "./..."}, nil)
}

func TestPythonClient(t *testing.T) {
	packages := installPython(t)
	s := start(t)
	client(t, s, "python", []string{"python3", "-B", "-m", "unittest", "-v", "test_hvac"}, []string{"PYTHONPATH=" + packages})
}

func TestNodeClient(t *testing.T) {
	installNode(t)
	s := start(t)
	// node-vault takes its CA as an option; the variable is for what it forgets.
	client(t, s, "node", []string{"node", "--test"}, []string{"NODE_EXTRA_CA_CERTS=" + s.CAFile})
}

func start(t *testing.T) *target.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := target.Start(ctx, binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client runs one client's tests in its folder, aimed at s.
func client(t *testing.T, s *target.Server, folder string, command, env []string) {
	t.Helper()
	out, err := output(t, folder, command, append(env,
		"VAULT_ADDR="+s.Addr,
		"VAULT_CACERT="+s.CAFile,
		"VAULT_TOKEN="+s.RootToken,
		"UNSEAL_KEY="+s.UnsealKey,
	))
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("%s: %v\nthe server's log:\n%s", folder, err, s.Log())
	}
}

func output(t *testing.T, folder string, command, env []string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	return cmd.CombinedOutput()
}

// installPython puts hvac into a folder of .cache named for what is pinned, and
// returns the folder. pip's --target needs no venv, which Debian packages apart.
func installPython(t *testing.T) string {
	t.Helper()
	pins, err := os.ReadFile("python/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	packages := filepath.Join(cache(t), "python-"+digest(pins))
	if _, err := os.Stat(packages); err == nil {
		return packages
	}
	fresh, err := os.MkdirTemp(filepath.Dir(packages), "python-new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	t.Logf("installing from PyPI into %s:\n%s", packages, pins)
	install := []string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", fresh, "-r", "requirements.txt"}
	if out, err := output(t, "python", append([]string{pipPython(t)}, install...), nil); err != nil {
		t.Fatalf("install hvac: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, packages); err != nil {
		t.Fatal(err)
	}
	return packages
}

// pipPython is a Python that has pip: the system's, or that of a venv.
func pipPython(t *testing.T) string {
	t.Helper()
	if _, err := output(t, "python", []string{"python3", "-m", "pip", "--version"}, nil); err == nil {
		return "python3"
	}
	venv := filepath.Join(cache(t), "venv")
	out, err := output(t, "python", []string{"python3", "-m", "venv", venv}, nil)
	if err != nil {
		t.Fatalf("python3 has neither pip nor venv: run test/clients/debian.sh, or install python3-pip: %v\n%s", err, out)
	}
	return filepath.Join(venv, "bin", "python3")
}

func installNode(t *testing.T) {
	t.Helper()
	pins, err := os.ReadFile("node/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	stamp := filepath.Join("node", "node_modules", ".fastness-"+digest(pins))
	if _, err := os.Stat(stamp); err == nil {
		return
	}
	t.Log("installing from npm into test/clients/node/node_modules: node-vault and what package-lock.json pins")
	cmd := []string{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", filepath.Join(cache(t), "npm")}
	if out, err := output(t, "node", cmd, nil); err != nil {
		t.Fatalf("install node-vault (test/clients/debian.sh installs npm): %v\n%s", err, out)
	}
	if err := os.WriteFile(stamp, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// cache is .cache at the root of the module, which git ignores.
func cache(t *testing.T) string {
	t.Helper()
	root, err := target.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, ".cache")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}
