package server_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/fastness-dev/fastness/secrets/kv"
	"github.com/fastness-dev/fastness/server"
	"github.com/fastness-dev/fastness/server/config"
	kvstate "github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
)

// The transcripts start a server on a configuration and ask it:
//
//	config                      a new server of this HCL, unsealed, root token "root"
//	reload                      its listeners take over another
//	seal
//	ask METHOD PATH [token=root] [listener=N] [show=(FIELDS)] [header=(A=B)]
//	log                         what was logged, without times
//	audit                       an audit device is enabled
//	recorded                    the paths that it has recorded since
//
// An answer is shown as its status, the headers that are no fixed part of every
// answer, errors, and the fields that are asked for.
func TestEdges(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	datadriven.Walk(t, "testdata/edges", func(t *testing.T, path string) {
		var n *edgeNode
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			switch td.Cmd {
			case "config":
				n = openEdges(t, td.Input)
				return ""
			case "reload":
				conf := parseConfig(t, td.Input)
				for _, r := range n.reloads {
					r(conf)
				}
				return ""
			case "seal":
				n.s.System().Seal()
				return ""
			case "ask":
				return strings.ReplaceAll(n.ask(t, td), machine, "MACHINE")
			case "audit":
				n.auditLog = filepath.Join(t.TempDir(), "audit.log")
				return n.request(http.MethodPost, "sys/audit/file", `{"type":"file","options":{"file_path":"`+n.auditLog+`"}}`)
			case "recorded":
				return n.recorded(t)
			case "log":
				defer n.log.Reset()
				return times.ReplaceAllString(n.log.String(), "")
			}
			t.Fatalf("unknown command %s", td.Cmd)
			return ""
		})
	})
}

var times = regexp.MustCompile(`(time|start_time|duration)=\S+ ?`)

type edgeNode struct {
	s        *server.Server
	edges    []http.Handler
	reloads  []func(*config.Config)
	log      *bytes.Buffer
	auditLog string // its file
}

// request is one by root, of which only the status is told.
func (n *edgeNode) request(method, path, body string) string {
	r := httptest.NewRequest(method, "/v1/"+path, strings.NewReader(body))
	r.Header.Set("X-Vault-Token", "root")
	w := httptest.NewRecorder()
	n.edges[0].ServeHTTP(w, r)
	return fmt.Sprintf("%d\n", w.Code)
}

func (n *edgeNode) recorded(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(n.auditLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(n.auditLog, 0); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		var e struct {
			Type    string `json:"type"`
			Request struct {
				Path string `json:"path"`
			} `json:"request"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", e.Type, e.Request.Path)
	}
	return b.String()
}

func parseConfig(t *testing.T, text string) *config.Config {
	t.Helper()
	conf, _, err := config.Parse("c.hcl", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

func openEdges(t *testing.T, text string) *edgeNode {
	t.Helper()
	conf := parseConfig(t, text)
	n := &edgeNode{log: &bytes.Buffer{}}
	o := server.Options{State: kvstate.NewMemory(), Log: raft.NewMemory(), Engines: kv.Types(), Settings: server.SettingsOf(conf),
		Telemetry: conf.Telemetry, Logger: slog.New(slog.NewTextHandler(n.log, nil))}
	o.Settings.RootToken = "root"
	var err error
	if n.s, err = server.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.s.Close(); err != nil {
			t.Error(err)
		}
	})
	made, err := n.s.System().Init(t.Context(), 1, 1, nil, "", false)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(made.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := n.s.System().Unseal(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	n.log.Reset()
	for i := range conf.Listeners {
		e, reload := n.s.Edge(conf, i)
		n.edges, n.reloads = append(n.edges, e), append(n.reloads, reload)
	}
	return n
}

// Headers that every answer has, and that other tests look at.
var usual = []string{"Content-Type", "Cache-Control", "Content-Length"}

func (n *edgeNode) ask(t *testing.T, td *datadriven.TestData) string {
	t.Helper()
	path := strings.Join(append([]string{td.CmdArgs[1].Key}, td.CmdArgs[1].Vals...), "=") // with its query
	r := httptest.NewRequest(td.CmdArgs[0].Key, "/v1/"+path, strings.NewReader(td.Input))
	at, show := 0, []string{}
	for _, a := range td.CmdArgs[2:] {
		switch a.Key {
		case "token":
			r.Header.Set("X-Vault-Token", a.Vals[0])
		case "listener":
			a.Scan(t, 0, &at)
		case "show":
			show = a.Vals
		case "header":
			for _, h := range a.Vals {
				name, value, _ := strings.Cut(h, "=")
				r.Header.Set(name, value)
			}
		}
	}
	w := httptest.NewRecorder()
	n.edges[at].ServeHTTP(w, r)
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", w.Code)
	var names []string
	for name := range w.Result().Header {
		if !slices.Contains(usual, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(w.Result().Header[name], " | "))
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(w.Body.Bytes(), &fields); err != nil {
		for line := range strings.Lines(w.Body.String()) { // metrics: those that are asked for
			for _, prefix := range show {
				if strings.HasPrefix(line, prefix) {
					b.WriteString(line)
				}
			}
		}
		return b.String()
	}
	for _, name := range append([]string{"errors"}, show...) {
		if v, ok := fields[name]; ok {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	return b.String()
}
