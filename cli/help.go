package cli

import (
	"embed"
	"flag"
	"fmt"
	"strings"
)

// The longer help of a command is help/NAME.txt, spaces written as dashes.
//
//go:embed help
var helpTexts embed.FS

// commandHelp is the page of one command.
func commandHelp(program string, cmd *command, f *flags) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s %s [options]", program, cmd.name)
	if cmd.args != "" {
		b.WriteString(" " + cmd.args)
	}
	b.WriteString("\n\n  " + cmd.short + ".\n")
	text, err := helpTexts.ReadFile("help/" + strings.ReplaceAll(cmd.name, " ", "-") + ".txt")
	if err == nil {
		b.WriteString("\n" + indent(strings.ReplaceAll(strings.Trim(string(text), "\n"), "$ vault", "$ "+program)) + "\n")
	}
	common := commonFlags()
	f.section(&b, "Command Options", func(g *flag.Flag) bool { return !common[g.Name] })
	f.section(&b, "Output Options", func(g *flag.Flag) bool { return common[g.Name] && isOutput(g.Name) })
	f.section(&b, "HTTP Options", func(g *flag.Flag) bool { return common[g.Name] && !isOutput(g.Name) })
	return strings.TrimRight(b.String(), "\n")
}

func isOutput(name string) bool { return name == "format" || name == "field" || name == "detailed" }

// commonFlags are the names that newFlags gives to every command.
func commonFlags() map[string]bool {
	all := map[string]bool{}
	probe := newFlags(&command{needs: onServer | withFormat | withField | withDetail}, func(string) string { return "" })
	probe.set.VisitAll(func(g *flag.Flag) { all[g.Name] = true })
	return all
}

func (f *flags) section(b *strings.Builder, title string, in func(*flag.Flag) bool) {
	first := true
	f.set.VisitAll(func(g *flag.Flag) {
		if !in(g) {
			return
		}
		if first {
			b.WriteString("\n" + title + ":\n\n")
			first = false
		}
		kind, usage := flag.UnquoteUsage(g)
		line := "  -" + g.Name
		if kind != "" {
			line += "=<" + strings.ToLower(kind) + ">"
		}
		b.WriteString(line + "\n" + wrapText("      ", "      ", usage, 78) + "\n")
	})
}

func indent(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = "  " + l
		}
	}
	return strings.Join(lines, "\n")
}

// groupHelp lists what a group of commands holds; "" is the whole program.
func groupHelp(program, group string, tree []command) string {
	var b strings.Builder
	prefix := ""
	if group == "" {
		fmt.Fprintf(&b, "Usage: %s <command> [args]\n", program)
	} else {
		fmt.Fprintf(&b, "Usage: %s %s <subcommand> [options] [args]\n", program, group)
		prefix = group + " "
	}
	var names, shorts []string
	width := 0
	for _, cmd := range tree {
		rest, ok := strings.CutPrefix(cmd.name, prefix)
		if !ok {
			continue
		}
		name, more, _ := strings.Cut(rest, " ")
		short := cmd.short
		if more != "" {
			short = groupShort(prefix + name)
		}
		if len(names) > 0 && names[len(names)-1] == name {
			continue
		}
		names, shorts, width = append(names, name), append(shorts, short), max(width, len(name))
	}
	b.WriteString("\nCommands:\n")
	for i := range names {
		fmt.Fprintf(&b, "    %-*s    %s\n", width, names[i], shorts[i])
	}
	return strings.TrimRight(b.String(), "\n")
}

func groupShort(group string) string {
	switch group {
	case "kv":
		return "Work with key/value secrets"
	case "kv metadata":
		return "Work with a key's metadata"
	case "transit":
		return "Bring keys to transit, and encrypt files"
	case "token":
		return "Work with tokens"
	case "secrets":
		return "Work with secrets engines"
	case "auth":
		return "Work with auth methods"
	case "audit":
		return "Work with audit devices"
	case "policy":
		return "Work with policies"
	case "lease":
		return "Work with leases"
	case "namespace":
		return "Work with namespaces"
	case "operator":
		return "Run a server's life cycle"
	case "operator raft":
		return "Work with the nodes of a cluster"
	case "operator raft snapshot":
		return "Save, restore and check snapshots"
	case "operator raft autopilot":
		return "Work with what watches over the nodes"
	case "print":
		return "Print what the client would use"
	}
	return ""
}
