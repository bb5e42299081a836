package attacks

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/catalog"
	"github.com/fastness-dev/fastness/server"
)

// What the environment holds for a proxy or a client, passwords among it, is
// not told when the server starts.
func TestCVE_2020_13223_EnvironmentToldAtStart(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "https_proxy", "VAULT_TOKEN", "VAULT_CLIENT_KEY", "AWS_SECRET_ACCESS_KEY", "FASTNESS_TOKEN"} {
		t.Setenv(name, "http://user:"+canary+"@proxy.invalid:3128")
	}
	t.Setenv("HOME", t.TempDir())
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	out := &told{until: "Root Token: ", then: stop}
	code := server.Run(ctx, server.Command{Args: []string{"-dev", "-dev-listen-address=127.0.0.1:0", "-log-level=trace"},
		Stdout: out, Stderr: out, Getenv: os.Getenv, Engines: catalog.Engines()})
	if text := out.String(); code != 0 || !strings.Contains(text, "Root Token: ") || !strings.Contains(text, "core: ") {
		t.Errorf("it did not start and end: exit code %d, %s", code, text)
	}
	shown(t, "the start", out.String())
}

// Told is what was written, and does something once it holds a text.
type told struct {
	lines
	until string
	then  func()
}

func (o *told) Write(p []byte) (int, error) {
	n, err := o.lines.Write(p)
	if strings.Contains(o.lines.String(), o.until) {
		o.then()
	}
	return n, err
}
