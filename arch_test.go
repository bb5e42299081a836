package fastness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/fastness-dev/fastness"

// levels places every package of the module. A package imports only packages
// of lower levels, and of its own level only what beside names. "x/*" stands
// for everything below x but not for x itself; the first match counts.
var levels = []struct {
	level   int
	pattern string
}{
	{0, "api"},
	{0, "internal/version"},
	{0, "internal/draw"},
	{0, "internal/invariants"},
	{0, "internal/keywrap"},

	{1, "storage"},
	{1, "internal/cloud"},
	{1, "internal/cloud/*"},
	{1, "client"},

	{2, "schedule"},
	{3, "storage/seal/*"}, // one seal each, over storage/seal
	{2, "storage/*"},
	{2, "client/login"},
	{2, "template"},

	{3, "engine"},
	{3, "engine/openapi"},
	{3, "wire"},

	{4, "lease"},
	{4, "cubbyhole"},
	{4, "mount"},
	{4, "access/*"},
	{4, "audit"},
	{4, "cluster"},           // what nodes say to each other; knows nothing of requests' meaning
	{4, "engine/enginetest"}, // a whole engine under test: memory store, clock, transcripts

	{5, "sys"},
	{5, "secrets/*"},
	{5, "auth/*"},
	{5, "server/config"},   // parsed by server, read by the CLI: neither may be below it
	{5, "server/listener"}, // sockets and certificates; knows nothing of requests

	{5, "server/registration"}, // clients of directories of services

	{6, "server"},
	{6, "catalog"},
	{6, "agent"},
	{6, "agent/*"},
	{6, "k8s/*"},

	{7, "cli"},
	{7, "cli/*"},

	{8, "cmd/*"},
	{8, "."},

	{9, "test"},
	{9, "test/*"},
}

// beside lists the imports that stay on one level, as "from -> to".
var beside = []string{
	"access/token -> lease",
	"access/token -> access/policy", // the one form of a policy's name
	"access/token -> access/quota",  // a token is a lease, which quotas count
	"lease -> access/quota",
	"cubbyhole -> access/token",
	"access/control -> access/policy",
	"access/identity -> access/policy", // a holder is a bearer of policies
	"access/mfa -> access/identity",    // whose factors they are
	"access/mfa -> access/policy",      // templates of names
	"access/oidc -> access/identity",
	"access/oidc -> access/policy", // claims are filled with what templated policies are
	"storage/raft -> storage/kv",
	"engine/openapi -> engine",
	"wire -> engine", // an answer of a route becomes a reply
	"server/listener -> server/config",
	"test/bench -> test/clients/target",
	"test/crash -> test/clients/target",
	"test/faults -> test/clients/target",
	"test/clients -> test/clients/target",
	"test/oidc -> test/clients/target",
}

// engineMaySee is all that secrets/* and auth/* import of ours, besides
// packages below their own engine's folder.
var engineMaySee = []string{"api", "storage", "schedule", "engine", "internal/cloud", "internal/cloud/*", "internal/version", "internal/invariants", "internal/keywrap"}

// engineNamers are the only packages that may import secrets/* and auth/*, so
// that a custom build is a main of its own and nothing else.
var engineNamers = []string{"catalog", "cmd/*", "test/*"}

// turnedOpen lists, by exact version, modules whose files still carry the
// Business Source License header although its change date has passed, so that
// by the header's own words they are under the licence named here. The value
// is the line of the header that says so; every such file must hold it.
var turnedOpen = map[string]string{
	// Apache-2.0 since that day, as is the module's LICENSE. It comes with pebble
	// through cockroachdb/errors.
	"github.com/cockroachdb/logtags@v0.0.0-20230118201751-21c54148d20b": "// Change Date: 2022-10-01",
}

type goPackage struct {
	ImportPath string
	Dir        string
	Name       string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
	Standard   bool
	Module     *struct {
		Path    string
		Version string
		Dir     string
		Main    bool
	}
}

// path is the package's folder inside the module, "." for its root.
func (p goPackage) path() string {
	if p.ImportPath == modulePath {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, modulePath+"/")
}

func TestEveryPackageHasALevel(t *testing.T) {
	for _, p := range ours(t) {
		if _, ok := levelOf(p.path()); !ok {
			t.Errorf("%s is on no level: add a line such as {5, %q} to levels in arch_test.go and say in ARCHITECTURE.md what it owns",
				p.path(), p.path())
		}
	}
}

func TestImportsGoDown(t *testing.T) {
	for _, p := range ours(t) {
		from := p.path()
		high, ok := levelOf(from)
		if !ok {
			continue // TestEveryPackageHasALevel tells
		}
		for _, to := range ourImports(p) {
			low, ok := levelOf(to)
			switch {
			case !ok, low < high:
			case low > high:
				t.Errorf("%s (level %d) imports %s (level %d): imports go down", from, high, to, low)
			case slices.Contains(beside, from+" -> "+to):
			default:
				t.Errorf("%s imports %s on the same level %d: move one of them, or add %q to beside with its reason",
					from, to, high, from+" -> "+to)
			}
		}
	}
}

func TestEnginesSeeOnlyTheEngineSurface(t *testing.T) {
	for _, p := range ours(t) {
		from := p.path()
		home := engineFolder(from)
		if home == "" {
			continue
		}
		for _, to := range ourImports(p) {
			if engineFolder(to) == home || matches(engineMaySee, to) {
				continue
			}
			t.Errorf("%s imports %s: an engine sees only %s", from, to, strings.Join(engineMaySee, ", "))
		}
		for _, file := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if m := regexp.MustCompile(`http\.(Server\{|ListenAndServe|Serve\()`).Find(text); m != nil {
				t.Errorf("%s/%s uses %s: an engine opens no listener", from, file, m)
			}
		}
	}
}

func TestOnlyTheCatalogNamesEngines(t *testing.T) {
	for _, p := range ours(t) {
		from := p.path()
		if matches(engineNamers, from) {
			continue
		}
		for _, to := range ourImports(p) {
			if home := engineFolder(to); home != "" && home != engineFolder(from) {
				t.Errorf("%s imports %s: only %s name engines", from, to, strings.Join(engineNamers, ", "))
			}
		}
	}
}

func TestClientAndAPIAreLight(t *testing.T) {
	allowed := map[string][]string{"api": nil, "client": {modulePath + "/api"}}
	for _, p := range ours(t) {
		extra, ok := allowed[p.path()]
		if !ok {
			continue
		}
		for _, to := range p.Imports {
			if isStandard(to) || slices.Contains(extra, to) {
				continue
			}
			t.Errorf("%s imports %s: it is imported by other people's programs and stays on the standard library", p.path(), to)
		}
	}
}

func TestServerBinaryHasNoKubernetes(t *testing.T) {
	for _, p := range ours(t) {
		if p.path() != "cmd/fastness" {
			continue
		}
		for _, dep := range p.Deps {
			// sigs.k8s.io/yaml is a YAML codec and pulls nothing of Kubernetes.
			if strings.HasPrefix(dep, "k8s.io/") || strings.HasPrefix(dep, "sigs.k8s.io/") && !strings.HasPrefix(dep, "sigs.k8s.io/yaml") {
				t.Errorf("cmd/fastness links %s: Kubernetes libraries belong to cmd/fastness-k8s", dep)
			}
		}
	}
}

func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range ours(t) {
		if len(p.GoFiles) > 0 && strings.TrimSpace(p.Doc) == "" {
			t.Errorf("%s has no package doc: say what it owns and what it promises above its package clause", p.path())
		}
	}
}

// TestNoBusinessSourceLicence reads files, not only LICENSE: one module of this
// field carries an open LICENSE above files that are not open.
func TestNoBusinessSourceLicence(t *testing.T) {
	closed := regexp.MustCompile(`BUSL-1\.1|Business Source License`)
	seen := map[string]bool{}
	for _, p := range list(t, "-deps", "-test", "-json=ImportPath,Standard,Module", "./...") {
		if p.Standard || p.Module == nil || p.Module.Main || p.Module.Dir == "" || seen[p.Module.Dir] {
			continue
		}
		seen[p.Module.Dir] = true
		name, err := firstClosed(p.Module.Dir, closed, turnedOpen[p.Module.Path+"@"+p.Module.Version])
		if err != nil {
			t.Fatalf("read the licences of %s: %v", p.Module.Path, err)
		}
		if name != "" {
			t.Errorf("%s: %s is under the Business Source License; Fastness is Apache-2.0 and cannot link the module", p.Module.Path, name)
		}
	}
	if len(seen) == 0 {
		t.Fatal("go list named no dependency: the gate looked at nothing")
	}
}

// firstClosed returns the first licence or Go file below dir whose first 2 KiB
// match closed and do not hold the pardon, or "". An empty pardon is none.
func firstClosed(dir string, closed *regexp.Regexp, pardon string) (found string, err error) {
	head := make([]byte, 2048)
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !strings.HasSuffix(name, ".go") && !strings.HasPrefix(strings.ToUpper(d.Name()), "LICEN") {
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.ReadFull(f, head)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if closed.Match(head[:n]) && (pardon == "" || !bytes.Contains(head[:n], []byte(pardon))) {
			found = strings.TrimPrefix(name, dir+string(filepath.Separator))
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}

func levelOf(path string) (int, bool) {
	for _, l := range levels {
		if matches([]string{l.pattern}, path) {
			return l.level, true
		}
	}
	return 0, false
}

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		below, wild := strings.CutSuffix(pattern, "*")
		if wild {
			return strings.HasPrefix(path, below)
		}
		return path == pattern
	})
}

// engineFolder is the folder of the engine that path belongs to, such as
// "secrets/pki" for secrets/pki/acme, or "".
func engineFolder(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) < 2 || parts[0] != "secrets" && parts[0] != "auth" {
		return ""
	}
	return parts[0] + "/" + parts[1]
}

func ourImports(p goPackage) []string {
	var paths []string
	for _, to := range p.Imports {
		if to == modulePath || strings.HasPrefix(to, modulePath+"/") {
			paths = append(paths, goPackage{ImportPath: to}.path())
		}
	}
	return paths
}

func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

func ours(t *testing.T) []goPackage {
	t.Helper()
	packages := list(t, "-e", "-json=ImportPath,Dir,Name,Doc,GoFiles,Imports,Deps", "./...")
	if len(packages) < 2 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	return packages
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", cmd.Args[1:], err, stderr.String())
	}
	var packages []goPackage
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(fmt.Errorf("read go list: %w", err))
		}
		packages = append(packages, p)
	}
}
