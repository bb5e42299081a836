package server_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastness-dev/fastness/server"
)

// Others are Duo, Okta and PingID as their documentation has them, played by
// handlers: what is asked of any other host is an error.
type others struct {
	t     *testing.T
	mu    sync.Mutex
	asked []string // of the calls, in order: METHOD host/path
	polls map[string]int
	forge bool // PingID signs with another's key
}

var pingKey = []byte("the key of the organisation")

func (o *others) RoundTrip(q *http.Request) (*http.Response, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q.URL.Scheme != "https" {
		o.t.Errorf("asked in the clear: %s", q.URL)
	}
	var body []byte
	if q.Body != nil {
		var err error
		if body, err = io.ReadAll(q.Body); err != nil {
			return nil, err
		}
	}
	o.asked = append(o.asked, q.Method+" "+q.URL.Host+q.URL.Path)
	w := httptest.NewRecorder()
	switch q.URL.Host {
	case "api-x.duosecurity.com":
		o.duo(w, q, string(body))
	case "acme.okta.com":
		o.okta(w, q)
	case "idp.pingone.com":
		o.ping(w, string(body))
	default:
		o.t.Errorf("asked %s", q.URL)
		w.WriteHeader(http.StatusTeapot)
	}
	return w.Result(), nil
}

// duo plays the Auth API. It makes out the signature anew of what came.
func (o *others) duo(w http.ResponseWriter, q *http.Request, params string) {
	if q.Method == http.MethodGet {
		params = q.URL.RawQuery
	}
	at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 -0700", q.Header.Get("Date"))
	mac := hmac.New(sha1.New, []byte("skey"))
	mac.Write([]byte(strings.Join([]string{q.Header.Get("Date"), q.Method, "api-x.duosecurity.com", q.URL.Path, params}, "\n")))
	name, sum, _ := q.BasicAuth()
	if err != nil || time.Since(at).Abs() > time.Minute || name != "ikey" || sum != hex.EncodeToString(mac.Sum(nil)) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"stat":"FAIL","code":40103,"message":"Invalid signature in request credentials"}`)
		return
	}
	v, err := url.ParseQuery(params)
	if err != nil || params != strings.ReplaceAll(v.Encode(), "+", "%20") {
		o.t.Errorf("duo: parameters %q are not in order", params)
	}
	result := func(r string) {
		fmt.Fprintf(w, `{"stat":"OK","response":{"result":%q,"status":"x","status_msg":"x"}}`, r)
	}
	user := v.Get("username")
	switch q.URL.Path {
	case "/auth/v2/preauth":
		result(map[string]string{"nobody": "enroll", "banned": "deny", "trusted": "allow"}[user] + map[bool]string{true: "auth"}[user == "ann b" || user == "kim"])
	case "/auth/v2/auth":
		switch {
		case v.Get("factor") == "passcode" && v.Get("passcode") == "424242":
			result("allow")
		case v.Get("factor") == "passcode":
			result("deny")
		case v.Get("async") != "1" || v.Get("device") != "auto" || v.Get("pushinfo") != "from=vault&to=you":
			o.t.Errorf("duo: %q", params)
		default:
			fmt.Fprintf(w, `{"stat":"OK","response":{"txid":"tx of %s"}}`, user)
		}
	case "/auth/v2/auth_status":
		id := v.Get("txid")
		if o.polls[id]++; o.polls[id]%3 != 0 {
			result("waiting")
			return
		}
		result(map[string]string{"tx of ann b": "allow", "tx of kim": "deny"}[id])
	}
}

// okta plays the Users and Factors API.
func (o *others) okta(w http.ResponseWriter, q *http.Request) {
	if q.Header.Get("Authorization") != "SSWS token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	const users = "/api/v1/users/"
	switch path, _ := strings.CutPrefix(q.URL.Path, users); q.Method + " " + path {
	case "GET ann b", "GET kim", "GET lost", "GET trick":
		fmt.Fprintf(w, `{"id":"id-%.3s","status":"ACTIVE","profile":{"login":"x","email":"ann b"}}`, path)
	case "GET banned":
		_, _ = io.WriteString(w, `{"id":"id-ban","status":"SUSPENDED"}`)
	case "GET id-ann/factors", "GET id-kim/factors", "GET id-tri/factors":
		_, _ = io.WriteString(w, `[{"id":"sms1","factorType":"sms","provider":"OKTA","status":"ACTIVE"},
			{"id":"old1","factorType":"push","provider":"OKTA","status":"PENDING_ACTIVATION"},
			{"id":"opf1","factorType":"push","provider":"OKTA","status":"ACTIVE"}]`)
	case "GET id-los/factors":
		_, _ = io.WriteString(w, `[{"id":"sms1","factorType":"sms","provider":"OKTA","status":"ACTIVE"}]`)
	case "POST id-tri/factors/opf1/verify":
		_, _ = io.WriteString(w, `{"factorResult":"WAITING","_links":{"poll":{"href":"https://evil.example/api"}}}`)
	case "POST id-ann/factors/opf1/verify", "POST id-kim/factors/opf1/verify":
		at := "https://acme.okta.com" + strings.TrimSuffix(q.URL.Path, "/verify") + "/transactions/t1"
		fmt.Fprintf(w, `{"factorResult":"WAITING","_links":{"poll":{"href":%q}}}`, at)
	case "GET id-ann/factors/opf1/transactions/t1", "GET id-kim/factors/opf1/transactions/t1":
		if o.polls[path]++; o.polls[path]%2 != 0 {
			fmt.Fprintf(w, `{"factorResult":"WAITING","_links":{"poll":{"href":"https://acme.okta.com%s"}}}`, q.URL.Path)
			return
		}
		fmt.Fprintf(w, `{"factorResult":%q}`, map[bool]string{true: "SUCCESS", false: "REJECTED"}[strings.HasPrefix(path, "id-ann")])
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errorCode":"E0000007"}`)
	}
}

// ping plays authonline of the PingID API.
func (o *others) ping(w http.ResponseWriter, jwt string) {
	sign := func(key []byte, text string) string {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 || parts[2] != sign(pingKey, parts[0]+"."+parts[1]) {
		o.t.Errorf("pingid: %q is not signed", jwt)
		return
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		o.t.Error(err)
	}
	var q struct {
		ReqHeader struct{ OrgAlias, SecretKey, Timestamp, Version string }
		ReqBody   struct{ SPAlias, UserName, AuthType string }
	}
	if err := json.Unmarshal(raw, &q); err != nil || q.ReqHeader.OrgAlias != "org" || q.ReqHeader.SecretKey != "tok" || q.ReqBody.AuthType != "CONFIRM" {
		o.t.Errorf("pingid: %s", raw)
	}
	key := pingKey
	if o.forge {
		key = []byte("another key")
	}
	id := map[string]int{"ann b": 200, "kim": 20505}[q.ReqBody.UserName]
	body := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"responseBody":{"errorId":%d,"errorMsg":"x","sessionId":"s"}}`, id))
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`))
	_, _ = io.WriteString(w, head+"."+body+"."+sign(key, head+"."+body))
}

// took gives the calls since the last time.
func (o *others) took() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { o.asked = nil }()
	return o.asked
}

// pushing runs a story with a method at which entities are known by the name of
// their alias, in a bubble of time.
func pushing(t *testing.T, kind, settings string, story func(t *testing.T, w *world, o *others, method string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &others{t: t, polls: map[string]int{}}
		w := openWith(t, func(opt *server.Options) {
			opt.Engines, opt.Outgoing = append(opt.Engines, passes()), &http.Client{Transport: o}
		})
		accessor := w.withPass()
		id := w.method("identity/mfa/method/"+kind, `{"method_name":"push","username_format":"{{identity.entity.aliases.`+accessor+`.name}}",`+settings+`}`)
		w.want(w.do(w.root, "POST", "identity/mfa/login-enforcement/all", `{"mfa_method_ids":["`+id+`"],"auth_method_types":["pass"]}`), 204)
		var shown map[string]any
		w.read("identity/mfa/method/"+kind+"/"+id, &shown)
		if text := fmt.Sprint(shown); strings.Contains(text, "skey") || strings.Contains(text, "token:token") || strings.Contains(text, string(pingKey)) {
			t.Errorf("a secret is shown: %v", shown)
		}
		story(t, w, o, id)
	})
}

func (w *world) method(path, body string) string {
	w.t.Helper()
	var made struct {
		ID string `json:"method_id"`
	}
	if err := json.Unmarshal(w.want(w.do(w.root, "POST", path, body), 200).Data, &made); err != nil {
		w.t.Fatal(err)
	}
	return made.ID
}

const (
	duoSettings  = `"secret_key":"skey","integration_key":"ikey","api_hostname":"api-x.duosecurity.com","push_info":"from=vault&to=you"`
	oktaSettings = `"org_name":"acme","api_token":"token"`
)

func pingSettings() string {
	file := "#Auto-Generated from PingOne\nuse_base64_key=" + base64.StdEncoding.EncodeToString(pingKey) + "\nuse_signature=true\ntoken=tok\n" +
		"idp_url=https\\://idp.pingone.com/pingid\norg_alias=org\nadmin_url=https\\://idp.pingone.com/pingid\nauthenticator_url=https\\://a.pingone.com/pingid/ppm\n"
	return `"settings_file_base64":"` + base64.StdEncoding.EncodeToString([]byte(file)) + `"`
}

// Who approves gets a token, in one request as in two; whoever does not gets
// none, and is told no more than that.
func TestPushes(t *testing.T) {
	for _, kind := range []struct{ name, settings string }{{"duo", duoSettings}, {"okta", oktaSettings}, {"pingid", pingSettings()}} {
		t.Run(kind.name, func(t *testing.T) {
			pushing(t, kind.name, kind.settings, func(t *testing.T, w *world, o *others, method string) {
				for user, lets := range map[string]bool{"ann b": true, "kim": false, "banned": false, "nobody": false} {
					at := "auth/pass/login/" + url.PathEscape(user)
					one := w.doWith("", "POST", at, "", []string{"push"})
					two := w.must(w.do("", "POST", at, ""))
					var need struct {
						Auth struct {
							MFA struct {
								ID string `json:"mfa_request_id"`
							} `json:"mfa_requirement"`
						}
					}
					if err := json.Unmarshal(two.body, &need); err != nil {
						t.Fatal(err)
					}
					proved := w.do("", "POST", "sys/mfa/validate", `{"mfa_request_id":"`+need.Auth.MFA.ID+`","mfa_payload":{"`+method+`":[""]}}`)
					for _, a := range []answer{one, proved} {
						if lets && (a.Status != 200 || a.Auth.ClientToken == "" || a.Auth.EntityID == "") || !lets && (a.Status != 403 || a.Auth.ClientToken != "") {
							t.Errorf("%s: %d %q", user, a.Status, a.Errors)
						}
					}
					if again := w.do("", "POST", "sys/mfa/validate", `{"mfa_request_id":"`+need.Auth.MFA.ID+`","mfa_payload":{"push":[]}}`); again.Status != 403 {
						t.Errorf("%s: once more: %d", user, again.Status)
					}
				}
				for _, call := range o.took() {
					if strings.Contains(call, "evil") {
						t.Errorf("asked %s", call)
					}
				}
			})
		})
	}
}

// Nobody's telephone rings without end: what is not approved counts as a wrong
// code does, and then nobody is asked any longer.
func TestPushesThatAreNotApprovedEnd(t *testing.T) {
	pushing(t, "duo", duoSettings, func(t *testing.T, w *world, o *others, _ string) {
		rings := func() (n int) {
			w.doWith("", "POST", "auth/pass/login/kim", "", []string{"push"})
			for _, call := range o.took() {
				if strings.HasSuffix(call, "/auth/v2/auth") {
					n++
				}
			}
			return n
		}
		var rang []int
		for range 7 {
			rang = append(rang, rings())
		}
		if !slices.Equal(rang, []int{1, 1, 1, 1, 1, 0, 0}) {
			t.Errorf("rang %v", rang)
		}
		time.Sleep(time.Minute) // of the bubble
		if n := rings(); n != 1 {
			t.Errorf("after a minute it rang %d times", n)
		}
	})
}

// Duo takes a passcode too, and may let people in or not by itself.
func TestDuoPasscodes(t *testing.T) {
	pushing(t, "duo", duoSettings+`,"use_passcode":true`, func(t *testing.T, w *world, o *others, method string) {
		for _, c := range []struct {
			user, credential string
			lets             bool
		}{{"ann b", "push:424242", true}, {"ann b", method + ":passcode=424242", true}, {"ann b", "push:111111", false}, {"trusted", "push", true}} {
			a := w.doWith("", "POST", "auth/pass/login/"+url.PathEscape(c.user), "", []string{c.credential})
			if (a.Status == 200 && a.Auth.ClientToken != "") != c.lets {
				t.Errorf("%s with %s: %d %q", c.user, c.credential, a.Status, a.Errors)
			}
		}
		if a := w.must(w.do("", "POST", "auth/pass/login/kim", "")); !strings.Contains(string(a.body), `"uses_passcode":true`) {
			t.Errorf("not told to use a passcode: %s", a.body)
		}
	})
}

// What Okta answers does not carry its token elsewhere; an address that is not
// the user's own is not theirs.
func TestOktaIsAskedAtHome(t *testing.T) {
	pushing(t, "okta", oktaSettings+`,"primary_email":true`, func(t *testing.T, w *world, o *others, _ string) {
		for user, status := range map[string]int{"ann b": 200, "kim": 403, "lost": 403} {
			if a := w.doWith("", "POST", "auth/pass/login/"+url.PathEscape(user), "", []string{"push"}); a.Status != status {
				t.Errorf("%s: %d %q", user, a.Status, a.Errors)
			}
		}
	})
	pushing(t, "okta", oktaSettings, func(t *testing.T, w *world, o *others, _ string) {
		if a := w.doWith("", "POST", "auth/pass/login/trick", "", []string{"push"}); a.Status != 500 {
			t.Errorf("another host: %d %q", a.Status, a.Errors)
		}
		if a := w.doWith("", "POST", "auth/pass/login/lost", "", []string{"push"}); a.Status != 403 || !strings.Contains(a.Errors[0], "no push factor") {
			t.Errorf("no factor: %d %q", a.Status, a.Errors)
		}
	})
}

// An answer that PingID did not sign is none.
func TestPingIDAnswersAreSigned(t *testing.T) {
	pushing(t, "pingid", pingSettings(), func(t *testing.T, w *world, o *others, _ string) {
		o.forge = true
		if a := w.doWith("", "POST", "auth/pass/login/"+url.PathEscape("ann b"), "", []string{"push"}); a.Status != 500 || a.Auth.ClientToken != "" {
			t.Errorf("a forged yes: %d %q", a.Status, a.Errors)
		}
	})
}

// A name with a part missing is nobody's: whoever has no alias at the mount that
// the template names is not asked about under another name.
func TestAMissingAliasIsNobody(t *testing.T) {
	pushing(t, "duo", duoSettings, func(t *testing.T, w *world, o *others, _ string) {
		w.must(w.do(w.root, "POST", "sys/auth/more", `{"type":"pass"}`))
		a := w.doWith("", "POST", "auth/more/login/trusted", "", []string{"push"})
		if a.Status != 403 || !strings.Contains(a.Errors[0], "has no value") {
			t.Errorf("%d %q", a.Status, a.Errors)
		}
		if calls := o.took(); len(calls) > 0 {
			t.Errorf("asked %v", calls)
		}
	})
}

// Settings that would ask somebody else, or nobody, are refused by their names.
func TestPushSettings(t *testing.T) {
	w := open(t)
	ping := func(lines string) string {
		return `{"settings_file_base64":"` + base64.StdEncoding.EncodeToString([]byte(lines)) + `"}`
	}
	for _, c := range [][3]string{
		{"duo", `{}`, "secret_key"},
		{"duo", `{"secret_key":"s"}`, "integration_key"},
		{"duo", `{"secret_key":"s","integration_key":"i"}`, "api_hostname"},
		{"duo", `{"secret_key":"s","integration_key":"i","api_hostname":"evil.example/x?"}`, "api_hostname"},
		{"duo", `{"secret_key":"s","integration_key":"i","api_hostname":"h","push_info":"%zz"}`, "push_info"},
		{"duo", `{"secret_key":"s","integration_key":"i","api_hostname":"h","username_format":"{{name"}`, "username_format"},
		{"okta", `{"org_name":"o"}`, "api_token"},
		{"okta", `{"org_name":"o@evil.example/","api_token":"t"}`, "org_name"},
		{"okta", `{"org_name":"o","api_token":"t","base_url":"evil.example/x"}`, "base_url"},
		{"okta", `{"org_name":"o","api_token":"t","username_format":"{{foo}}"}`, "username_format"},
		{"pingid", `{}`, "settings_file_base64"},
		{"pingid", `{"settings_file_base64":"%%"}`, "settings_file_base64"},
		{"pingid", ping("token=t"), "settings_file_base64"},
		{"pingid", ping("use_base64_key=a2V5\ntoken=t\norg_alias=o\nidp_url=http://x"), "settings_file_base64"},
	} {
		a := w.do(w.root, "POST", "identity/mfa/method/"+c[0], c[1])
		if a.Status != 400 || !strings.Contains(a.Errors[0], c[2]) {
			t.Errorf("%s %s: %d %q", c[0], c[1], a.Status, a.Errors)
		}
	}
	var list struct{ Keys []string }
	if a := w.do(w.root, "LIST", "identity/mfa/method", ""); a.Status == 200 {
		if err := json.Unmarshal(a.Data, &list); err != nil || !slices.Equal(list.Keys, nil) {
			t.Errorf("made %v", list.Keys)
		}
	}
}
