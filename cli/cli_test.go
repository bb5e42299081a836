package cli_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fastness-dev/fastness/cli"
)

// TestMain lets scripts run the program under both of its names.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fastness": run, "vault": run})
}

func run() {
	os.Exit(cli.Main(cli.Env{Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}))
}

// TestScript runs testdata/script. Beside testscript's own verbs a script has
//
//	serve FILE        a server that gives the answers in FILE
//	requests          what it was asked since last time, on stdout
//	exits N CMD...    the command ends with code N
//
// FILE holds "METHOD /path?query STATUS" lines, each followed by a body up to an
// empty line. A path that is asked more often than it has answers repeats its last.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("VAULT_MAX_RETRIES", "0")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // or each command of a -race run takes a second
			e.Values["fake"] = &fake{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":    serve,
			"requests": requests,
			"exits":    exits,
		},
	})
}

// A fake is a server of canned answers.
type fake struct {
	mu      sync.Mutex
	answers map[string][]canned
	asked   []string
}

type canned struct {
	status int
	body   string
}

func serve(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value("fake").(*fake)
	f.load(ts, ts.ReadFile(args[0]))
	s := httptest.NewServer(f)
	ts.Defer(s.Close)
	ts.Setenv("VAULT_ADDR", s.URL)
}

func (f *fake) load(ts *testscript.TestScript, text string) {
	f.answers = map[string][]canned{}
	for _, part := range strings.Split(text, "\n\n") {
		line, body, _ := strings.Cut(strings.Trim(part, "\n"), "\n")
		if line == "" {
			continue
		}
		words := strings.Fields(line)
		if len(words) != 3 {
			ts.Fatalf("answers: want METHOD /path STATUS, got %q", line)
		}
		status, err := strconv.Atoi(words[2])
		ts.Check(err)
		key := words[0] + " " + words[1]
		f.answers[key] = append(f.answers[key], canned{status, body})
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	uri, _ := url.PathUnescape(strings.TrimPrefix(r.URL.RequestURI(), "/v1"))
	key := r.Method + " " + uri
	line := key
	for _, h := range []string{"X-Vault-Token", "X-Vault-Namespace", "X-Vault-Wrap-TTL", "X-Mine"} {
		if v := r.Header.Get(h); v != "" {
			line += fmt.Sprintf(" %s=%s", strings.TrimPrefix(h, "X-Vault-"), v)
		}
	}
	if len(body) > 0 {
		line += " " + string(body)
	}
	f.asked = append(f.asked, line)
	list := f.answers[key]
	if len(list) == 0 {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[]}`)
		return
	}
	if len(list) > 1 {
		f.answers[key] = list[1:]
	}
	w.WriteHeader(list[0].status)
	_, _ = io.WriteString(w, list[0].body)
}

func requests(ts *testscript.TestScript, neg bool, args []string) {
	f := ts.Value("fake").(*fake)
	f.mu.Lock()
	defer f.mu.Unlock()
	text := strings.Join(f.asked, "\n") + "\n"
	f.asked = nil
	_, _ = ts.Stdout().Write([]byte(text))
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = code.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// Every command explains itself, takes the flags it names, and is listed.
func TestEveryCommandHasHelp(t *testing.T) {
	var top strings.Builder
	none := func(string) string { return "" }
	run := func(w io.Writer, args ...string) int {
		return cli.Main(cli.Env{Args: append([]string{"fastness"}, args...), Stdin: strings.NewReader(""), Stdout: w, Stderr: io.Discard, Getenv: none})
	}
	if code := run(&top, "-help"); code != 0 {
		t.Fatalf("-help: code %d", code)
	}
	var walk func(words []string, page string)
	seen := 0
	walk = func(words []string, page string) {
		_, list, ok := strings.Cut(page, "\nCommands:\n")
		if !ok {
			seen++
			if !strings.HasPrefix(page, "Usage: fastness "+strings.Join(words, " ")) {
				t.Errorf("%v: %s", words, page)
			}
			return
		}
		for s := bufio.NewScanner(strings.NewReader(list)); s.Scan(); {
			name, short, _ := strings.Cut(strings.TrimSpace(s.Text()), " ")
			if strings.TrimSpace(short) == "" {
				t.Errorf("%v %s: no word about it", words, name)
			}
			if name == "server" {
				continue // its help is its own
			}
			var sub strings.Builder
			next := append(words[:len(words):len(words)], name)
			if code := run(&sub, append(next, "-h")...); code != 0 {
				t.Errorf("%v -h: code %d", next, code)
			}
			walk(next, sub.String())
		}
	}
	walk(nil, top.String())
	if seen < 60 {
		t.Errorf("only %d commands were found", seen)
	}
}
