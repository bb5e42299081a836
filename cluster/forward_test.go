package cluster_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/cluster"
)

// request is one as net/http gives it to a handler.
func request(t *testing.T, method, uri string) *http.Request {
	t.Helper()
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Request{Method: method, URL: u, RequestURI: uri, Host: "vault.example:8200", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, RemoteAddr: "192.0.2.7:4711"}
}

func TestForwardedRequestIsTheSame(t *testing.T) {
	w := newTown(t, 1, 2)
	w.nodes[2].serve = func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		o, ok := cluster.OriginOf(r)
		rw.Header().Set("X-Saw", fmt.Sprintf("%s %s %s %s %s %q %q %d %v %s", r.Method, r.RequestURI, r.URL.RequestURI(), r.Host, r.Proto, r.RemoteAddr, o.Door, o.Node, ok, r.Header.Get("X-Vault-Token")))
		rw.WriteHeader(http.StatusTeapot)
		rw.Write(body)
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "LIST", "OPTIONS", "REPORT"} {
		for _, uri := range []string{"/v1/secret/a", "/v1/secret/a%2Fb%20c/%e4?x=1&x=%26;y", "/v1//double/../dots/?", "/v1/\xff?q=\xfe"} {
			for _, body := range []string{"", "hello"} {
				r := request(t, method, uri)
				r.Header.Set("X-Vault-Token", "tok")
				r.ContentLength = int64(len(body))
				answer, err := w.nodes[1].Forward(t.Context(), 2, r, strings.NewReader(body), cluster.Origin{Door: `{"door":"A"}`})
				if err != nil {
					t.Fatalf("%s %s: %v", method, uri, err)
				}
				got, err := io.ReadAll(answer.Body)
				if err != nil {
					t.Fatalf("%s %s: %v", method, uri, err)
				}
				answer.Body.Close()
				want := fmt.Sprintf("%s %s %s %s HTTP/1.1 %q %q 1 true tok", method, uri, r.URL.RequestURI(), r.Host, r.RemoteAddr, `{"door":"A"}`)
				if saw := answer.Header.Get("X-Saw"); saw != want || answer.StatusCode != http.StatusTeapot {
					t.Errorf("%d\n got %q\nwant %q", answer.StatusCode, saw, want)
				}
				if method == "HEAD" {
					body = ""
				}
				if string(got) != body {
					t.Errorf("%s with %q came back as %q", method, body, got)
				}
			}
		}
	}
}

func TestForwardedHeaders(t *testing.T) {
	w := newTown(t, 1, 2)
	seen := make(chan http.Header, 1)
	w.nodes[2].serve = func(rw http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		rw.Header().Set("Connection", "X-Mine")
		rw.Header()["X-Many"] = []string{"1", "2"}
	}
	r := request(t, "GET", "/")
	r.Header = http.Header{
		"Connection": {"close, X-Hop"}, "X-Hop": {"1"}, "Upgrade": {"x"}, "Te": {"trailers"}, "Expect": {"100-continue"},
		"Proxy-Authorization": {"secret"}, "X-Many": {"1", "2"}, "X-Bytes": {"\xe4"},
		// What a client says by this is nothing.
		cluster.ForwardHeader: {"e30=", "forged"},
	}
	answer, err := w.nodes[1].Forward(t.Context(), 2, r, nil, cluster.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	got := <-seen
	delete(got, "Content-Length")
	if want := (http.Header{"X-Many": {"1", "2"}, "X-Bytes": {"\xe4"}}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if many := answer.Header["X-Many"]; len(many) != 2 || answer.Header.Get("Connection") != "" {
		t.Errorf("the answer has %q", answer.Header)
	}
	if len(r.Header[cluster.ForwardHeader]) != 2 {
		t.Error("the client's request was changed")
	}
}

func TestForwardedCertificates(t *testing.T) {
	w := newTown(t, 1, 2)
	seen := make(chan *tls.ConnectionState, 1)
	w.nodes[2].serve = func(_ http.ResponseWriter, r *http.Request) { seen <- r.TLS }
	leaf := w.identity(9, w.authority, start).TLS().Leaf
	root, err := x509.ParseCertificate(w.authority.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, "GET", "/")
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, ServerName: "vault.example", HandshakeComplete: true,
		PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf, root}}}
	for _, sent := range []*tls.ConnectionState{r.TLS, nil} {
		r.TLS = sent
		answer, err := w.nodes[1].Forward(t.Context(), 2, r, nil, cluster.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		got := <-seen
		if (got == nil) != (sent == nil) {
			t.Fatalf("got %v", got)
		}
		if got == nil {
			continue
		}
		if got.Version != sent.Version || got.ServerName != sent.ServerName || len(got.PeerCertificates) != 1 || !got.PeerCertificates[0].Equal(leaf) ||
			len(got.VerifiedChains) != 1 || len(got.VerifiedChains[0]) != 2 || !got.VerifiedChains[0][1].Equal(root) {
			t.Errorf("the client's connection came out as %+v", got)
		}
	}
}

// TestForwardStreams answers each piece before the next one is sent.
func TestForwardStreams(t *testing.T) {
	w := newTown(t, 1, 2)
	w.nodes[2].serve = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Trailer", "X-Sum")
		b := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				break
			}
			rw.Write(bytes.ToUpper(b))
			http.NewResponseController(rw).Flush()
		}
		rw.Header().Set("X-Sum", r.Trailer.Get("X-Client-Sum")+"!")
	}
	r := request(t, "POST", "/")
	r.ContentLength = -1
	r.Trailer = http.Header{"X-Client-Sum": nil}
	body, in := io.Pipe()
	type result struct {
		*http.Response
		err error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := w.nodes[1].Forward(t.Context(), 2, r, body, cluster.Origin{})
		done <- result{answer, err}
	}()
	io.WriteString(in, "abcd")
	answer := <-done
	if answer.err != nil {
		t.Fatal(answer.err)
	}
	defer answer.Body.Close()
	for range 100 {
		b := make([]byte, 4)
		if _, err := io.ReadFull(answer.Body, b); err != nil || string(b) != "ABCD" {
			t.Fatalf("%q, %v", b, err)
		}
		io.WriteString(in, "abcd")
	}
	r.Trailer.Set("X-Client-Sum", "42")
	in.Close()
	if _, err := io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	if got := answer.Trailer.Get("X-Sum"); got != "42!" {
		t.Errorf("the trailer is %q", got)
	}
}

func TestForwardLargeBodies(t *testing.T) {
	w := newTown(t, 1, 2)
	w.nodes[2].serve = func(rw http.ResponseWriter, r *http.Request) { io.Copy(rw, r.Body) }
	const size = 30 << 20
	r := request(t, "PUT", "/")
	r.ContentLength = size
	answer, err := w.nodes[1].Forward(t.Context(), 2, r, io.LimitReader(pattern{}, size), cluster.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != size {
		t.Errorf("%d bytes came back, %v", n, err)
	}
}

type pattern struct{}

func (pattern) Read(b []byte) (int, error) { return len(b), nil }

func TestForwardEndsWithTheClient(t *testing.T) {
	w := newTown(t, 1, 2)
	entered, ended := make(chan struct{}), make(chan struct{})
	w.nodes[2].serve = func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(ended)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	_, err := w.nodes[1].Forward(ctx, 2, request(t, "GET", "/"), nil, cluster.Origin{})
	var broken cluster.ErrBroken
	if !errors.Is(err, context.Canceled) || !errors.As(err, &broken) || !broken.Sent {
		t.Errorf("got %v", err)
	}
	<-ended
}

func TestForwardErrorsSayWhatIsKnown(t *testing.T) {
	w := newTown(t, 1, 2, 3)
	var again error
	w.nodes[2].serve = func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/standby":
			cluster.AnswerNotLeader(rw)
		case "/on":
			_, again = w.nodes[2].Forward(r.Context(), 3, r, r.Body, cluster.Origin{})
		case "/gone":
			w.nodes[2].Drop(1)
			<-r.Context().Done()
		case "/busy":
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	try := func(to uint64, path string) error {
		answer, err := w.nodes[1].Forward(t.Context(), to, request(t, "PUT", path), strings.NewReader("x"), cluster.Origin{})
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	if err := try(2, "/standby"); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("a node that does not lead: %v", err)
	}
	if err := try(2, "/busy"); err != nil {
		t.Errorf("503 of another kind: %v", err)
	}
	if err := try(2, "/on"); err != nil || !errors.Is(again, cluster.ErrForwarded) {
		t.Errorf("forwarded on: %v, %v", err, again)
	}
	var broken cluster.ErrBroken
	if err := try(2, "/gone"); !errors.As(err, &broken) || !broken.Sent {
		t.Errorf("a connection that broke: %v", err)
	}
	if err := try(2, "/busy"); err != nil {
		t.Errorf("after that: %v", err)
	}
	w.nodes[3].deafen()
	if err := try(3, "/"); !errors.As(err, &broken) || broken.Sent {
		t.Errorf("a node that is down: %v", err)
	}
	if err := try(7, "/"); !errors.Is(err, cluster.ErrNotMember) || !errors.As(err, &broken) || broken.Sent {
		t.Errorf("nobody: %v", err)
	}
}

func TestCalls(t *testing.T) {
	w := newTown(t, 1, 2)
	type question struct{ Name string }
	type answer struct {
		From uint64
		Text string
	}
	cluster.Reply(w.nodes[2].Net, "greet", func(_ context.Context, from uint64, q question) (answer, error) {
		switch q.Name {
		case "leader":
			return answer{}, fmt.Errorf("greet: %w", cluster.ErrNotLeader)
		case "":
			return answer{}, errors.New("name: it is empty")
		}
		return answer{from, "hello " + q.Name}, nil
	})
	a := w.nodes[1]
	if got, err := cluster.Ask[question, answer](t.Context(), a.Net, 2, "greet", question{"b"}); err != nil || got != (answer{1, "hello b"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := cluster.Ask[question, answer](t.Context(), a.Net, 2, "greet", question{"leader"}); !errors.Is(err, cluster.ErrNotLeader) {
		t.Error(err)
	}
	var said cluster.ErrAnswered
	if _, err := cluster.Ask[question, answer](t.Context(), a.Net, 2, "greet", question{}); !errors.As(err, &said) || said.Node != 2 || said.Text != "name: it is empty" {
		t.Error(err)
	}
	if _, err := a.Call(t.Context(), 2, "greet", []byte("{")); !errors.As(err, &said) {
		t.Error(err)
	}
	for _, name := range []string{"other", "", "../state", "Greet"} {
		if _, err := a.Call(t.Context(), 2, name, nil); !errors.Is(err, cluster.ErrNoCall) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
