package attacks

import (
	"net/http"
	"net/url"
	"testing"
)

// The root namespace has no name that a namespace below it could say: who rules
// a neither locks nor deletes what a lies in, nor makes a namespace that could
// be taken for it.
func TestCVE_2026_55775_RootNamespaceByAName(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, "POST", "sys/namespaces/a", ""), 200)
	w.want(w.do(w.root, "POST", "secret/data/x", `{"data":{"x":"1"}}`), 200)
	rules := w.want(w.do(w.root, "POST", "auth/token/create", `{"policies":["root"]}`, "X-Vault-Namespace", "a"), 200).Auth.ClientToken
	for _, name := range []string{"root", "ROOT", "Root", "root/", "/", ".", "..", "a", "../a", "../root", "%2e%2e", "root%2f", "%20root", "sys", "cubbyhole"} {
		for _, path := range []string{"sys/namespaces/" + name, "sys/namespaces/api-lock/lock/" + name, "sys/namespaces/api-lock/unlock/" + name} {
			for _, method := range []string{http.MethodDelete, http.MethodPatch, http.MethodPost, http.MethodPut} {
				w.raw(rules, method, path, "", "X-Vault-Namespace", "a")
				if a := w.do(w.root, http.MethodGet, "secret/data/x", ""); a.Status != 200 {
					t.Fatalf("%s %s in a: root answers %d %q", method, path, a.Status, a.Errors)
				}
			}
		}
	}
	for _, ns := range []string{"root", "ROOT", "/", "a/../", "..", "a/..", "root/"} {
		if a := w.do(rules, http.MethodGet, "secret/data/x", "", "X-Vault-Namespace", ns); a.Status < 400 {
			t.Errorf("a's root token reads root's secret as of %q: %s", ns, a.Data)
		}
		if a := w.do(rules, http.MethodGet, url.PathEscape(ns)+"/secret/data/x", ""); a.Status < 400 {
			t.Errorf("a's root token reads root's secret below %q: %s", ns, a.Data)
		}
	}
	w.want(w.do(w.root, http.MethodGet, "sys/namespaces/a", ""), 200)
}
