package sys

import (
	"strings"
	"testing"
)

func TestTheCommandLineIsShownWithoutItsToken(t *testing.T) {
	for line, want := range map[string]string{
		"vault server -dev -dev-root-token-id=secret":      "vault server -dev -dev-root-token-id=…",
		"vault server --dev-root-token-id secret -dev":     "vault server --dev-root-token-id … -dev",
		"vault server -config=/etc/vault.hcl":              "vault server -config=/etc/vault.hcl",
		"vault server -dev -dev-root-token-id":             "vault server -dev -dev-root-token-id",
		"vault server -dev-tls -dev-tls-cert-dir=/tmp/tls": "vault server -dev-tls -dev-tls-cert-dir=/tmp/tls",
	} {
		if got := strings.Join(withoutToken(strings.Fields(line)), " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
