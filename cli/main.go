// Package cli is the command line: Vault's commands, flags, output and exit
// codes over the client.
//
// Every command is one row of the table in commands.go. A command binds its
// flags and gives back the function that runs; what is common to all (global
// flags, output formats, errors to exit codes) happens here, once.
//
// Rules that scripts rely on: results go to standard output, everything else to
// standard error; exit code 0 is success, 1 a mistake on this side, 2 a refusal
// by the server; colour and prompts only on a terminal.
//
// It is not for running a server: that arrives from outside, see Env.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/fastness-dev/fastness/client"
	"github.com/fastness-dev/fastness/server/config"
)

// Env is the world a command sees.
type Env struct {
	Context context.Context // ends when the user interrupts; nil never ends
	Args    []string        // os.Args, the program's name first
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Getenv  func(string) string

	// Server runs "server"; nil in a build that has none.
	Server func(ctx context.Context, args []string, stdout, stderr io.Writer) int
	// TrySeal asks one of a configuration's seals whether it would unseal; nil
	// in a build that has no server.
	TrySeal func(ctx context.Context, stanzas []config.Seal, at int) error
}

// Exit codes. exitUnknown is for a command that does not exist.
const (
	exitOK      = 0
	exitLocal   = 1
	exitServer  = 2
	exitUnknown = 127
)

// Main runs one command line and gives the exit code.
func Main(env Env) int {
	if env.Context == nil {
		env.Context = context.Background()
	}
	if len(env.Args) == 0 {
		env.Args = []string{"fastness"}
	}
	u := newUI(env)
	tree := commands()
	cmd, args, asked := find(tree, env.Args[1:])
	if len(args) > 0 && cmd == nil && isVersionFlag(args[0]) {
		cmd, _, _ = find(tree, []string{"version"})
		args = nil
	}
	switch {
	case cmd == nil && helpWanted(args):
		u.out(groupHelp(u.program, asked, tree))
		return exitOK
	case cmd == nil:
		return u.unknown(asked, args, tree)
	case cmd.name == "server":
		return runServer(env, u, args)
	}
	return cmd.execute(env, u, args)
}

func runServer(env Env, u *ui, args []string) int {
	if env.Server == nil {
		u.error("This build has no server. Install the full fastness binary to run one.")
		return exitLocal
	}
	return env.Server(env.Context, args, env.Stdout, env.Stderr)
}

// find follows the words of a command line down the table. asked is as much of
// a command's name as was recognised.
func find(tree []command, words []string) (cmd *command, rest []string, asked string) {
	rest = words
	for len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		name := strings.TrimPrefix(asked+" "+rest[0], " ")
		next := lookup(tree, name)
		if next == nil && !isGroup(tree, name) {
			break
		}
		cmd, asked, rest = next, name, rest[1:]
	}
	return cmd, rest, asked
}

func lookup(tree []command, name string) *command {
	for i := range tree {
		if tree[i].name == name {
			return &tree[i]
		}
	}
	return nil
}

func isGroup(tree []command, name string) bool {
	for i := range tree {
		if strings.HasPrefix(tree[i].name, name+" ") {
			return true
		}
	}
	return false
}

func helpWanted(args []string) bool {
	for _, a := range args {
		switch a {
		case "-h", "-help", "--help", "--h":
			return true
		case "--":
			return false
		}
	}
	return false
}

func isVersionFlag(a string) bool { return a == "-v" || a == "-version" || a == "--version" }

// unknown answers a command line that names a group, or nothing that exists.
func (u *ui) unknown(asked string, rest []string, tree []command) int {
	if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		u.error(fmt.Sprintf("Unknown command: %s", strings.TrimSpace(asked+" "+rest[0])))
		u.errText("\n")
	}
	u.errText(groupHelp(u.program, asked, tree) + "\n")
	if asked != "" {
		return exitLocal
	}
	return exitUnknown
}

// execute parses flags, runs, and turns an error into a text and an exit code.
func (cmd *command) execute(env Env, u *ui, args []string) int {
	f := newFlags(cmd, env.Getenv)
	run := cmd.bind(f)
	if helpWanted(args) && f.wantsHelp(args) {
		u.out(commandHelp(u.program, cmd, f))
		return exitOK
	}
	if err := f.parse(args); err != nil {
		u.error(err.Error())
		return exitLocal
	}
	u.format, u.field, u.detailed = f.output.format, f.output.field, f.output.detailed
	if err := f.output.check(); err != nil {
		u.error(err.Error())
		return exitLocal
	}
	f.warnLateFlags(u)
	c := &call{env: env, ui: u, flags: f, args: f.args(), ctx: env.Context}
	return c.exit(run(c))
}

// exit says what went wrong and gives the code for it.
func (c *call) exit(err error) int {
	var p *client.Preview
	if errors.As(err, &p) {
		return c.showPreview(p)
	}
	var f *failure
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &f):
		f = &failure{code: exitServer, err: err}
	}
	if text := f.Error(); text != "" {
		c.ui.error(text)
	}
	var refused *client.Error
	if errors.As(err, &refused) && refused.Decision != "" && !strings.HasPrefix(c.flags.cmd.name, "policy explain") {
		c.ui.errText(fmt.Sprintf("\nWhy, for those who may ask: %s policy explain %s\n", c.ui.program, refused.Decision))
	}
	return f.code
}

// A failure is an error with its exit code. An empty text prints nothing.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// local is a mistake on this side.
func local(format string, a ...any) error { return &failure{exitLocal, fmt.Errorf(format, a...)} }

// remote is a refusal by the server, or an answer that is not there.
func remote(format string, a ...any) error { return &failure{exitServer, fmt.Errorf(format, a...)} }

// silent ends with a code and no further word.
func silent(code int) error { return &failure{code, errors.New("")} }

type ctx = context.Context

// A call is one command being run.
type call struct {
	env   Env
	ui    *ui
	flags *flags
	args  []string // what follows the flags
	ctx   ctx
	conf  client.Config // of the client that was made last
}

// want checks the number of arguments; a negative most is no limit.
func (c *call) want(least, most int) error {
	n := len(c.args)
	switch {
	case n < least && least == most:
		return local("Not enough arguments (expected %d, got %d)", least, n)
	case n < least:
		return local("Not enough arguments (expected at least %d, got %d)", least, n)
	case most >= 0 && n > most:
		return local("Too many arguments (expected %d, got %d)", most, n)
	}
	return nil
}

// arg is the i-th argument without surrounding space, or "".
func (c *call) arg(i int) string {
	if i >= len(c.args) {
		return ""
	}
	return strings.TrimSpace(c.args[i])
}

// path is the i-th argument as an API path: no slash in front, no space around.
func (c *call) path(i int) string { return strings.TrimLeft(c.arg(i), "/") }

// mount is the i-th argument as a mount's path: it ends in a slash.
func (c *call) mount(i int) string { return asMount(c.arg(i)) }

func asMount(s string) string {
	s = strings.Trim(strings.TrimSpace(s), "/")
	if s == "" {
		return ""
	}
	return s + "/"
}

func programName(args []string) string { return filepath.Base(args[0]) }
