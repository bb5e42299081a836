package govault

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/hashicorp/vault/api"
)

// login writes to a login path without a token, as every auth helper does.
func login(t *testing.T, path string, fields map[string]any) (*api.Secret, error) {
	t.Helper()
	c := connect(t)
	c.ClearToken()
	return c.Logical().Write(path, fields)
}

func TestAppRoleWithAWrappedSecretID(t *testing.T) {
	c := connect(t)
	must(t, c.Sys().EnableAuthWithOptions("go-approle", &api.EnableAuthOptions{Type: "approle"}))
	must(t, c.Sys().PutPolicy("go-ci", `path "go-approle-kv/*" { capabilities = ["read"] }`))
	mount(t, c, "go-approle-kv", "1")
	must(t, c.KVv1("go-approle-kv").Put(t.Context(), "s", map[string]any{"a": "b"}))
	_, err := c.Logical().Write("auth/go-approle/role/ci", map[string]any{
		"token_policies": []string{"go-ci"}, "token_ttl": "20m", "token_max_ttl": "1h", "secret_id_num_uses": 1, "secret_id_ttl": "10m"})
	must(t, err)
	role, err := c.Logical().Read("auth/go-approle/role/ci/role-id")
	must(t, err)

	wrapping := as(t, c.Token())
	wrapping.SetWrappingLookupFunc(func(operation, path string) string { return "60s" })
	wrapped, err := wrapping.Logical().Write("auth/go-approle/role/ci/secret-id", nil)
	must(t, err)
	equal(t, "creation_path", wrapped.WrapInfo.CreationPath, "auth/go-approle/role/ci/secret-id")

	// The runner has a role-id and a wrapping token, and nothing else.
	runner := connect(t)
	runner.ClearToken()
	opened, err := runner.Logical().Unwrap(wrapped.WrapInfo.Token)
	must(t, err)
	equal(t, "the wrapped accessor", opened.Data["secret_id_accessor"], any(wrapped.WrapInfo.WrappedAccessor))
	fields := map[string]any{"role_id": role.Data["role_id"], "secret_id": opened.Data["secret_id"]}
	in, err := login(t, "auth/go-approle/login", fields)
	must(t, err)
	equal(t, "role_name", in.Auth.Metadata["role_name"], "ci")
	equal(t, "lease_duration", in.Auth.LeaseDuration, 1200)
	got, err := as(t, in.Auth.ClientToken).KVv1("go-approle-kv").Get(t.Context(), "s")
	must(t, err)
	equal(t, "what it reads", got.Data["a"], any("b"))
	renewed, err := as(t, in.Auth.ClientToken).Auth().Token().RenewSelf(2400)
	must(t, err)
	equal(t, "lease_duration after renew", renewed.Auth.LeaseDuration, 2400)

	_, err = runner.Logical().Unwrap(wrapped.WrapInfo.Token)
	refused(t, err, http.StatusBadRequest, "wrapping token is not valid or does not exist")
	_, err = login(t, "auth/go-approle/login", fields)
	refused(t, err, http.StatusBadRequest, "invalid role or secret ID")
}

func TestSecretIDsByAccessor(t *testing.T) {
	c := connect(t)
	must(t, c.Sys().EnableAuthWithOptions("go-ids", &api.EnableAuthOptions{Type: "approle"}))
	_, err := c.Logical().Write("auth/go-ids/role/app", map[string]any{"role_id": "my-role", "secret_id_bound_cidrs": []string{"127.0.0.1/32"}})
	must(t, err)
	role, err := c.Logical().Read("auth/go-ids/role/app")
	must(t, err)
	equal(t, "a network, as it was written", role.Data["secret_id_bound_cidrs"].([]any)[0], any("127.0.0.1/32"))
	made, err := c.Logical().Write("auth/go-ids/role/app/custom-secret-id", map[string]any{"secret_id": "my-secret", "metadata": `{"a":"b"}`})
	must(t, err)
	accessor := map[string]any{"secret_id_accessor": made.Data["secret_id_accessor"]}
	looked, err := c.Logical().Write("auth/go-ids/role/app/secret-id-accessor/lookup", accessor)
	must(t, err)
	equal(t, "num_uses", looked.Data["secret_id_num_uses"], any(json.Number("0")))
	_, err = login(t, "auth/go-ids/login", map[string]any{"role_id": "my-role", "secret_id": "my-secret"})
	must(t, err)
	_, err = c.Logical().Write("auth/go-ids/role/app/secret-id-accessor/destroy", accessor)
	must(t, err)
	_, err = login(t, "auth/go-ids/login", map[string]any{"role_id": "my-role", "secret_id": "my-secret"})
	refused(t, err, http.StatusBadRequest, "invalid role or secret ID")
	absent, err := c.Logical().Write("auth/go-ids/role/app/secret-id/lookup", map[string]any{"secret_id": "my-secret"})
	must(t, err)
	if absent != nil {
		t.Fatalf("a destroyed secret-id is looked up as %v", absent.Data)
	}
}

func TestUserpass(t *testing.T) {
	c := connect(t)
	must(t, c.Sys().EnableAuthWithOptions("go-people", &api.EnableAuthOptions{Type: "userpass"}))
	_, err := c.Logical().Write("auth/go-people/users/Ann", map[string]any{"password": "one", "token_policies": "go-a"})
	must(t, err)
	in, err := login(t, "auth/go-people/login/ANN", map[string]any{"password": "one"})
	must(t, err)
	equal(t, "username", in.Auth.Metadata["username"], "ann")
	sameList(t, "policies", in.Auth.TokenPolicies, []string{"default", "go-a"})
	_, err = login(t, "auth/go-people/login/ann", map[string]any{"password": "two"})
	refused(t, err, http.StatusBadRequest, "invalid username or password")
}
