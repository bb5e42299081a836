package govault

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

func create(t *testing.T, c *api.Client, options *api.TokenCreateRequest) *api.SecretAuth {
	t.Helper()
	secret, err := c.Auth().Token().Create(options)
	must(t, err)
	return secret.Auth
}

func TestTokenLife(t *testing.T) {
	c := connect(t)
	tokens := c.Auth().Token()
	renewable := true
	auth := create(t, c, &api.TokenCreateRequest{
		TTL: "1h", ExplicitMaxTTL: "4h", DisplayName: "joe", Renewable: &renewable, Metadata: map[string]string{"team": "red"},
		Policies: []string{"default"},
	})
	if !strings.HasPrefix(auth.ClientToken, "hvs.") {
		t.Fatal("a service token begins with hvs.")
	}
	equal(t, "lease_duration", auth.LeaseDuration, 3600)
	sameList(t, "policies", auth.TokenPolicies, []string{"default"})

	byID, err := tokens.Lookup(auth.ClientToken)
	must(t, err)
	equal(t, "display_name", byID.Data["display_name"], any("token-joe"))
	equal(t, "explicit_max_ttl", byID.Data["explicit_max_ttl"], any(json.Number("14400")))
	equal(t, "meta", byID.Data["meta"].(map[string]any)["team"], any("red"))
	byAccessor, err := tokens.LookupAccessor(auth.Accessor)
	must(t, err)
	equal(t, "the id by accessor", byAccessor.Data["id"], any(""))
	bySelf, err := as(t, auth.ClientToken).Auth().Token().LookupSelf()
	must(t, err)
	equal(t, "the accessor", bySelf.Data["accessor"], any(auth.Accessor))

	renewed, err := tokens.Renew(auth.ClientToken, 1800)
	must(t, err)
	equal(t, "lease_duration after renew", renewed.Auth.LeaseDuration, 1800)
	renewed, err = as(t, auth.ClientToken).Auth().Token().RenewSelf(900)
	must(t, err)
	equal(t, "lease_duration after renew-self", renewed.Auth.LeaseDuration, 900)
	renewed, err = tokens.RenewAccessor(auth.Accessor, 600)
	must(t, err)
	equal(t, "lease_duration after renew-accessor", renewed.Auth.LeaseDuration, 600)
	_, err = tokens.RenewSelf(60)
	refused(t, err, http.StatusBadRequest, "not renewable")

	must(t, as(t, auth.ClientToken).Auth().Token().RevokeSelf(""))
	_, err = tokens.Lookup(auth.ClientToken)
	refused(t, err, http.StatusForbidden, "bad token")
}

func TestTokenTree(t *testing.T) {
	c := connect(t)
	must(t, c.Sys().PutPolicy("go-parent", `path "auth/token/create" { capabilities = ["update"] }`))
	parent := create(t, c, &api.TokenCreateRequest{Policies: []string{"go-parent"}})
	child := create(t, as(t, parent.ClientToken), &api.TokenCreateRequest{})
	_, err := as(t, parent.ClientToken).Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"root"}})
	if err == nil {
		t.Fatal("a limited token made a root token")
	}

	orphan, err := c.Auth().Token().CreateOrphan(&api.TokenCreateRequest{Policies: []string{"default"}})
	must(t, err)
	equal(t, "orphan", orphan.Auth.Orphan, true)

	must(t, c.Auth().Token().RevokeTree(parent.ClientToken))
	_, err = as(t, child.ClientToken).Auth().Token().LookupSelf()
	refused(t, err, http.StatusForbidden, "permission denied")

	parent = create(t, c, &api.TokenCreateRequest{Policies: []string{"go-parent"}})
	child = create(t, as(t, parent.ClientToken), &api.TokenCreateRequest{})
	must(t, c.Auth().Token().RevokeOrphan(parent.ClientToken))
	self, err := as(t, child.ClientToken).Auth().Token().LookupSelf()
	must(t, err)
	equal(t, "the child is an orphan", self.Data["orphan"], any(true))
	must(t, c.Auth().Token().RevokeAccessor(child.Accessor))
	_, err = as(t, child.ClientToken).Auth().Token().LookupSelf()
	refused(t, err, http.StatusForbidden, "permission denied")
}

func TestTokenUses(t *testing.T) {
	c := connect(t)
	auth := create(t, c, &api.TokenCreateRequest{NumUses: 2, Policies: []string{"default"}})
	twice := as(t, auth.ClientToken).Auth().Token()
	for range 2 {
		_, err := twice.LookupSelf()
		must(t, err)
	}
	_, err := twice.LookupSelf()
	refused(t, err, http.StatusForbidden, "permission denied")
}

func TestBatchToken(t *testing.T) {
	c := connect(t)
	auth := create(t, c, &api.TokenCreateRequest{Type: "batch", TTL: "1h", Policies: []string{"default"}})
	if !strings.HasPrefix(auth.ClientToken, "hvb.") {
		t.Fatal("a batch token begins with hvb.")
	}
	self, err := as(t, auth.ClientToken).Auth().Token().LookupSelf()
	must(t, err)
	equal(t, "type", self.Data["type"], any("batch"))
	_, err = as(t, auth.ClientToken).Auth().Token().RenewSelf(60)
	refused(t, err, http.StatusBadRequest, "batch tokens cannot be renewed")
	refused(t, c.Auth().Token().RevokeTree(auth.ClientToken), http.StatusBadRequest, "batch tokens cannot be revoked")
}

func TestPeriodicToken(t *testing.T) {
	c := connect(t)
	auth := create(t, c, &api.TokenCreateRequest{Period: "30m", Policies: []string{"default"}})
	renewed, err := as(t, auth.ClientToken).Auth().Token().RenewSelf(36000)
	must(t, err)
	equal(t, "lease_duration after renew", renewed.Auth.LeaseDuration, 1800)
}

// TestTokenLeases finds a token by its lease, as operators do.
func TestTokenLeases(t *testing.T) {
	c := connect(t)
	_, err := c.Sys().Lookup("auth/token/create/none")
	refused(t, err, http.StatusBadRequest, "invalid lease")

	auth := create(t, c, &api.TokenCreateRequest{TTL: "1h", Policies: []string{"default"}})
	list, err := c.Logical().List("sys/leases/lookup/auth/token/create")
	must(t, err)
	if len(keys(list)) == 0 {
		t.Fatal("no lease below auth/token/create")
	}
	id := "auth/token/create/" + keys(list)[0]
	lease, err := c.Sys().Lookup(id)
	must(t, err)
	equal(t, "the lease's id", lease.Data["id"], any(id))
	_, err = c.Sys().Renew(id, 60)
	refused(t, err, http.StatusBadRequest, "tokens cannot be renewed through this endpoint")

	must(t, c.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: "auth/token/create", Prefix: true, Sync: true}))
	_, err = as(t, auth.ClientToken).Auth().Token().LookupSelf()
	refused(t, err, http.StatusForbidden, "permission denied")
}

func TestWrapping(t *testing.T) {
	c := connect(t)
	mount(t, c, "go-wrap", "2")
	_, err := c.KVv2("go-wrap").Put(t.Context(), "s", map[string]any{"a": "b"})
	must(t, err)

	wrapper := connect(t)
	wrapper.SetWrappingLookupFunc(func(_, _ string) string { return "5m" })
	wrapped, err := wrapper.Logical().Read("go-wrap/data/s")
	must(t, err)
	equal(t, "wrap ttl", wrapped.WrapInfo.TTL, 300)
	equal(t, "creation_path", wrapped.WrapInfo.CreationPath, "go-wrap/data/s")
	if wrapped.Data != nil {
		t.Fatalf("a wrapped answer carries %v", wrapped.Data)
	}
	// A wrapping token is good for nothing else, and trying spends it.
	misused, err := wrapper.Logical().Read("go-wrap/data/s")
	must(t, err)
	_, err = as(t, misused.WrapInfo.Token).Logical().Read("go-wrap/data/s")
	refused(t, err, http.StatusForbidden, "permission denied")
	_, err = c.Logical().Unwrap(misused.WrapInfo.Token)
	refused(t, err, http.StatusBadRequest, "wrapping token is not valid or does not exist")

	info, err := c.Logical().Write("sys/wrapping/lookup", map[string]any{"token": wrapped.WrapInfo.Token})
	must(t, err)
	equal(t, "creation_path by lookup", info.Data["creation_path"], any("go-wrap/data/s"))
	equal(t, "creation_ttl by lookup", info.Data["creation_ttl"], any(json.Number("300")))

	again, err := c.Logical().Write("sys/wrapping/rewrap", map[string]any{"token": wrapped.WrapInfo.Token})
	must(t, err)
	_, err = c.Logical().Unwrap(wrapped.WrapInfo.Token)
	refused(t, err, http.StatusBadRequest, "wrapping token is not valid or does not exist")
	opened, err := c.Logical().Unwrap(again.WrapInfo.Token)
	must(t, err)
	equal(t, "the unwrapped secret", opened.Data["data"].(map[string]any)["a"], any("b"))
	_, err = c.Logical().Unwrap(again.WrapInfo.Token)
	refused(t, err, http.StatusBadRequest, "wrapping token is not valid or does not exist")

	wrappedToken, err := wrapper.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"default"}})
	must(t, err)
	if wrappedToken.WrapInfo.WrappedAccessor == "" {
		t.Fatal("a wrapped token has no wrapped_accessor")
	}
	token, err := as(t, "").Logical().Unwrap(wrappedToken.WrapInfo.Token)
	must(t, err)
	_, err = as(t, token.Auth.ClientToken).Auth().Token().LookupSelf()
	must(t, err)
}

func TestCubbyhole(t *testing.T) {
	c := connect(t)
	one := as(t, create(t, c, &api.TokenCreateRequest{Policies: []string{"default"}}).ClientToken)
	two := as(t, create(t, c, &api.TokenCreateRequest{Policies: []string{"default"}}).ClientToken)
	_, err := one.Logical().Write("cubbyhole/x", map[string]any{"a": "b"})
	must(t, err)
	mine, err := one.Logical().Read("cubbyhole/x")
	must(t, err)
	equal(t, "my own", mine.Data["a"], any("b"))
	theirs, err := two.Logical().Read("cubbyhole/x")
	must(t, err)
	if theirs != nil {
		t.Fatal("one token reads another's cubbyhole")
	}
}
