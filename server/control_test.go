package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// guarded is a server whose secret/data/vault two of the elders have to agree to.
func guarded(t *testing.T) (w *world, who map[string]login) {
	w = open(t, passes())
	w.withPass()
	w.policy("ask", `path "secret/data/vault" { capabilities = ["read", "update", "create"]
		control_group = { factor "elders" { identity { group_names = ["elders"] approvals = 2 } } } }
		path "sys/control-group/authorize" { capabilities = ["update"] }`)
	who = map[string]login{}
	var elders []string
	for _, name := range []string{"ann", "bob", "cid", "dan"} {
		who[name] = w.logIn("auth/pass/login/"+name, `{"token_policies":"ask"}`)
		if name != "dan" {
			elders = append(elders, fmt.Sprintf("%q", who[name].EntityID))
		}
	}
	w.set("group", `{"name":"elders","member_entity_ids":[`+strings.Join(elders, ",")+`]}`)
	w.must(w.do(w.root, "POST", "secret/data/vault", `{"data":{"gold":"much"}}`))
	return w, who
}

func (w *world) agree(l login, accessor string) answer {
	w.t.Helper()
	return w.do(l.ClientToken, "POST", "sys/control-group/authorize", fmt.Sprintf(`{"accessor":%q}`, accessor))
}

func TestOthersHaveToAgree(t *testing.T) {
	w, who := guarded(t)
	ann := who["ann"].ClientToken
	a := w.must(w.do(ann, "GET", "secret/data/vault", ""))
	wrap, accessor := a.WrapInfo.Token, a.WrapInfo.Accessor
	if wrap == "" || strings.Contains(string(a.body), "much") {
		t.Fatalf("answered %s", a.body)
	}
	unwrap := func(token string) answer {
		return w.do(token, "POST", "sys/wrapping/unwrap", fmt.Sprintf(`{"token":%q}`, wrap))
	}
	refused := func(when string) {
		t.Helper()
		if a := unwrap(ann); a.Status != 403 || !strings.Contains(strings.Join(a.Errors, ""), "further approval") {
			t.Errorf("%s: %d %v", when, a.Status, a.Errors)
		}
	}
	refused("nobody has agreed")
	if a := w.agree(who["ann"], accessor); a.Status != 403 {
		t.Errorf("ann agreed with herself: %d", a.Status)
	}
	if a := w.agree(who["dan"], accessor); a.Status != 403 {
		t.Errorf("dan, who is no elder, agreed: %d", a.Status)
	}
	if a := w.agree(login{ClientToken: w.root}, accessor); a.Status != 403 {
		t.Errorf("root, who is nobody, agreed: %d", a.Status)
	}
	for range 2 { // the same consent twice is one
		if a := w.must(w.agree(who["bob"], accessor)); !strings.Contains(string(a.Data), `"approved":false`) {
			t.Errorf("bob alone: %s", a.Data)
		}
	}
	refused("bob has agreed")
	if a := w.must(w.agree(who["cid"], accessor)); !strings.Contains(string(a.Data), `"approved":true`) {
		t.Errorf("bob and cid: %s", a.Data)
	}
	status := w.must(w.do(ann, "POST", "sys/control-group/request", fmt.Sprintf(`{"accessor":%q}`, accessor)))
	if s := string(status.Data); !strings.Contains(s, `"approved":true`) || !strings.Contains(s, `"request_path":"secret/data/vault"`) {
		t.Errorf("status: %s", s)
	}
	if a := w.must(unwrap(ann)); !strings.Contains(string(a.Data), "much") {
		t.Errorf("agreed to, yet: %s", a.body)
	}
	if a := unwrap(ann); a.Status != 400 {
		t.Errorf("unwrapped twice: %d", a.Status)
	}
}

// A request that waits is carried out once, as it was made, by who may still
// make it.
func TestWhatIsAgreedToIsDoneOnce(t *testing.T) {
	w, who := guarded(t)
	held := func() (wrap string) {
		a := w.must(w.do(who["ann"].ClientToken, "POST", "secret/data/vault", `{"data":{"gold":"none"}}`))
		w.must(w.agree(who["bob"], a.WrapInfo.Accessor))
		w.must(w.agree(who["cid"], a.WrapInfo.Accessor))
		return a.WrapInfo.Token
	}
	wrap := held()
	if a := w.must(w.do(w.root, "GET", "secret/data/vault", "")); strings.Contains(string(a.Data), "none") {
		t.Fatal("written before it was unwrapped")
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range 8 {
		all.Go(func() {
			if a := w.do(wrap, "POST", "sys/wrapping/unwrap", ""); a.Status == 200 {
				mu.Lock()
				done++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	a := w.must(w.do(w.root, "GET", "secret/metadata/vault", ""))
	if done != 1 || !strings.Contains(string(a.Data), `"current_version":2`) {
		t.Errorf("done %d times: %s", done, a.Data)
	}
	wrap = held()
	w.policy("ask", `path "secret/data/other" { capabilities = ["read"] }`)
	if a := w.do(wrap, "POST", "sys/wrapping/unwrap", ""); a.Status != 403 {
		t.Errorf("ann may not any longer, yet: %d", a.Status)
	}
	w.must(w.do(w.root, "POST", "auth/token/revoke", fmt.Sprintf(`{"token":%q}`, who["ann"].ClientToken)))
	if a := w.do(wrap, "POST", "sys/wrapping/unwrap", ""); a.Status != 403 {
		t.Errorf("ann is gone, yet: %d", a.Status)
	}
}
