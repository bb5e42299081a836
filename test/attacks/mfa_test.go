package attacks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// factors is a world in which everybody who logs in has to prove a code: ann and
// bob have a secret, eve has none. They log in by AppRole, which is quick, and by
// userpass. The clock stands still.
type factors struct {
	*world
	at      atomic.Int64
	method  string
	secrets map[string]string
}

var people = []string{"ann", "bob", "eve"}

func openFactors(t *testing.T) *factors {
	t.Helper()
	f := &factors{secrets: map[string]string{}}
	f.at.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Unix())
	f.world = openAt(t, f.now)
	for _, typ := range []string{"userpass", "approle"} {
		f.want(f.do(f.root, http.MethodPost, "sys/auth/"+typ, `{"type":"`+typ+`"}`), 204)
	}
	f.method = f.get(f.want(f.do(f.root, http.MethodPost, "identity/mfa/method/totp", `{"issuer":"x","method_name":"phone"}`), 200), "method_id")
	ids := map[string]string{}
	for _, name := range people {
		f.want(f.do(f.root, http.MethodPost, "auth/approle/role/"+name, `{"role_id":"`+name+`"}`), 204)
		f.want(f.do(f.root, http.MethodPost, "auth/approle/role/"+name+"/custom-secret-id", `{"secret_id":"of `+name+`"}`), 200)
		token := f.want(f.login(name), 200).Auth.ClientToken
		ids[name] = f.get(f.want(f.do(token, http.MethodGet, "auth/token/lookup-self", ""), 200), "entity_id")
	}
	for _, name := range people[:2] {
		a := f.want(f.do(f.root, http.MethodPost, "identity/mfa/method/totp/admin-generate",
			fmt.Sprintf(`{"method_id":%q,"entity_id":%q}`, f.method, ids[name])), 200)
		u, err := url.Parse(f.get(a, "url"))
		if err != nil {
			t.Fatal(err)
		}
		f.secrets[name] = u.Query().Get("secret")
	}
	f.enforce(`"auth_method_types":["approle","userpass"]`)
	return f
}

func (f *factors) now() time.Time          { return time.Unix(f.at.Load(), 0).UTC() }
func (f *factors) advance(d time.Duration) { f.at.Add(int64(d / time.Second)) }
func (f *factors) get(a answer, k string) string {
	f.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.Data, &m); err != nil {
		f.t.Fatal(err)
	}
	s, ok := m[k].(string)
	if !ok {
		f.t.Fatalf("no %s in %s", k, a.Data)
	}
	return s
}

func (f *factors) enforce(whom string) {
	f.t.Helper()
	f.want(f.do(f.root, http.MethodPost, "identity/mfa/login-enforcement/people", fmt.Sprintf(`{"mfa_method_ids":[%q],%s}`, f.method, whom)), 204)
}

func (f *factors) code(name string) string {
	f.t.Helper()
	c, err := totp.GenerateCode(f.secrets[name], f.now())
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// wrong is the n-th code of six digits that none of name's is.
func (f *factors) wrong(name string, n int) string {
	f.t.Helper()
	right := map[string]bool{}
	for d := -2; d <= 2; d++ {
		if f.secrets[name] == "" {
			break
		}
		c, err := totp.GenerateCode(f.secrets[name], f.now().Add(time.Duration(d)*30*time.Second))
		if err != nil {
			f.t.Fatal(err)
		}
		right[c] = true
	}
	for i := 0; ; i++ {
		if c := fmt.Sprintf("%06d", i); !right[c] {
			if n == 0 {
				return c
			}
			n--
		}
	}
}

func (f *factors) login(name string, headers ...string) answer {
	return f.do("", http.MethodPost, "auth/approle/login", `{"role_id":"`+name+`","secret_id":"of `+name+`"}`, headers...)
}

// signIn is a login by userpass.
func (f *factors) signIn(name string) answer {
	return f.do("", http.MethodPost, "auth/userpass/login/"+name, `{"password":"secret"}`)
}

// begins is a login that waits.
func (f *factors) begins(name string) (request string) {
	f.t.Helper()
	a := f.want(f.login(name), 200)
	if a.Auth.ClientToken != "" || a.Auth.MFA.Request == "" {
		f.t.Fatalf("%s logs in without a second factor", name)
	}
	return a.Auth.MFA.Request
}

func (f *factors) prove(request, method, code string) answer {
	body, err := json.Marshal(map[string]any{"mfa_request_id": request, "mfa_payload": map[string][]string{method: {code}}})
	if err != nil {
		f.t.Error(err)
	}
	return f.do("", http.MethodPost, "sys/mfa/validate", string(body))
}

// tokens is how many tokens there are.
func (f *factors) tokens() int {
	f.t.Helper()
	var list struct{ Keys []string }
	a := f.want(f.do(f.root, "LIST", "auth/token/accessors", ""), 200)
	if err := json.Unmarshal(a.Data, &list); err != nil {
		f.t.Fatal(err)
	}
	return len(list.Keys)
}

// Guesses at once, of one login and of many, by the method's id and by its name,
// in one request and in two, come to no more than are allowed, and then the
// right code is refused as a wrong one is.
func TestCVE_2025_6015_GuessesAtOnce(t *testing.T) {
	f := openFactors(t)
	before := f.tokens()
	one := f.begins("ann")
	var looked, deaf, other atomic.Int32
	var all sync.WaitGroup
	const guesses = 40
	many := make([]string, guesses)
	for i := range many {
		many[i] = f.begins("ann")
	}
	for i := range guesses {
		wrong := f.wrong("ann", i)
		all.Go(func() {
			var a answer
			switch i % 4 {
			case 0:
				a = f.prove(one, f.method, wrong)
			case 1:
				a = f.prove(many[i], "phone", wrong)
			case 2:
				a = f.login("ann", "X-Vault-MFA", f.method+":"+wrong)
			case 3:
				a = f.login("ann", "X-Vault-MFA", "phone:passcode="+wrong)
			}
			switch told := strings.Join(a.Errors, ""); {
			case a.Status == 403 && strings.Contains(told, "validation failed"):
				looked.Add(1)
			case a.Status == 403 && strings.Contains(told, "maximum TOTP validation attempts"):
				deaf.Add(1)
			default:
				other.Add(1)
				t.Errorf("%d %s", a.Status, told)
			}
		})
	}
	all.Wait()
	if looked.Load() != 5 || deaf.Load() != guesses-5 {
		t.Errorf("%d guesses were looked at, %d were not", looked.Load(), deaf.Load())
	}
	for _, a := range []answer{f.prove(one, f.method, f.code("ann")), f.login("ann", "X-Vault-MFA", "phone:"+f.code("ann"))} {
		if a.Status != 403 || !strings.Contains(a.Errors[0], "maximum TOTP validation attempts") {
			t.Errorf("a right code after too many wrong ones: %d %q", a.Status, a.Errors)
		}
	}
	if n := f.tokens(); n != before {
		t.Errorf("%d tokens were made", n-before)
	}
	f.want(f.login("bob", "X-Vault-MFA", "phone:"+f.code("bob")), 200) // whom it does not concern
	f.advance(90 * time.Second)
	f.want(f.prove(one, f.method, f.code("ann")), 200)
}

// Of one code sent many times at once one is taken; of one login that waits
// comes one token.
func TestCVE_2025_6015_OneCodeOnce(t *testing.T) {
	f := openFactors(t)
	race := func(tries int, send func(i int) answer) (taken int32) {
		var n atomic.Int32
		var all sync.WaitGroup
		for i := range tries {
			all.Go(func() {
				if a := send(i); a.Status == 200 && a.Auth.ClientToken != "" {
					n.Add(1)
				} else if a.Status != 403 {
					t.Errorf("%d %q", a.Status, a.Errors)
				}
			})
		}
		all.Wait()
		return n.Load()
	}
	requests := make([]string, 16)
	for i := range requests {
		requests[i] = f.begins("ann")
	}
	code := f.code("ann")
	before := f.tokens()
	if n := race(len(requests), func(i int) answer {
		if i%2 == 0 {
			return f.login("ann", "X-Vault-MFA", "phone:"+code)
		}
		return f.prove(requests[i], f.method, code)
	}); n != 1 {
		t.Errorf("a code was taken %d times", n)
	}
	if n := f.tokens() - before; n != 1 {
		t.Errorf("%d tokens of one code", n)
	}
	f.advance(20 * time.Minute)
	waits := f.begins("bob")
	code = f.code("bob")
	if n := race(16, func(int) answer { return f.prove(waits, f.method, code) }); n != 1 {
		t.Errorf("a login became %d tokens", n)
	}
	f.advance(time.Minute)
	if a := f.prove(waits, f.method, f.code("bob")); a.Status != 403 {
		t.Errorf("a login that became a token is open still: %d", a.Status)
	}
}

// spellings of a code that some program might read as the code.
func spellings(code string) []string {
	wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, code)
	arabic := strings.Map(func(r rune) rune { return r - '0' + '٠' }, code)
	return []string{" " + code, code + " ", code[:3] + " " + code[3:], code + "\t", "\n" + code, "0" + code, "00" + code, "+" + code,
		code + "\x00", code + "\u00a0", "\ufeff" + code, code[:3] + "-" + code[3:], wide, arabic, code + ".0", "0x" + code, "passcode=" + "passcode=" + code}
}

// A code is its digits and nothing else, used or not.
func TestCVE_2025_6014_SpellingsOfACode(t *testing.T) {
	f := openFactors(t)
	for i := range spellings("123456") {
		f.advance(20 * time.Minute) // what failed does not matter any longer
		code := f.code("ann")
		spelt := spellings(code)[i]
		fresh := f.begins("ann")
		if a := f.prove(fresh, f.method, spelt); a.Status != 403 {
			t.Errorf("%q was taken: %d", spelt, a.Status)
		}
		f.want(f.prove(fresh, f.method, code), 200)
		used := f.begins("ann")
		for _, again := range []string{spelt, code} {
			if a := f.prove(used, f.method, again); a.Status != 403 {
				t.Errorf("%q was taken after %q: %d", again, code, a.Status)
			}
		}
	}
}

// However a name is spelt, it is the same entity's, of whom the code is asked;
// and an enforcement at a mount asks also those who are nobody's entity.
func TestCVE_2025_6013_SpellingsOfAName(t *testing.T) {
	f := openFactors(t)
	f.enforce(`"auth_method_types":["approle"]`)
	for _, name := range people {
		f.want(f.do(f.root, http.MethodPost, "auth/userpass/users/"+name, `{"password":"secret"}`), 204)
	}
	token := f.want(f.signIn("ann"), 200).Auth.ClientToken
	id := f.get(f.want(f.do(token, http.MethodGet, "auth/token/lookup-self", ""), 200), "entity_id")
	f.enforce(fmt.Sprintf(`"auth_method_types":[],"identity_entity_ids":[%q]`, id))
	for _, name := range []string{"ann", "Ann", "ANN", "aNN", "ann%20", "%20ann", "ann%00", "%EF%BD%81nn", "ann/", "ann@x"} {
		if a := f.signIn(name); a.Status == 200 && a.Auth.ClientToken != "" {
			t.Errorf("%q logs in without a second factor", name)
		}
	}
	if a := f.want(f.signIn("bob"), 200); a.Auth.ClientToken == "" {
		t.Error("the neighbour needs a second factor")
	}

	f.want(f.do(f.root, http.MethodPost, "sys/auth/local", `{"type":"userpass","local":true}`), 204)
	f.want(f.do(f.root, http.MethodPost, "auth/local/users/joe", `{"password":"secret"}`), 204)
	joe := func(headers ...string) answer {
		return f.do("", http.MethodPost, "auth/local/login/joe", `{"password":"secret"}`, headers...)
	}
	f.want(joe(), 200)
	f.enforce(`"auth_method_types":["userpass"],"identity_entity_ids":[]`)
	for _, a := range []answer{joe(), joe("X-Vault-MFA", "phone:000000"), joe("X-Vault-MFA", "phone")} {
		if a.Status != 403 {
			t.Errorf("who has no entity: %d", a.Status)
		}
	}
}

// What is demanded outlives a seal and a move of the mount, and a login that
// waited does so too.
func TestCVE_2022_30689_EnforcementLasts(t *testing.T) {
	f := openFactors(t)
	waits := f.begins("ann")
	f.reseal()
	f.begins("ann")
	f.want(f.do(f.root, http.MethodPost, "sys/remount", `{"from":"auth/approle","to":"auth/moved"}`), 200)
	if a := f.want(f.do("", http.MethodPost, "auth/moved/login", `{"role_id":"ann","secret_id":"of ann"}`), 200); a.Auth.ClientToken != "" {
		t.Error("a mount that moved asks for nothing")
	}
	f.want(f.prove(waits, f.method, f.code("ann")), 200)
}

// A login is proved by whom it is of, and by nobody else.
func TestCrossEntityRequestIDs(t *testing.T) {
	f := openFactors(t)
	anns, bobs := f.begins("ann"), f.begins("bob")
	for _, a := range []answer{f.prove(anns, f.method, f.code("bob")), f.prove(bobs, f.method, f.code("ann"))} {
		if a.Status != 403 {
			t.Errorf("somebody else's code: %d", a.Status)
		}
	}
	token := f.want(f.prove(anns, f.method, f.code("ann")), 200).Auth.ClientToken
	if path := f.want(f.do(token, http.MethodGet, "auth/token/lookup-self", ""), 200); !strings.Contains(string(path.Data), `"role_name":"ann"`) {
		t.Errorf("ann's login is somebody else's: %s", path.Data)
	}
	f.want(f.prove(bobs, f.method, f.code("bob")), 200)
}

// Who has no secret is told, try for try, what one with a wrong code is.
func TestSecondFactorsTellNotWhoHasOne(t *testing.T) {
	f := openFactors(t)
	for i := range 7 {
		has, none := f.prove(f.begins("ann"), f.method, f.wrong("ann", i)), f.prove(f.begins("eve"), f.method, f.wrong("eve", i))
		if has.Status != none.Status || strings.Join(has.Errors, "") != strings.Join(none.Errors, "") {
			t.Errorf("try %d: with a secret %d %q, without %d %q", i, has.Status, has.Errors, none.Status, none.Errors)
		}
	}
}
