package govault

import (
	"net/http"
	"testing"

	"github.com/hashicorp/vault/api"
)

func TestTransit(t *testing.T) {
	c, ctx := connect(t), t.Context()
	must(t, c.Sys().Mount("go-transit", &api.MountInput{Type: "transit"}))
	items := []any{map[string]any{"plaintext": "b25l", "reference": "1"}, map[string]any{"plaintext": "dHdv", "reference": "2"}}
	made, err := c.Logical().WriteWithContext(ctx, "go-transit/encrypt/k", map[string]any{"batch_input": items})
	must(t, err)
	var sealed []any
	for _, r := range made.Data["batch_results"].([]any) {
		sealed = append(sealed, map[string]any{"ciphertext": r.(map[string]any)["ciphertext"]})
	}
	opened, err := c.Logical().WriteWithContext(ctx, "go-transit/decrypt/k", map[string]any{"batch_input": sealed})
	must(t, err)
	for i, r := range opened.Data["batch_results"].([]any) {
		equal(t, "a plaintext", r.(map[string]any)["plaintext"], items[i].(map[string]any)["plaintext"])
	}
	_, err = c.Logical().WriteWithContext(ctx, "go-transit/decrypt/k", map[string]any{"ciphertext": "vault:v1:AAAA"})
	refused(t, err, http.StatusBadRequest, "invalid ciphertext length")

	list, err := c.Logical().ListWithContext(ctx, "go-transit/keys")
	must(t, err)
	sameList(t, "the keys", keys(list), []string{"k"})
}
