package oidc

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/test/clients/target"
)

// patience bounds what another process does. It only ends what hangs.
const patience = 5 * time.Minute

// The application's own tests pass against a server that was started as a person
// would.
func TestRelyingParty(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	binary, err := target.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
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
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "./...")
	cmd.Dir = "party"
	cmd.Env = append(os.Environ(), "VAULT_ADDR="+s.Addr, "VAULT_CACERT="+s.CAFile, "VAULT_TOKEN="+s.RootToken)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("the application: %v\nthe server's log:\n%s", err, s.Log())
	}
}
