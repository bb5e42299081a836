package attacks

import (
	"net/http"
	"testing"
)

// A policy reaches what it names and what is made there later, and nothing beside
// it: no namespace that lies elsewhere, or whose name begins like one that it
// names.
func TestCVE_2020_10661_PoliciesBeforeTheirNamespaces(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "sys/namespaces/a", ""), 200)
	in := func(ns string) []string { return []string{"X-Vault-Namespace", ns} }
	w.want(w.do(w.root, http.MethodPut, "sys/policies/acl/p", `{"policy":"path \"kv/*\" { capabilities = [\"read\"] } path \"b/kv/*\" { capabilities = [\"read\"] } path \"+/x\" { capabilities = [\"read\"] }"}`, in("a")...), 204)
	token := w.want(w.do(w.root, http.MethodPost, "auth/token/create", `{"policies":["p"]}`, in("a")...), 200).Auth.ClientToken
	for _, ns := range []string{"kv", "ab", "b"} { // beside a, with names that the policy has
		w.want(w.do(w.root, http.MethodPost, "sys/namespaces/"+ns, ""), 200)
	}
	for _, ns := range []string{"b", "bc", "kv"} { // in a
		w.want(w.do(w.root, http.MethodPost, "sys/namespaces/"+ns, "", in("a")...), 200)
	}
	all := []string{"kv", "ab", "b", "a/b", "a/bc", "a/kv"}
	for _, ns := range all {
		w.want(w.do(w.root, http.MethodPost, "sys/mounts/kv", `{"type":"kv"}`, in(ns)...), 204)
		w.want(w.do(w.root, http.MethodPost, "kv/x", `{"v":"1"}`, in(ns)...), 204)
	}
	for _, ns := range all {
		want := 403
		if ns == "a/b" || ns == "a/kv" { // which the policy names: b/kv/*, and kv/* of which kv/kv/x is one
			want = 200
		}
		if a := w.do(token, http.MethodGet, "kv/x", "", in(ns)...); a.Status != want {
			t.Errorf("a's token in %q: %d, want %d", ns, a.Status, want)
		}
	}
	if a := w.do(token, http.MethodGet, "secret/x", ""); a.Status != 403 {
		t.Errorf("a's token in the root namespace: %d", a.Status)
	}
}

// Who is taken out of a group holds nothing of it from the next request on, with
// the token that they have.
func TestCVE_2020_10660_MembershipThatHasEnded(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "sys/auth/userpass", `{"type":"userpass"}`), 204)
	w.policy("reads", `path "secret/data/x" { capabilities = ["read"] }`)
	w.want(w.do(w.root, http.MethodPost, "secret/data/x", `{"data":{"x":"1"}}`), 200)
	token, entity, _ := w.user("ann")
	inner := w.set("group", `{"name":"inner","member_entity_ids":["`+entity+`"]}`)
	outer := w.set("group", `{"name":"outer","policies":["reads"],"member_group_ids":["`+inner+`"]}`)
	w.want(w.do(token, http.MethodGet, "secret/data/x", ""), 200)
	w.set("group/id/"+outer, `{"member_group_ids":[]}`)
	if a := w.do(token, http.MethodGet, "secret/data/x", ""); a.Status != 403 {
		t.Errorf("the inner group was taken out, yet: %d", a.Status)
	}
	w.set("group/id/"+outer, `{"member_group_ids":["`+inner+`"]}`)
	w.want(w.do(token, http.MethodGet, "secret/data/x", ""), 200)
	w.set("group/id/"+inner, `{"member_entity_ids":[]}`)
	if a := w.do(token, http.MethodGet, "secret/data/x", ""); a.Status != 403 {
		t.Errorf("ann was taken out, yet: %d", a.Status)
	}
}
