package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/api"
)

// serve starts a server that answers by h, and a client of it that never pauses.
func serve(t *testing.T, c Config, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c.Address = s.URL
	c.Wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return dial(t, c)
}

func dial(t *testing.T, c Config) *Client {
	t.Helper()
	cl, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.http.CloseIdleConnections)
	return cl
}

func TestARequestCarriesWhatTheServerNeeds(t *testing.T) {
	var got *http.Request
	var body []byte
	c := serve(t, Config{
		Token: "tok", Namespace: "team/", WrapTTL: "5m", MFA: []string{"m:1"}, PolicyOverride: true,
		Headers: http.Header{"X-Mine": {"1"}},
	}, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	})

	a, err := c.Patch(t.Context(), "secret/data/a b%2F", []byte(`{"x":1}`))
	if a != nil || err != nil {
		t.Fatalf("got %v, %v", a, err)
	}
	for name, want := range map[string]string{
		api.HeaderRequest: "true", api.HeaderToken: "tok", api.HeaderNamespace: "team/",
		api.HeaderWrapTTL: "5m", api.HeaderMFA: "m:1", "X-Vault-Policy-Override": "true",
		"X-Mine": "1", "Content-Type": "application/merge-patch+json",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("header %s: got %q, want %q", name, v, want)
		}
	}
	if got.URL.Path != "/v1/secret/data/a b%2F" || string(body) != `{"x":1}` || got.Method != http.MethodPatch {
		t.Errorf("got %s %q %s", got.Method, got.URL.Path, body)
	}
}

func TestTriesAgainOnlyWhereItMayHelp(t *testing.T) {
	for _, tc := range []struct{ status, retries, want int }{
		{500, 2, 3}, {503, 2, 3}, {502, 1, 2}, {412, 2, 3}, {429, 2, 3},
		{501, 2, 1}, {400, 2, 1}, {403, 2, 1}, {404, 2, 1}, {500, 0, 1}, {200, 2, 1},
	} {
		tries := 0
		c := serve(t, Config{MaxRetries: tc.retries}, func(w http.ResponseWriter, r *http.Request) {
			if b, _ := io.ReadAll(r.Body); string(b) != "{}" {
				t.Errorf("try %d lost its body: %q", tries, b)
			}
			tries++
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, `{"errors":["x"]}`)
		})
		_, err := c.Write(t.Context(), "a", []byte("{}"))
		if tries != tc.want {
			t.Errorf("%d with %d retries: %d tries, want %d", tc.status, tc.retries, tries, tc.want)
		}
		if want := map[bool]int{true: 0, false: tc.status}[tc.status == 200]; Status(err) != want {
			t.Errorf("%d: error %v", tc.status, err)
		}
	}
}

func TestARecoveredServerIsASuccess(t *testing.T) {
	tries := 0
	c := serve(t, Config{MaxRetries: 2}, func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"data":{"k":"v"}}`)
	})
	a, err := c.Read(t.Context(), "a", nil)
	if err != nil || string(a.Data) != `{"k":"v"}` {
		t.Fatalf("got %v, %v", a, err)
	}
}

func TestFollowsOneRedirectWithTokenAndBody(t *testing.T) {
	var paths []string
	c := serve(t, Config{Token: "tok"}, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		paths = append(paths, r.Method+" "+r.URL.Path+" "+r.Header.Get(api.HeaderToken)+" "+string(b))
		http.Redirect(w, r, "/v1/again", http.StatusTemporaryRedirect)
	})
	_, err := c.Write(t.Context(), "first", []byte("{}"))
	if Status(err) != http.StatusTemporaryRedirect {
		t.Errorf("a second redirect must be an error, got %v", err)
	}
	if got := strings.Join(paths, ", "); got != "PUT /v1/first tok {}, PUT /v1/again tok {}" {
		t.Errorf("got %s", got)
	}
}

func TestARedirectMayNotGiveUpTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/v1/a", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	c := dial(t, Config{Address: s.URL, SkipVerify: true})
	if _, err := c.Read(t.Context(), "a", nil); err == nil || !strings.Contains(err.Error(), "give up TLS") {
		t.Errorf("got %v", err)
	}
}

func TestAnUntrustedCertificateIsFinal(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	c := dial(t, Config{Address: s.URL, MaxRetries: 5, Wait: func(context.Context, time.Duration) error {
		t.Error("tried again")
		return nil
	}})
	if _, err := c.Read(t.Context(), "a", nil); err == nil {
		t.Error("accepted a certificate of an unknown authority")
	}
}

func TestErrorsReadAsVaultPrintsThem(t *testing.T) {
	for _, tc := range []struct{ body, ns, want string }{
		{`{"errors":["permission denied"]}`, "", "Error making API request.\n\nURL: GET BASE/v1/a\nCode: 403. Errors:\n\n* permission denied"},
		{`{"errors":["one","two"]}`, "n/", "Error making API request.\n\nNamespace: n/\nURL: GET BASE/v1/a\nCode: 403. Errors:\n\n* one\n* two"},
		{`{"errors":[]}`, "", "Error making API request.\n\nURL: GET BASE/v1/a\nCode: 403. Errors:\n\n"},
		{"<html>no</html>\n", "", "Error making API request.\n\nURL: GET BASE/v1/a\nCode: 403. Raw Message:\n\n<html>no</html>"},
	} {
		c := serve(t, Config{Namespace: tc.ns}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, tc.body)
		})
		_, err := c.Read(t.Context(), "a", nil)
		if got := strings.ReplaceAll(err.Error(), c.config.Address, "BASE"); got != tc.want {
			t.Errorf("got  %q\nwant %q", got, tc.want)
		}
		var refused *api.Error
		if !errors.As(err, &refused) || refused.Status != 403 {
			t.Errorf("no *api.Error in %v", err)
		}
	}
}

func TestAbsenceIsNotAnError(t *testing.T) {
	for _, tc := range []struct{ body, want string }{
		{`{"errors":[]}`, "none"},
		{`{"data":{"data":null},"warnings":null}`, `{"data":null}`},
		{`{"data":null,"warnings":["w"]}`, ""},
		{`{"errors":["no handler for route \"a\""]}`, "error"},
		{"404 page not found", "error"},
	} {
		c := serve(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, tc.body)
		})
		a, err := c.Read(t.Context(), "a", nil)
		got := "none"
		switch {
		case err != nil:
			got = "error"
		case a != nil:
			got = string(a.Data)
		}
		if got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.body, got, tc.want)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"host": r.Host, "path": r.URL.Path}})
	}))
	s.Listener = l
	s.Start()
	defer s.Close()
	a, err := dial(t, Config{Address: "unix://" + path}).Read(t.Context(), "x", nil)
	if err != nil || string(a.Data) != `{"host":"localhost","path":"/v1/x"}` {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestAPreviewSendsNothing(t *testing.T) {
	c := serve(t, Config{Preview: true, Token: "t"}, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
	_, err := c.List(t.Context(), "secret/metadata/")
	var p *Preview
	if !errors.As(err, &p) || p.Method != http.MethodGet || !strings.HasSuffix(p.URL, "/v1/secret/metadata/?list=true") {
		t.Errorf("got %+v", err)
	}
}

func TestUnwrapAuthenticatesByTheWrappingTokenWhenItHasNoOther(t *testing.T) {
	for _, tc := range []struct{ mine, given, token, body string }{
		{"", "w", "w", ""},
		{"w", "", "w", ""},
		{"mine", "w", "mine", `{"token":"w"}`},
	} {
		c := serve(t, Config{Token: tc.mine, WrapTTL: "1m"}, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			if r.Header.Get(api.HeaderToken) != tc.token || string(b) != tc.body || r.Header.Get(api.HeaderWrapTTL) != "" {
				t.Errorf("%+v: sent token %q, body %s", tc, r.Header.Get(api.HeaderToken), b)
			}
			w.WriteHeader(http.StatusNoContent)
		})
		if _, err := c.Unwrap(t.Context(), tc.given); err != nil {
			t.Error(err)
		}
	}
}
