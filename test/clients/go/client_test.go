package govault

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// connect returns a client with the root token, aimed by the environment.
func connect(t *testing.T) *api.Client {
	t.Helper()
	if os.Getenv("VAULT_ADDR") == "" || os.Getenv("VAULT_CACERT") == "" || os.Getenv("VAULT_TOKEN") == "" {
		t.Fatal("VAULT_ADDR, VAULT_CACERT and VAULT_TOKEN name the server: run `go test ./test/clients/` in the main module")
	}
	config := api.DefaultConfig()
	config.MaxRetries = 0 // a 5xx is a failure here, not something to wait out
	c, err := api.NewClient(config)
	must(t, err)
	return c
}

// as returns a second client that holds token.
func as(t *testing.T, token string) *api.Client {
	t.Helper()
	c := connect(t)
	c.SetToken(token)
	return c
}

func mount(t *testing.T, c *api.Client, path, version string) {
	t.Helper()
	must(t, c.Sys().Mount(path, &api.MountInput{Type: "kv", Options: map[string]string{"version": version}}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused says that err is Vault's answer with status and a text holding part.
func refused(t *testing.T, err error, status int, part string) {
	t.Helper()
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		t.Fatalf("got %v, want status %d", err, status)
	}
	if answer.StatusCode != status || !strings.Contains(strings.Join(answer.Errors, "\n"), part) {
		t.Fatalf("got %d %q, want %d with %q", answer.StatusCode, answer.Errors, status, part)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

func sameList(t *testing.T, what string, got, want []string) {
	t.Helper()
	got = slices.Sorted(slices.Values(got))
	if !slices.Equal(got, want) {
		t.Fatalf("%s is %q, want %q", what, got, want)
	}
}

func TestLogin(t *testing.T) {
	c := connect(t)
	self, err := c.Auth().Token().LookupSelf()
	must(t, err)
	policies, err := self.TokenPolicies()
	must(t, err)
	sameList(t, "root's policies", policies, []string{"root"})
	equal(t, "root's id", self.Data["id"], any(c.Token()))

	_, err = as(t, "hvs.nonsense").Auth().Token().LookupSelf()
	refused(t, err, http.StatusForbidden, "permission denied")
	_, err = as(t, "").Auth().Token().LookupSelf()
	refused(t, err, http.StatusForbidden, "permission denied")
}

func TestHealthAndSealStatus(t *testing.T) {
	c := connect(t)
	health, err := c.Sys().Health()
	must(t, err)
	if !health.Initialized || health.Sealed || health.Standby || health.Version == "" {
		t.Fatalf("health is %+v", health)
	}
	status, err := c.Sys().SealStatus()
	must(t, err)
	if !status.Initialized || status.Sealed || status.T != 1 || status.N != 1 || status.Type != "shamir" {
		t.Fatalf("seal status is %+v", status)
	}
	ready, err := c.Sys().InitStatus()
	must(t, err)
	equal(t, "init status", ready, true)
	leader, err := c.Sys().Leader()
	must(t, err)
	equal(t, "is_self", leader.IsSelf, true)
}

func TestPolicies(t *testing.T) {
	c := connect(t)
	mount(t, c, "go-policies", "2")
	const rules = `path "go-policies/data/open" { capabilities = ["create", "read", "update"] }`
	must(t, c.Sys().PutPolicy("go-open", rules))
	got, err := c.Sys().GetPolicy("go-open")
	must(t, err)
	equal(t, "the policy", got, rules)
	names, err := c.Sys().ListPolicies()
	must(t, err)
	for _, want := range []string{"default", "root", "go-open"} {
		if !slices.Contains(names, want) {
			t.Fatalf("policies are %q without %s", names, want)
		}
	}
	refused(t, c.Sys().PutPolicy("go-bad", `path "x" { capabilities = ["fly"] }`), http.StatusBadRequest, "")

	secret, err := c.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"go-open"}})
	must(t, err)
	limited := as(t, secret.Auth.ClientToken)
	_, err = limited.KVv2("go-policies").Put(t.Context(), "open", map[string]any{"a": "b"})
	must(t, err)
	_, err = limited.KVv2("go-policies").Put(t.Context(), "shut", map[string]any{"a": "b"})
	refused(t, err, http.StatusForbidden, "permission denied")
	_, err = limited.Logical().Read("go-policies/data/shut")
	refused(t, err, http.StatusForbidden, "permission denied")
	_, err = limited.Sys().ListMounts()
	refused(t, err, http.StatusForbidden, "permission denied")

	can, err := limited.Sys().CapabilitiesSelf("go-policies/data/open")
	must(t, err)
	sameList(t, "capabilities of itself", can, []string{"create", "read", "update"})
	can, err = c.Sys().Capabilities(limited.Token(), "go-policies/data/shut")
	must(t, err)
	sameList(t, "capabilities of the token", can, []string{"deny"})
	can, err = c.Sys().CapabilitiesAccessor(secret.Auth.Accessor, "go-policies/data/open")
	must(t, err)
	sameList(t, "capabilities of the accessor", can, []string{"create", "read", "update"})
	can, err = c.Sys().CapabilitiesSelf("anything")
	must(t, err)
	sameList(t, "capabilities of root", can, []string{"root"})

	must(t, c.Sys().DeletePolicy("go-open"))
	gone, err := c.Sys().GetPolicy("go-open")
	must(t, err)
	equal(t, "a deleted policy", gone, "")
	_, err = limited.Logical().Read("go-policies/data/open")
	refused(t, err, http.StatusForbidden, "permission denied")
}

func TestMounts(t *testing.T) {
	c := connect(t)
	mount(t, c, "go-mounts", "1")
	err := c.Sys().Mount("go-mounts", &api.MountInput{Type: "kv"})
	refused(t, err, http.StatusBadRequest, "path is already in use at go-mounts/")
	err = c.Sys().Mount("go-unknown", &api.MountInput{Type: "no-such-engine"})
	refused(t, err, http.StatusBadRequest, "")

	description := "moved about"
	must(t, c.Sys().TuneMount("go-mounts", api.MountConfigInput{DefaultLeaseTTL: "1h", MaxLeaseTTL: "2h", Description: &description}))
	config, err := c.Sys().MountConfig("go-mounts")
	must(t, err)
	equal(t, "default_lease_ttl", config.DefaultLeaseTTL, 3600)
	equal(t, "max_lease_ttl", config.MaxLeaseTTL, 7200)
	mounts, err := c.Sys().ListMounts()
	must(t, err)
	equal(t, "the description", mounts["go-mounts/"].Description, description)
	equal(t, "the type", mounts["go-mounts/"].Type, "kv")
	if mounts["sys/"] == nil || mounts["cubbyhole/"] == nil {
		t.Fatalf("sys/ and cubbyhole/ are not among the mounts: %v", mounts)
	}

	must(t, c.KVv1("go-mounts").Put(t.Context(), "x", map[string]any{"a": "b"}))
	must(t, c.Sys().Remount("go-mounts", "go-moved"))
	secret, err := c.KVv1("go-moved").Get(t.Context(), "x")
	must(t, err)
	equal(t, "the moved secret", secret.Data["a"], any("b"))

	must(t, c.Sys().Unmount("go-moved"))
	_, err = c.Logical().Write("go-moved/x", map[string]any{"a": "b"})
	refused(t, err, http.StatusNotFound, "no handler for route")
}
