package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"github.com/fastness-dev/fastness/engine"
)

// Attacks on OpenID providers, by the names under which they are known. RFC 9700
// is the list of those on OAuth 2.0.

// A code goes to the letter where the client said, and nowhere that reads like
// it. On the user's own machine the port is free.
func TestRFC9700_RedirectURIThatReadsLikeAnother(t *testing.T) {
	w, c := withClient(t, "confidential")
	w.set("client/app", map[string]any{"redirect_uris": []string{callback, "https://app.example/q?a=1", "http://127.0.0.1:8080/cb", "http://[::1]/cb",
		"http://localhost/cb?x=y", "com.example.app:/cb", "http://app.example/plain"}})
	for _, uri := range []string{callback, "https://app.example/q?a=1", "http://127.0.0.1:8080/cb", "http://127.0.0.1/cb", "http://127.0.0.1:65535/cb",
		"http://[::1]:9/cb", "http://localhost:1/cb?x=y", "com.example.app:/cb", "http://app.example/plain"} {
		if r := w.authorize(c.request("redirect_uri", uri)); r.Status != 200 {
			t.Errorf("%s: %+v", uri, r)
		}
	}
	for _, uri := range []string{
		"https://app.example/cb/", "https://app.example/cb/x", "https://app.example/CB", "https://APP.example/cb", "HTTPS://app.example/cb",
		"https://app.example:443/cb", "https://app.example/cb?", "https://app.example/cb?a=b", "https://app.example/cb#", "https://app.example/cb#x",
		"https://app.example/x/../cb", "https://app.example/%63b", "https://app.example//cb", "https://app.example/cb%00", "https://app.example/cb ",
		"https://app.example.evil.example/cb", "https://app.example@evil.example/cb", "https://evil.example/https://app.example/cb",
		"https://evil.example\\@app.example/cb", "https://app.example\\.evil.example/cb", "//app.example/cb", "/cb", "cb", "http://app.example/cb",
		"https://app.example/q?a=1&a=1", "https://app.example/q?a=1#", "https://app.example/q",
		"http://app.example:81/plain",
		"https://127.0.0.1:8080/cb", "http://127.0.0.1:8080/cb/x", "http://127.0.0.1:0/cb", "http://127.0.0.1:65536/cb", "http://127.0.0.1:08/cb",
		"http://127.0.0.1:/cb", "http://127.0.0.1:80@evil.example/cb", "http://127.0.0.1:8080.evil.example/cb", "http://127.0.0.1.evil.example/cb",
		"http://127.0.0.2:8080/cb", "http://127.1:8080/cb", "http://2130706433/cb", "http://0x7f.1/cb", "http://[::ffff:127.0.0.1]/cb",
		"http://u@127.0.0.1:8080/cb", "http://127.0.0.1:8080\\@evil.example/cb", "http://127.0.0.1:8080/cb?x", "http://127.0.0.1:8080/cb#x",
		"http://LOCALHOST/cb?x=y", "http://localhost.evil.example/cb?x=y", "http://localhost:80", "com.example.app:/cb/x", "com.example.app:/CB",
		"javascript:alert(1)", "data:text/html,x",
	} {
		w.refused(uri, w.authorize(c.request("redirect_uri", uri)), "invalid_redirect_uri")
	}
	for _, uri := range []string{"/cb", "app.example/cb", "https://app.example/cb#x", "https://app.example/%zz", "https:"} {
		b, err := json.Marshal(map[string]string{"redirect_uris": uri})
		if err != nil {
			t.Fatal(err)
		}
		if r := w.Do(engine.OpWrite, "oidc/client/bad", string(b)); r.Status != 400 || !strings.Contains(string(r.Body), "redirect_uris") {
			t.Errorf("registering %s: %d %s", uri, r.Status, r.Body)
		}
	}
}

// A code is good once. Who comes with it again has it from somebody: what it was
// changed for ends.
func TestRFC9700_AuthorizationCodeReplay(t *testing.T) {
	w, c := withClient(t, "confidential")
	code := w.code(c.request())
	got := w.redeem(c, code)
	thief := w.client("thief", map[string]any{"assignments": "allow_all", "key": "k"})
	w.refused("by another client", w.redeem(thief, code), "invalid_grant")
	if status, _ := w.userinfo(provider, got.AccessToken); status != 200 {
		t.Errorf("another client ended it: %d", status)
	}
	w.refused("again", w.redeem(c, code), "invalid_grant")
	if status, _ := w.userinfo(provider, got.AccessToken); status != 401 {
		t.Errorf("the access token outlives a replay: %d", status)
	}
	if r := w.redeem(c, w.code(c.request())); r.Status != 200 {
		t.Errorf("a new code: %+v", r)
	}
}

// A code is bound to its client, provider and redirect URI, and one attempt with
// something else has spent it.
func TestRFC9700_AuthorizationCodeInjection(t *testing.T) {
	w, c := withClient(t, "confidential")
	w.set("client/app", map[string]any{"redirect_uris": []string{callback, callback + "2"}})
	w.set("provider/second", map[string]any{"allowed_client_ids": "*"})
	thief := w.client("thief", map[string]any{"assignments": "allow_all", "key": "k"})
	elsewhere := func(code string) reply {
		b, err := json.Marshal(map[string]string{"grant_type": "authorization_code", "code": code, "redirect_uri": callback, "client_id": c.ID, "client_secret": c.Secret})
		if err != nil {
			t.Fatal(err)
		}
		return w.said(w.Do(engine.OpWrite, "oidc/provider/second/token", string(b)))
	}
	for what, try := range map[string]func(code string) reply{
		"another client":       func(code string) reply { return w.redeem(thief, code) },
		"another redirect URI": func(code string) reply { return w.redeem(c, code, "redirect_uri", callback+"2") },
		"another provider":     elsewhere,
		"a verifier":           func(code string) reply { return w.redeem(c, code, "code_verifier", verifier) },
	} {
		code := w.code(c.request())
		w.refused(what, try(code), "invalid_grant")
		w.refused("after "+what, w.redeem(c, code), "invalid_grant")
	}
	access := w.redeem(c, w.code(c.request())).AccessToken
	if status, _ := w.userinfo("oidc/provider/second", access); status != 401 {
		t.Errorf("userinfo of another provider: %d", status)
	}
	for _, token := range []string{"", "x", w.code(c.request()), access + "x", strings.ToLower(access)} {
		if status, _ := w.userinfo(provider, token); status != 401 {
			t.Errorf("userinfo by %q: %d", token, status)
		}
	}
}

// A code that was asked for with a challenge is not had without its verifier, in
// any way, nor a public client's without a challenge.
func TestRFC9700_PKCEDowngrade(t *testing.T) {
	for _, kind := range []string{"public", "confidential"} {
		w, c := withClient(t, kind)
		s256 := []string{"code_challenge", hashed(verifier), "code_challenge_method", "S256"}
		plain := []string{"code_challenge", verifier}
		for _, try := range []struct {
			ask      []string
			verifier string
			want     bool
		}{
			{s256, verifier, true},
			{s256, "", false},
			{s256, other, false},
			{s256, hashed(verifier), false}, // as if the method were plain
			{s256, verifier + "x", false},
			{s256, verifier[:42], false},
			{plain, verifier, true},
			{plain, "", false},
			{plain, other, false},
			{append(plain, "code_challenge_method", "plain"), verifier, true},
		} {
			r := w.redeem(c, w.code(c.request(try.ask...)), "code_verifier", try.verifier)
			if (r.Status == 200) != try.want || !try.want && r.Error != "invalid_grant" {
				t.Errorf("%s %v with %q: %+v", kind, try.ask, try.verifier, r)
			}
		}
		for _, ask := range [][]string{
			{"code_challenge", "short"}, {"code_challenge", strings.Repeat("x", 129)}, {"code_challenge", strings.Repeat("=", 43)},
			{"code_challenge", verifier, "code_challenge_method", "s256"}, {"code_challenge", verifier, "code_challenge_method", "none"},
		} {
			w.refused(kind, w.authorize(c.request(ask...)), "invalid_request")
		}
		if kind == "public" {
			w.refused("no challenge", w.authorize(c.request()), "invalid_request")
			w.refused("a method alone", w.authorize(c.request("code_challenge_method", "S256")), "invalid_request")
		}
	}
}

// Tokens are good by the key and algorithm that signed them: not unsigned
// (CVE-2015-2951), not with the public key for a secret (CVE-2015-9235), not by a
// key that they bring along (CVE-2018-0114), nor by another of ours.
func TestCVE_2015_9235_AlgorithmConfusion(t *testing.T) {
	w := newWorld(t)
	w.Caller.EntityID = w.person("ann")
	w.set("key/k", map[string]any{"allowed_client_ids": "*"})
	w.set("role/r", map[string]any{"key": "k", "client_id": "app"})
	token := ask[struct{ Token string }](w, 200, engine.OpRead, "oidc/token/r", "").Token
	active := func(token string) bool {
		t.Helper()
		b, err := json.Marshal(map[string]string{"token": token})
		if err != nil {
			t.Fatal(err)
		}
		return ask[struct{ Active bool }](w, 200, engine.OpWrite, "oidc/introspect", string(b)).Active
	}
	if !active(token) {
		t.Fatal("the token itself is refused")
	}
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	header, _, err := w.verified("oidc", token)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(alg jose.SignatureAlgorithm, key any, o *jose.SignerOptions) string {
		t.Helper()
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	bare := func(header, signature string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + signature
	}
	set := w.published("oidc")
	der, err := x509.MarshalPKIXPublicKey(set.Key(header.KeyID)[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kid := (&jose.SignerOptions{}).WithHeader("kid", header.KeyID)
	for what, forged := range map[string]string{
		"none":              bare(`{"alg":"none","kid":"`+header.KeyID+`"}`, ""),
		"None":              bare(`{"alg":"None","kid":"`+header.KeyID+`"}`, ""),
		"no algorithm":      bare(`{"kid":"`+header.KeyID+`"}`, parts[2]),
		"another algorithm": bare(`{"alg":"RS512","kid":"`+header.KeyID+`"}`, parts[2]),
		"no kid":            bare(`{"alg":"RS256"}`, parts[2]),
		"HS256, PEM":        sign(jose.HS256, inPEM, kid),
		"HS256, DER":        sign(jose.HS256, der, kid),
		"own key":           sign(jose.ES256, own, kid),
		"own key, embedded": sign(jose.ES256, own, (&jose.SignerOptions{EmbedJWK: true}).WithHeader("kid", header.KeyID)),
		"no signature":      parts[0] + "." + parts[1] + ".",
		"other claims":      parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(claims), "id1", "id2", 1))) + "." + parts[2],
	} {
		if active(forged) {
			t.Errorf("%s: active", what)
		}
	}
}

// Whatever people are called, the claims of a token are those of its template,
// with their names for text.
func TestTemplateInjection(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		hostile := rapid.SampledFrom([]string{`","sub":"id9`, `"}`, `{{identity.entity.id}}`, `\`, `"`, `\",\"aud\":\"x`, "\u2028", `</script>`, `}},{"sub":"x"}`})
		name := rapid.StringMatching(`[a-z"\\{}:, ]{1,20}`).Draw(r, "name") + hostile.Draw(r, "hostile")
		w := newWorld(t)
		w.Caller.EntityID = w.person(name)
		w.set("key/k", map[string]any{"algorithm": "EdDSA", "allowed_client_ids": "*"})
		w.set("role/r", map[string]any{"key": "k", "client_id": "app", "template": `{"name":{{identity.entity.name}},"all":[{{identity.entity.name}},{"x":{{identity.entity.metadata}}}]}`})
		token := ask[struct{ Token string }](w, 200, engine.OpRead, "oidc/token/r", "").Token
		_, claims, err := w.verified("oidc", token)
		if err != nil {
			t.Fatal(err)
		}
		if claims["name"] != name || claims["sub"] != w.Caller.EntityID || claims["aud"] != "app" || len(claims) != 8 {
			t.Fatalf("%q: %v", name, claims)
		}
	})
}
