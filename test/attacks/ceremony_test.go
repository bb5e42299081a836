package attacks

import (
	"net/http"
	"testing"
)

// ceremony tells that only who has sudo starts, feeds or ends the ceremony at
// path, and that a stranger's try leaves it as it was.
func ceremony(t *testing.T, path, update, start string) {
	w := open(t)
	weak := w.token("weak", `path "`+path+`" { capabilities = ["create","read","update","delete"] } path "`+update+`" { capabilities = ["create","update"] }`)
	none := w.token("none", `path "secret/*" { capabilities = ["read"] }`)
	status := func() string {
		return string(w.want(w.do(w.root, http.MethodGet, path, "", "Accept", "application/json"), 200).Data)
	}
	for _, started := range []bool{false, true} {
		if started {
			w.want(w.do(w.root, http.MethodPut, path, start), 200)
		}
		before := status()
		for _, token := range []string{"", "hvs.wrong", none, weak} {
			w.want(w.do(token, http.MethodPut, path, start), 403)
			w.want(w.do(token, http.MethodPost, path, start), 403)
			w.want(w.do(token, http.MethodDelete, path, ""), 403)
			w.want(w.do(token, http.MethodPut, update, `{"key":"00","nonce":"x"}`), 403)
		}
		if after := status(); after != before {
			t.Errorf("strangers turned %s into %s", before, after)
		}
		if started {
			if a := w.do(w.root, http.MethodPut, path, start); a.Status != 400 {
				t.Errorf("it was given up: status %d", a.Status)
			}
		}
	}
	w.want(w.do(w.root, http.MethodDelete, path, ""), 204)
}

// A stranger neither begins nor cancels a rekey.
func TestCVE_2025_4656_RekeyCancelledByAStranger(t *testing.T) {
	ceremony(t, "sys/rekey/init", "sys/rekey/update", `{"secret_shares":1,"secret_threshold":1}`)
}

// A stranger neither occupies the one root generation nor ends it.
func TestCVE_2026_5807_GenerateRootOccupiedByAStranger(t *testing.T) {
	ceremony(t, "sys/generate-root/attempt", "sys/generate-root/update", `{}`)
}
