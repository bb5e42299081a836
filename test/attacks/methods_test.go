package attacks

import (
	"net/http"
	"strings"
	"testing"
)

// Operations that are the server's own have no method that a caller could say.
func TestGHSA_rh46_vc3j_w2w3_InternalOperationsDispatched(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"1"}}`), 200)
	for _, op := range []string{"RENEW", "REVOKE", "ROLLBACK", "ALIAS-LOOKAHEAD", "HELP", "HEADER", "RESOLVE-ROLE", "renew", "revoke", "delete", "TRACE"} {
		for _, path := range []string{"secret/data/a", "auth/token/create", "sys/policies/acl/default"} {
			if a := w.do(w.root, op, path, `{"policies":["root"]}`); a.Status < 400 || a.Auth.ClientToken != "" {
				t.Errorf("%s %s: status %d", op, path, a.Status)
			}
		}
	}
	reader := w.token("reader", `path "secret/data/a" { capabilities = ["read"] }`)
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		w.do(reader, http.MethodGet, "secret/data/a?_method=DELETE", "", header, "DELETE")
	}
	if a := w.want(w.do(reader, http.MethodGet, "secret/data/a", ""), 200); !strings.Contains(string(a.Data), `"x":"1"`) {
		t.Errorf("the neighbour reads %s", a.Data)
	}
}
