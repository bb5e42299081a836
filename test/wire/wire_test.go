package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var file = flag.String("file", "", "with -run Replay: the `recording` to replay and to list the differences of")

// TestGolden replays every file of testdata.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	total := tally{}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			r := replay(t, name)
			for _, f := range r.failed {
				t.Error(f)
			}
			t.Log(r.tally)
			total.add(r.tally)
		})
	}
	t.Logf("all areas: %s", total)
	for _, why := range total.waits.sorted() {
		t.Logf("%d exchanges wait for %s", total.waits[why], why)
	}
}

// TestReplay replays the file of -file and prints every difference.
func TestReplay(t *testing.T) {
	if *file == "" {
		return
	}
	r := replay(t, *file)
	for _, f := range r.failed {
		t.Error(f)
	}
	for _, f := range r.worded {
		t.Log(f)
	}
	for _, why := range r.waits.sorted() {
		t.Logf("%d exchanges wait for %s", r.waits[why], why)
	}
	t.Log(r.tally)
}

// A result is what a replay found.
type result struct {
	tally
	failed, worded []string
}

func replay(t *testing.T, name string) *result {
	t.Helper()
	script, err := read(name)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, script.server)
	r := &runner{t: t, p: p, name: filepath.Base(name), m: &matcher{labels: map[string]string{}},
		client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	r.tally.waits = waits{}
	defer r.client.CloseIdleConnections()
	for _, e := range script.said {
		r.exchange(e)
	}
	return &r.result
}

// A runner replays one file.
type runner struct {
	t      *testing.T
	p      *process
	m      *matcher
	name   string
	client *http.Client
	last   any // the last answer of set-up
	result
}

func (r *runner) exchange(e *exchange) {
	for _, d := range e.before {
		r.direct(d)
	}
	switch {
	case e.peer != "":
		r.peers++
		return
	case e.wait != "":
		r.waits[e.wait]++
		return
	}
	before := r.auditSize(e)
	answer, body, missing := r.send(e)
	if missing != "" {
		r.fail(e, []difference{{at: "request", text: missing + " is not known: an exchange before it must show it, or \"% let\""}}, nil)
		return
	}
	r.m.found, r.m.types = nil, strings.Contains(e.title, "(types")
	blamed := r.compare(e, answer, body)
	r.compareAudit(e, before)
	var hard []difference
	for _, d := range r.m.found {
		if d.wording {
			r.worded = append(r.worded, fmt.Sprintf("%s:%d: %s: wording of %s: %s", r.name, e.line, e.title, d.at, d.text))
		} else {
			hard = append(hard, d)
		}
	}
	switch {
	case len(hard) > 0:
		r.fail(e, hard, body)
	case e.differ != "" || blamed:
		r.differ++
	default:
		r.same++
		if len(r.m.found) > 0 {
			r.wording++
		}
	}
}

func (r *runner) fail(e *exchange, found []difference, body []byte) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: %s: %s %.150s", r.name, e.line, e.title, e.method, e.path)
	for _, d := range found {
		fmt.Fprintf(&b, "\n\t%s: %s", orElse(d.at, "body"), d.text)
	}
	if len(body) > 0 {
		fmt.Fprintf(&b, "\n\tanswered %.1500s", bytes.TrimSpace(body))
	}
	r.failed = append(r.failed, b.String())
	r.tally.failed++
}

var encoded = regexp.MustCompile(`BASE64\((.*?)\)`)
var repeat = regexp.MustCompile(`REPEAT\((\d+),(.*?)\)`)

// send sends an exchange's request. Its third answer is a label without a value.
func (r *runner) send(e *exchange) (*http.Response, []byte, string) {
	var missing string
	fill := func(s string) string {
		s, miss := r.m.fill(strings.NewReplacer("127.0.0.1:8200", r.p.addr, `"/dir`, `"`+r.p.dir).Replace(s))
		missing = orElse(missing, miss)
		return encoded.ReplaceAllStringFunc(s, func(s string) string {
			return base64.StdEncoding.EncodeToString([]byte(encoded.FindStringSubmatch(s)[1]))
		})
	}
	path, token := fill(e.path), fill(e.token)
	if t, ok := r.m.labels[e.token]; ok {
		token = t // also a name that is no label elsewhere, such as root
	}
	body := repeat.ReplaceAllStringFunc(fill(e.body), func(s string) string {
		m := repeat.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[1]) // digits, by the pattern
		return strings.Repeat(m[2], n)
	})
	headers := http.Header{"X-Vault-Request": {"true"}}
	if token != "none" {
		headers.Set("X-Vault-Token", token)
	}
	if body != "" {
		headers.Set("Content-Type", "application/json")
	}
	for name, values := range e.headers {
		headers.Set(name, fill(values[0]))
	}
	for _, name := range e.without {
		headers.Del(name)
	}
	if missing != "" {
		return nil, nil, missing
	}
	req, err := http.NewRequestWithContext(r.t.Context(), e.method, "http://"+r.p.addr, strings.NewReader(body))
	if err != nil {
		r.t.Fatalf("%s: %v", e, err)
	}
	if body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.URL = &url.URL{Scheme: "http", Host: r.p.addr, Opaque: path} // sent as it stands, canonical or not
	req.Header = headers
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatalf("%s: %v", e, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s: read the answer: %v", e, err)
	}
	return resp, got, ""
}

// compare compares an answer. It says whether the peer blamed itself for what
// we say the caller did.
func (r *runner) compare(e *exchange, resp *http.Response, body []byte) (blamed bool) {
	want := e.status
	if e.differ == "" && want == http.StatusInternalServerError && resp.StatusCode == http.StatusBadRequest {
		want, blamed = resp.StatusCode, true
	}
	if resp.StatusCode != want {
		r.m.differ("status", "%d, want %d", resp.StatusCode, want)
	}
	ours := strings.NewReplacer(r.p.addr, "127.0.0.1:8200", r.p.cluster, "127.0.0.1:8201", r.p.dir, "/dir")
	for name, values := range e.want {
		if got := ours.Replace(resp.Header.Get(name)); !r.m.text(values[0], got) && values[0] != "…" {
			r.m.differ(name, "%q, want %q", got, values[0])
		}
	}
	if got := resp.Header.Get("Cache-Control"); !e.noCache && got != "no-store" {
		r.m.differ("Cache-Control", "%q, want \"no-store\"", got)
	}
	expected := strings.TrimSpace(e.answer)
	switch {
	case expected == "…": // not what this file is about
	case resp.StatusCode != want && !blamed: // the body of another status says nothing
	case expected == "":
		if len(bytes.TrimSpace(body)) > 0 {
			r.m.differ("body", "%.200q, want none", body)
		}
	case strings.HasPrefix(expected, "{"):
		if err := r.m.body(expected, []byte(ours.Replace(string(body)))); err != nil {
			r.t.Fatalf("%s:%d: %v", r.name, e.line, err)
		}
	case strings.HasPrefix(expected, "<") && !strings.HasPrefix(expected, "<a "): // described, not shown
	default:
		if !r.m.text(expected, strings.TrimSpace(string(body))) {
			r.m.differ("body", "%.300q, want %q", body, expected)
		}
	}
	return blamed
}

// auditFile is the device that a file enables to have its lines compared.
const auditFile = "audit.log"

// auditSize is how much the device holds, 0 where none is looked at.
func (r *runner) auditSize(e *exchange) int64 {
	if len(e.audit) == 0 {
		return 0
	}
	st, err := os.Stat(filepath.Join(r.p.dir, auditFile))
	if err != nil {
		r.t.Fatalf("%s:%d: %v", r.name, e.line, err)
	}
	return st.Size()
}

// compareAudit compares the lines that an exchange added to the device.
func (r *runner) compareAudit(e *exchange, before int64) {
	if len(e.audit) == 0 {
		return
	}
	text, err := os.ReadFile(filepath.Join(r.p.dir, auditFile))
	if err != nil {
		r.t.Fatalf("%s:%d: %v", r.name, e.line, err)
	}
	lines := slices.Collect(strings.Lines(string(text[before:])))
	want := slices.DeleteFunc(slices.Clone(e.audit), func(s string) bool { return s == "" })
	if len(lines) != len(want) {
		r.m.differ("audit", "%d lines, want %d: %.2000s", len(lines), len(want), strings.Join(lines, ""))
		return
	}
	all := r.m.found
	for i, line := range lines {
		r.m.found = nil
		if err := r.m.body(want[i], []byte(line)); err != nil {
			r.t.Fatalf("%s:%d: %v", r.name, e.line, err)
		}
		for _, d := range r.m.found {
			d.at = fmt.Sprintf("audit line %d: %s", i+1, d.at)
			all = append(all, d)
		}
		if len(r.m.found) > 0 && testing.Verbose() {
			r.t.Logf("%s:%d: %s", r.name, e.line, line)
		}
	}
	r.m.found = all
}

// direct does what a line of set-up says.
func (r *runner) direct(d directive) {
	switch d.verb {
	case "advance":
		by, err := time.ParseDuration(d.text)
		if err != nil {
			r.t.Fatalf("%s:%d: %v", r.name, d.line, err)
		}
		r.p.advance(by)
	case "let":
		name, from, ok := strings.Cut(d.text, " = ")
		if !ok {
			r.t.Fatalf("%s:%d: %q is not NAME = value", r.name, d.line, d.text)
		}
		r.m.labels[name] = r.pick(d, from)
	default:
		resp, body, missing := r.send(d.ask)
		if missing != "" || resp.StatusCode/100 != 2 {
			r.t.Errorf("%s:%d: set-up %q: %s%s", r.name, d.line, d.ask.title, missing, body)
		}
		r.last = nil
		if len(body) > 0 {
			if err := json.Unmarshal(body, &r.last); err != nil {
				r.t.Errorf("%s:%d: set-up %q: %v", r.name, d.line, d.ask.title, err)
			}
		}
	}
}

// pick reads a value of the last answer of set-up, or a quoted text.
func (r *runner) pick(d directive, from string) string {
	if text, err := strconv.Unquote(from); err == nil {
		return text
	}
	if value, ok := r.m.labels[from]; ok {
		return value
	}
	v := r.last
	for _, key := range strings.Split(from, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(at) {
				r.t.Fatalf("%s:%d: no %s in the last answer", r.name, d.line, from)
			}
			v = at[i]
		}
	}
	s, ok := v.(string)
	if !ok {
		r.t.Errorf("%s:%d: no %s in the last answer", r.name, d.line, from)
	}
	return s
}
