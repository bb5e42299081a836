package registration

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An agent stands for Consul's or for the API of Kubernetes: it writes down what
// it is asked.
func agent(t *testing.T, status int) (url string, heard chan string) {
	heard = make(chan string, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		heard <- fmt.Sprintf("%s %s %s%s %s", r.Method, r.URL.EscapedPath(), r.Header.Get("X-Consul-Token"), r.Header.Get("Authorization"), body)
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL, heard
}

func TestConsulHearsHowTheNodeStands(t *testing.T) {
	url, heard := agent(t, 200)
	c := &Consul{Client: http.DefaultClient, URL: url, Token: "secret", Service: "vault", ID: "vault:a:8200", Tags: []string{"blue"}, Host: "a", Port: 8200, TTL: "5s"}
	for _, step := range []struct {
		state State
		want  []string
	}{
		{State{Sealed: true}, []string{`"Tags":["blue","standby"]`, `/v1/agent/check/update/vault:a:8200:vault-sealed-check secret {"Status":"critical"`}},
		{State{Initialized: true, Active: true}, []string{`"Tags":["blue","active","initialized"],"Address":"a","Port":8200`, `{"Status":"passing"`}},
		{State{Initialized: true, PerfStandby: true}, []string{`"Tags":["blue","standby","performance-standby","initialized"]`, `{"Status":"passing"`}},
	} {
		if err := c.Tell(t.Context(), step.state); err != nil {
			t.Fatal(err)
		}
		for _, want := range step.want {
			if got := <-heard; !strings.Contains(got, want) {
				t.Errorf("%+v: Consul heard %s, want %s", step.state, got, want)
			}
		}
	}
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; !strings.HasPrefix(got, "PUT /v1/agent/service/deregister/vault:a:8200 ") {
		t.Errorf("at the end Consul heard %s", got)
	}
}

func TestThePodIsLabelled(t *testing.T) {
	url, heard := agent(t, 200)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &Kubernetes{Client: http.DefaultClient, URL: url, TokenFile: token, Namespace: "ns", Pod: "pod-0"}
	if err := k.Tell(t.Context(), State{Initialized: true, Active: true, Version: "1.21.0"}); err != nil {
		t.Fatal(err)
	}
	const want = `PATCH /api/v1/namespaces/ns/pods/pod-0 Bearer secret {"metadata":{"labels":{` +
		`"vault-active":"true","vault-initialized":"true","vault-perf-standby":"false","vault-sealed":"false","vault-version":"1.21.0"}}}`
	if got := <-heard; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := k.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; !strings.Contains(got, `"vault-active":"false"`) {
		t.Errorf("at the end Kubernetes heard %s", got)
	}
}

func TestARefusalTellsNoToken(t *testing.T) {
	url, _ := agent(t, 403)
	err := (&Consul{Client: http.DefaultClient, URL: url, Token: "secret", ID: "a"}).Tell(t.Context(), State{})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "does the token allow it?") {
		t.Errorf("refused with %v", err)
	}
}

// A directory that fails is told again; one that was told is left alone until
// there is something new, or until it may have forgotten.
func TestAReporterTellsChanges(t *testing.T) {
	d := &directory{told: make(chan State), fails: 1}
	state, tick := make(chan State, 1), make(chan time.Time)
	r := &Reporter{Directory: d, Tick: tick, Again: 2, Logger: slog.New(slog.DiscardHandler),
		State: func(context.Context) (State, error) { s := <-state; return s, nil }}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	sealed, active := State{Sealed: true}, State{Active: true}
	for i, step := range []struct{ is, told State }{
		{sealed, sealed}, // and fails
		{sealed, sealed},
		{active, active},
		{active, State{}},
		{active, State{}},
		{active, active}, // again
		{sealed, sealed},
	} {
		state <- step.is
		if step.told != (State{}) {
			if got := <-d.told; got != step.told {
				t.Errorf("step %d: told %+v, want %+v", i, got, step.told)
			}
		}
		if i < 6 {
			tick <- time.Time{}
		}
	}
	stop()
	<-done
	if !d.left {
		t.Error("the node was not taken out at the end")
	}
}

type directory struct {
	told  chan State
	fails int
	left  bool
}

func (d *directory) Tell(_ context.Context, s State) error {
	d.told <- s
	if d.fails--; d.fails >= 0 {
		return fmt.Errorf("not now")
	}
	return nil
}

func (d *directory) Leave(context.Context) error { d.left = true; return nil }
