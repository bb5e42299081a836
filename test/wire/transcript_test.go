package wire

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// A transcript is one file: what to start, and the exchanges in their order.
type transcript struct {
	name   string
	server string // dev or raft
	said   []*exchange
}

// An exchange is one request and the answer that is asked for.
type exchange struct {
	line           int
	section, title string
	before         []directive // what to do first
	wait, differ   string      // reasons; "" is none
	peer           string      // why only the peer knows it

	method, path, body string
	token              string
	headers            http.Header
	without            []string // headers that are left out

	status  int
	want    http.Header
	noCache bool // the recording says that Cache-Control is missing
	answer  string
	audit   []string // the lines that it causes, "" for one that says there is none
}

// A directive is a line of set-up.
type directive struct {
	line int
	verb string // let, advance, or a method
	text string
	ask  *exchange // of a method
}

func (e *exchange) String() string { return fmt.Sprintf("line %d: %s", e.line, e.title) }

// peerSpelling is how the peer that was recorded spells what Vault spells so.
var peerSpelling = strings.NewReplacer(
	"v2.6.2+builtin.bao", "VERSION",
	`"commit_date"`, `"build_date"`,
	"2.6.2", apiVersion,
	"OpenBao", "Vault",
	"'bao kv ", "'vault kv ",
	",LIST,SCAN", ",LIST",
	`"otp_length": 26`, `"otp_length": 28`,
)

// peerOnly are lines of answers that Vault does not give.
var peerOnly = regexp.MustCompile(`\n *"(?:metadata_cas_required|current_metadata_version|authorization_code|client_credentials)": \w+,?`)

// read parses a file.
func read(name string) (*transcript, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	t := &transcript{name: name, server: "dev"}
	p := &parser{t: t}
	text := string(b)
	if strings.HasPrefix(text, "# Observed from OpenBao") {
		text = peerOnly.ReplaceAllString(peerSpelling.Replace(text), "")
	}
	for i, line := range strings.Split(text, "\n") {
		if err := p.take(i+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	if p.now != nil && p.now.method == "" {
		return nil, fmt.Errorf("%s:%d: %q has no request", name, p.now.line, p.now.title)
	}
	return t, nil
}

// A parser is where the reading of a file stands.
type parser struct {
	t       *transcript
	section string
	waiting string // of the section
	pending []directive
	wait    string
	differ  string
	peer    string // as wait and waiting
	theirs  string
	now     *exchange // nil before the first
	asked   bool      // the answer's line has come
}

func (p *parser) take(n int, line string) error {
	switch {
	case strings.HasPrefix(line, "### "):
		p.now = &exchange{line: n, section: p.section, title: line[4:], before: p.pending, wait: p.wait, differ: p.differ,
			token: "root", headers: http.Header{}, want: http.Header{}}
		if p.now.wait == "" {
			p.now.wait = p.waiting
		}
		p.now.peer = orElse(p.peer, p.theirs)
		p.pending, p.wait, p.differ, p.peer, p.asked = nil, "", "", "", false
		p.t.said = append(p.t.said, p.now)
	case strings.HasPrefix(line, "## "):
		p.section, p.waiting, p.theirs, p.now = line[3:], "", "", nil
	case strings.HasPrefix(line, "% "):
		return p.direct(n, line[2:])
	case p.now == nil:
		if line != "" && !strings.HasPrefix(line, "#") {
			return fmt.Errorf("%q belongs to no exchange", line)
		}
	case !p.asked && strings.HasPrefix(line, "> "):
		return p.now.request(line[2:])
	case !p.asked && strings.HasPrefix(line, "<"):
		p.asked = true
		return p.now.reply(strings.TrimPrefix(line[1:], " "))
	case p.asked && strings.HasPrefix(line, "| "):
		p.now.audit = append(p.now.audit, strings.TrimPrefix(line[2:], "none"))
	case p.asked:
		p.now.answer += line + "\n"
	}
	return nil
}

// direct takes a line of ours.
func (p *parser) direct(n int, line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "server":
		p.t.server = rest
	case "wait":
		if why, ok := strings.CutPrefix(rest, "section "); ok {
			p.waiting = why
			return nil
		}
		p.wait = rest
	case "peer":
		if why, ok := strings.CutPrefix(rest, "section "); ok {
			p.theirs = why
			return nil
		}
		p.peer = rest
	case "differ":
		p.differ = rest
	case "let", "advance":
		p.pending = append(p.pending, directive{line: n, verb: verb, text: rest})
	default:
		e := &exchange{line: n, title: line, token: "root", headers: http.Header{}}
		if err := e.request(line); err != nil {
			return err
		}
		p.pending = append(p.pending, directive{line: n, verb: verb, ask: e})
	}
	return nil
}

var requestLine = regexp.MustCompile(`^([A-Z]+) (/\S*)(?: (.*))?$`)

// request takes a line with ">".
func (e *exchange) request(line string) error {
	if strings.HasPrefix(line, "(") {
		e.wait = orElse(e.wait, "a client certificate "+line)
		return nil
	}
	if e.method != "" {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return fmt.Errorf("%q is no header", line)
		}
		e.header(name, value)
		return nil
	}
	if at := strings.LastIndex(line, "   [token "); at >= 0 && strings.HasSuffix(line, "]") {
		for _, part := range strings.Split(line[at+4:len(line)-1], "; ") {
			name, value, colon := strings.Cut(part, ": ")
			switch {
			case strings.HasPrefix(part, "token "):
				e.token = part[6:]
			case strings.HasPrefix(part, "no "):
				e.without = append(e.without, part[3:])
			case colon:
				e.header(name, value)
			default:
				return fmt.Errorf("%q is no header", part)
			}
		}
		line = line[:at]
	}
	m := requestLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("%q is no request", line)
	}
	e.method, e.path, e.body = m[1], m[2], m[3]
	if strings.Contains(e.body, "…") {
		e.wait = orElse(e.wait, "the body is cut in the recording")
	}
	return nil
}

func (e *exchange) header(name, value string) {
	if name == "token" {
		e.token = value
		return
	}
	e.headers.Add(name, value)
}

var headerStart = regexp.MustCompile(`; (?:([A-Z][A-Za-z-]*: )|\()`)

// reply takes the line with "<".
func (e *exchange) reply(line string) error {
	if strings.HasPrefix(line, "(") {
		e.wait = orElse(e.wait, line)
		return nil
	}
	code, rest, _ := strings.Cut(line, " ")
	var err error
	if e.status, err = strconv.Atoi(code); err != nil {
		return fmt.Errorf("%q is no status", code)
	}
	for rest != "" {
		part := rest
		if at := headerStart.FindStringIndex(rest); at != nil {
			part, rest = rest[:at[0]], rest[at[0]+2:]
		} else {
			rest = ""
		}
		name, value, ok := strings.Cut(part, ": ")
		switch {
		case part == "(no Cache-Control)":
			e.noCache = true
		case ok:
			e.want.Add(name, value)
			e.noCache = e.noCache || name == "Cache-Control"
		default:
			return fmt.Errorf("%q is no header", part)
		}
	}
	return nil
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
