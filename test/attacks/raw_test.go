package attacks

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A wireTo sends requests as they are written: clients clean what they send, and
// attackers do not.
type wireTo struct {
	t    *testing.T
	addr string
}

func (w *world) listen() wireTo {
	l := httptest.NewServer(w.h)
	w.t.Cleanup(l.Close)
	return wireTo{w.t, l.Listener.Addr().String()}
}

// send writes a request of some lines, ends the header, and gives the answer
// with its body.
func (to wireTo) send(lines ...string) (status int, body string) {
	to.t.Helper()
	c, err := net.Dial("tcp", to.addr)
	if err != nil {
		to.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, strings.Join(append(lines, "Host: x", "Connection: close"), "\r\n")+"\r\n\r\n"); err != nil {
		to.t.Fatal(err)
	}
	method, _, _ := strings.Cut(lines[0], " ")
	a, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		to.t.Fatalf("%q: %v", lines[0], err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		to.t.Fatal(err)
	}
	return a.StatusCode, string(text)
}

// On the wire too, one path has one spelling: every other one is refused in
// words, and reaches nothing, with any method and even for the root token.
func TestCVE_2026_3605_SpellingsOnTheWire(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "secret/data/theirs/a", `{"data":{"x":"`+canary+`"}}`), 200)
	to := w.listen()
	token := "X-Vault-Token: " + w.root
	for _, target := range []string{
		"/v1/secret/data/mine/../theirs/a", "/v1/secret/data/./theirs/a", "/v1/secret/data/theirs/a/.", "/v1/secret/data/theirs/a/..",
		"/v1/secret/data/mine/%2e%2e/theirs/a", "/v1/secret/data/mine/%2E./theirs/a", "/v1/secret/data/mine/..%2ftheirs/a", "/v1/secret%2fdata%2f..%2fdata%2ftheirs%2fa",
		"/v1/../v1/secret/data/theirs/a", "/v1/secret/data//theirs/a", "/v1//secret/data/theirs/a", "/v1/secret/data/theirs%2f%2fa",
		"/v1/secret/data/theirs/a%00", "/v1/secret/data/theirs/a%0a", "/v1/secret/data/theirs/a\x7f", "/v1/secret/data/theirs/a%ff", "/v1/secret/data/theirs/a\xff", "/v1/secret/data/theirs/a%c0%ae",
		"/v1/secret/data/theirs/a%", "/v1/secret/data/theirs/a%zz",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "LIST"} {
			status, body := to.send(method+" "+target+" HTTP/1.1", token)
			if status < 400 || status >= 500 || strings.Contains(body, canary) {
				t.Errorf("%s %q: status %d %.200s", method, target, status, body)
			}
			if status != 400 && method == "GET" {
				t.Errorf("%q is not called bad: status %d %.200s", target, status, body)
			}
		}
	}
	// What is another letter elsewhere is a letter here: it names another secret.
	for _, target := range []string{"/v1/secret/data/mine/..%5ctheirs/a", "/v1/secret/data/theirs%5ca", "/v1/secret/data/mine/\u2025/theirs/a", "/v1/secret/data/theirs/a%20", "/v1/secret/data/theirs/a;x", "/v1/secret/data/theirs/A", "//v1/secret/data/theirs/a", "/V1/secret/data/theirs/a", "/v1/Secret/data/theirs/a"} {
		if status, body := to.send("GET "+target+" HTTP/1.1", token); status != 404 {
			t.Errorf("%q: status %d %.200s", target, status, body)
		}
	}
	if status, body := to.send("GET /v1/secret/data/theirs%2fa HTTP/1.1", token); status != 200 || !strings.Contains(body, canary) {
		t.Errorf("the neighbour reads %d %s", status, body)
	}
}

// A request that is one for a proxy and two for the server is none.
func TestRequestsSmuggled(t *testing.T) {
	w := open(t)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"`+canary+`"}}`), 200)
	to := w.listen()
	inner := "GET /v1/secret/data/a HTTP/1.1\r\nHost: x\r\nX-Vault-Token: " + w.root
	for name, head := range map[string][]string{
		"two lengths":        {"Content-Length: 5", "Content-Length: 6"},
		"a negative length":  {"Content-Length: -1"},
		"a length in words":  {"Content-Length: five"},
		"an unknown coding":  {"Transfer-Encoding: zip, chunked"},
		"two codings":        {"Transfer-Encoding: chunked", "Transfer-Encoding: identity"},
		"a space in a name":  {"X-Vault-Token : " + w.root},
		"a folded header":    {"X-A: b", " X-Vault-Token: " + w.root},
		"a length and chunk": {"Content-Length: 4", "Transfer-Encoding: chunked", "", "0", "", inner},
	} {
		status, body := to.send(append([]string{"GET /v1/secret/data/a HTTP/1.1"}, head...)...)
		if status < 400 || strings.Contains(body, canary) {
			t.Errorf("%s: status %d %s", name, status, body)
		}
	}
	if status, body := to.send("GET http://elsewhere/v1/secret/data/a HTTP/1.1", "Authorization: Bearer "+w.root); status != 200 || !strings.Contains(body, canary) {
		t.Errorf("the neighbour reads %d %s", status, body)
	}
}
