package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/fastness-dev/fastness/client"
)

// ui is where a command's words go. Results go to stdout; errors, warnings and
// prompts go to stderr, so that a pipe sees results only.
type ui struct {
	program  string
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	colour   bool // stderr is a terminal and colour was not refused
	terminal bool // stdout is a terminal

	format   string
	field    string
	detailed bool
}

func newUI(env Env) *ui {
	refused := env.Getenv("NO_COLOR") != "" || client.Getenv(env.Getenv, "CLI_NO_COLOR") != ""
	return &ui{
		program: programName(env.Args),
		stdin:   env.Stdin, stdout: env.Stdout, stderr: env.Stderr,
		colour:   isTerminal(env.Stderr) && !refused && env.Getenv("TERM") != "dumb",
		terminal: isTerminal(env.Stdout),
		format:   "table",
	}
}

func isTerminal(x any) bool {
	f, ok := x.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// out prints a result and ends the line.
func (u *ui) out(s string) { fmt.Fprintln(u.stdout, s) }

// outRaw prints a bare value: a pipe gets it as it is, a terminal a line.
func (u *ui) outRaw(s string) {
	if u.terminal {
		s += "\n"
	}
	_, _ = io.WriteString(u.stdout, s)
}

func (u *ui) errText(s string) { _, _ = io.WriteString(u.stderr, s) }

func (u *ui) error(s string) { u.errText(u.paint("31", s) + "\n") }
func (u *ui) warn(s string)  { u.errText(u.paint("33", s) + "\n") }

func (u *ui) paint(code, s string) string {
	if !u.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// success is a result for people; other formats stay silent so that what they
// print can always be parsed.
func (u *ui) success(format string, a ...any) {
	if u.format == "table" {
		u.out(fmt.Sprintf(format, a...))
	}
}

// isTable says whether output is for people.
func (u *ui) isTable() bool { return u.format == "table" }

// secret asks for something that must not show on the terminal. When input is
// not a terminal its first line is taken.
func (c *call) secret(prompt string) (string, error) {
	if !isTerminal(c.ui.stdin) {
		s, err := firstLine(c.ui.stdin)
		if err == nil && s == "" {
			err = local("no value on standard input: type it on a terminal, pass it as an argument, or pipe it in")
		}
		return s, err
	}
	if c.flags.http.nonInteractive {
		return "", local("a value is needed and -non-interactive forbids asking for it")
	}
	c.ui.errText(prompt)
	b, err := term.ReadPassword(int(c.ui.stdin.(*os.File).Fd()))
	c.ui.errText("\n")
	if err != nil {
		return "", local("read from the terminal: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", local("read standard input: %w", err)
	}
	return strings.TrimSpace(line), nil
}
