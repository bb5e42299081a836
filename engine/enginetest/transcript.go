package enginetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/fastness-dev/fastness/engine"
)

var ops = map[string]engine.Op{
	"read": engine.OpRead, "list": engine.OpList, "write": engine.OpWrite, "delete": engine.OpDelete, "patch": engine.OpPatch,
}

// Run checks a file of transcripts. Each block is a list of lines, run one
// after the other:
//
//	read PATH?QUERY    list PATH    delete PATH
//	write PATH JSON    patch PATH JSON
//	advance 90m        moves the clock
//	from ADDRESS       says where requests come from
//	keep NAME FIELD    notes a text of the last reply: $NAME from here on
//	who PATH JSON      whom a login is about
//	renew              asks about the token of the last login
//
// A login is a write; its reply is the Grant, what is not set left out. UUIDs
// that were not kept are shown as UUID. What follows the dashes is what each came to: its status, data or errors,
// lease and warnings. The command line of a block says `mount`, with options
// (`mount version=2`), for a fresh mount, `change version=2` to tune it, or
// `do` to go on. typeOf chooses the engine for the options. Tests run with
// -rewrite write down what they see.
func Run(t *testing.T, file string, typeOf func(options map[string]string) engine.Type) {
	t.Helper()
	var m *Mount
	datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
		options := make(map[string]string, len(d.CmdArgs))
		for _, a := range d.CmdArgs {
			options[a.Key] = strings.Join(a.Vals, ",")
		}
		switch d.Cmd {
		case "mount":
			m = New(t, typeOf(options), options)
		case "change":
			m.At.Options = options
			m.Change(t, typeOf(options))
		case "do":
		default:
			d.Fatalf(t, "unknown command %s", d.Cmd)
		}
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				out.WriteString(m.hide(m.line(m.show(line))))
			}
		}
		return anyUUID.ReplaceAllString(m.hide(out.String()), "UUID")
	})
}

// anyUUID is an id that nobody kept: it is another in each run.
var anyUUID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// line runs one line of a block and writes down what it came to.
func (m *Mount) line(line string) string {
	verb, rest, _ := strings.Cut(line, " ")
	target, body, _ := strings.Cut(strings.TrimSpace(rest), " ")
	body = strings.TrimSpace(body)
	switch verb {
	case "advance":
		d, err := engine.ParseDuration(target)
		if err == nil {
			err = m.Advance(d)
		}
		if err != nil {
			return fmt.Sprintf("advance: %v\n", err)
		}
		return ""
	case "from":
		m.Caller.Address = target
		return ""
	case "keep":
		return m.keep(target, body)
	case "who":
		return m.whoLine(target, body)
	case "renew":
		return m.renewLine()
	}
	op, ok := ops[verb]
	if !ok {
		return fmt.Sprintf("unknown verb %s\n", verb)
	}
	r := m.Do(op, target, body)
	m.body = r.Body
	return r.String()
}

// keep notes a text field of the last reply under a name.
func (m *Mount) keep(name, field string) string {
	var fields map[string]any
	if err := json.Unmarshal(m.body, &fields); err != nil {
		return fmt.Sprintf("keep: %v\n", err)
	}
	s, ok := fields[field].(string)
	if !ok || s == "" {
		return fmt.Sprintf("keep: the last reply has no text %q\n", field)
	}
	if m.kept == nil {
		m.kept = make(map[string]string)
	}
	m.kept[name] = s
	return ""
}

// show puts what was kept in the place of its name, and hide the name back.
func (m *Mount) show(s string) string {
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(m.kept))) { // $s10 before $s1
		s = strings.ReplaceAll(s, "$"+name, m.kept[name])
	}
	return s
}

func (m *Mount) hide(s string) string {
	for name, value := range m.kept {
		s = strings.ReplaceAll(s, value, "$"+name)
	}
	return s
}

// String is the reply as transcripts show it: the status, then the body, short
// ones on one line.
func (r Reply) String() string {
	var out strings.Builder
	fmt.Fprint(&out, r.Status)
	if r.Creates {
		out.WriteString(" created")
	}
	if r.Refused {
		out.WriteString(" refused")
	}
	if r.Answer != nil && r.Answer.LeaseDuration != 0 {
		fmt.Fprintf(&out, " lease_duration=%d", int64(r.Answer.LeaseDuration.Seconds()))
	}
	if len(r.Body) > 0 {
		out.WriteString(" " + pretty(r.Body))
	}
	out.WriteByte('\n')
	for _, w := range r.Warnings {
		fmt.Fprintf(&out, "warning: %s\n", w)
	}
	return out.String()
}

func pretty(b []byte) string {
	const wide = 100
	if len(b) <= wide {
		return string(b)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", " "); err != nil {
		return string(b)
	}
	return out.String()
}
