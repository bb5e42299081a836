package enginetest

import (
	"bytes"
	"encoding/json"
	"fmt"
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
//
// and what follows the dashes is what each came to: its status, data or errors,
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
				out.WriteString(m.line(line))
			}
		}
		return out.String()
	})
}

// line runs one line of a block and writes down what it came to.
func (m *Mount) line(line string) string {
	verb, rest, _ := strings.Cut(line, " ")
	target, body, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if verb == "advance" {
		d, err := engine.ParseDuration(target)
		if err == nil {
			err = m.Advance(d)
		}
		if err != nil {
			return fmt.Sprintf("advance: %v\n", err)
		}
		return ""
	}
	op, ok := ops[verb]
	if !ok {
		return fmt.Sprintf("unknown verb %s\n", verb)
	}
	return m.Do(op, target, strings.TrimSpace(body)).String()
}

// String is the reply as transcripts show it: the status, then the body, short
// ones on one line.
func (r Reply) String() string {
	var out strings.Builder
	fmt.Fprint(&out, r.Status)
	if r.Creates {
		out.WriteString(" created")
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
