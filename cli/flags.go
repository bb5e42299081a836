package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/client"
)

// flags are the flags of one command. The standard flag package already speaks
// Vault's dialect (one dash or two, -bool=false, flags end at the first
// argument); what is added is Vault's kinds of values and knowing what was set.
type flags struct {
	set    *flag.FlagSet
	cmd    *command
	http   httpFlags
	output outputFlags
}

func newFlags(cmd *command, getenv func(string) string) *flags {
	f := &flags{set: flag.NewFlagSet(cmd.name, flag.ContinueOnError), cmd: cmd}
	f.set.SetOutput(io.Discard)
	f.set.Usage = func() {}
	f.output.format = "table"
	if cmd.needs&onServer != 0 {
		f.http.bind(f)
	}
	if cmd.needs&withField != 0 {
		f.set.StringVar(&f.output.field, "field", "", "Print only the field of this `name`.")
	}
	if cmd.needs&withFormat != 0 {
		f.output.bind(f, getenv)
	}
	return f
}

// parse reads args. An error is fit to print.
func (f *flags) parse(args []string) error {
	err := f.set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

func (f *flags) args() []string { return f.set.Args() }

// wantsHelp tells a request for help from an argument that looks like one.
func (f *flags) wantsHelp(args []string) bool {
	return errors.Is(f.set.Parse(args), flag.ErrHelp)
}

// isSet says whether the user gave a flag, be it with its default's value.
func (f *flags) isSet(name string) bool {
	found := false
	f.set.Visit(func(g *flag.Flag) { found = found || g.Name == name })
	return found
}

// warnLateFlags tells a user who writes flags last that they were not read.
func (f *flags) warnLateFlags(u *ui) {
	var late []string
	for _, a := range f.set.Args() {
		if strings.HasPrefix(a, "-") && a != "-" {
			late = append(late, a)
		}
	}
	if len(late) == 0 {
		return
	}
	u.warn(fmt.Sprintf("Command flags must be provided before positional arguments. "+
		"The following arguments will not be parsed as flags: [%s]", strings.Join(late, ",")))
}

// text, toggle and number are the plain kinds.
func (f *flags) text(name, value, usage string) *string { return f.set.String(name, value, usage) }
func (f *flags) toggle(name string, value bool, usage string) *bool {
	return f.set.Bool(name, value, usage)
}
func (f *flags) number(name string, value int, usage string) *int {
	return f.set.Int(name, value, usage)
}

// duration takes seconds, 1h30m or 7d.
func (f *flags) duration(name, usage string) *time.Duration {
	d := new(time.Duration)
	f.set.Var((*durationValue)(d), name, usage)
	return d
}

// list may be given several times; each value is one element, as it is.
func (f *flags) list(name, usage string) *[]string {
	l := new([]string)
	f.set.Var((*listValue)(l), name, usage)
	return l
}

// pairs may be given several times; each value is key=value.
func (f *flags) pairs(name, usage string) map[string]string {
	m := map[string]string{}
	f.set.Var(pairsValue(m), name, usage)
	return m
}

type durationValue time.Duration

func (v *durationValue) String() string {
	if v == nil || *v == 0 {
		return ""
	}
	return time.Duration(*v).String()
}

func (v *durationValue) Set(s string) error {
	d, err := client.ParseDuration(s)
	*v = durationValue(d)
	return err
}

type listValue []string

func (v *listValue) String() string     { return "" }
func (v *listValue) Set(s string) error { *v = append(*v, strings.TrimSpace(s)); return nil }

type pairsValue map[string]string

func (v pairsValue) String() string { return "" }
func (v pairsValue) Set(s string) error {
	k, val, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New("want key=value")
	}
	v[k] = val
	return nil
}

// seconds is a duration as the wire's text: "90s"; "" when it is zero.
func seconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// split cuts list flags at commas, for those that take both forms.
func split(values []string) []string {
	var all []string
	for _, v := range values {
		for _, s := range strings.Split(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				all = append(all, s)
			}
		}
	}
	return all
}
