package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/api"
)

// policy explain, who-can, what-can and diff: questions about policies that the
// server answers.

// whoFlags name whom a question is about.
type whoFlags struct {
	accessor, entity *string
	policies         *[]string
}

func (f *flags) who() whoFlags {
	return whoFlags{
		accessor: f.text("accessor", "", "`Accessor` of the token that the question is about."),
		entity:   f.text("entity", "", "Id or `name` of the entity that the question is about."),
		policies: f.list("policies", "`Names` of policies, with commas between, that the question is about. May be repeated."),
	}
}

func (w whoFlags) put(o object) object {
	names := split(*w.policies)
	o["accessor"], o["entity"], o["policies"] = orNil(*w.accessor), orNil(*w.entity), someOrNil(names, len(names))
	return o
}

func bindPolicyExplain(f *flags) action {
	who := f.who()
	path := f.text("path", "", "`Path` of a request that is thought of.")
	capability := f.text("capability", "", "`What` it does: create, read, update, patch, delete or list.")
	return func(c *call) error {
		asks := f.isSet("path") || f.isSet("capability")
		most := 1
		if asks {
			most = 0
		}
		if err := c.want(most, most); err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		var a *api.Answer
		if asks {
			a, err = post(c, cl, "sys/policies/explain", who.put(object{"path": *path, "capability": *capability}))
		} else {
			a, err = cl.Read(c.ctx, "sys/policies/explain/"+c.arg(0), nil)
		}
		switch {
		case err != nil:
			return remote("Error explaining: %w", err)
		case a == nil || a.Data == nil:
			return remote("No decision %s is remembered. A node remembers its last ones, until it is sealed.", c.arg(0))
		case !c.ui.isTable() || c.ui.field != "":
			return c.ui.secret(a)
		}
		c.ui.warnings(a.Warnings)
		c.ui.explanation(dataOf(a))
		return nil
	}
}

// explanation prints a decision for people: what was asked, why, what helps.
func (u *ui) explanation(d object) {
	op := d.text("operation")
	if op == "" {
		op = d.text("capability")
	}
	var rows [][]string
	for _, row := range [][2]string{
		{"Decision", d.text("id")}, {"Time", d.text("time")}, {"Accessor", d.text("accessor")}, {"Entity", d.text("entity_id")},
		{"Policies", strings.Join(d.strings("held"), ", ")}, {"Request", op + " " + d.text("path")},
	} {
		if row[1] != "" {
			rows = append(rows, row[:])
		}
	}
	u.columns(rows)
	u.out("")
	u.out(wrapText("", "", upperFirst(d.text("because"))+".", 78))
	if remedy := d.text("remedy"); remedy != "" {
		u.out("\nThe smallest rule that would allow it:\n\n" + indent(remedy))
	}
	if note := d.text("note"); note != "" {
		u.out("\n" + wrapText("", "", upperFirst(note)+".", 78))
	}
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func bindPolicyWhoCan(*flags) action {
	return func(c *call) error {
		if err := c.want(2, 2); err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		a, err := post(c, cl, "sys/policies/who-can", object{"path": c.path(0), "capability": c.arg(1)})
		if err != nil {
			return remote("Error asking who can %s %s: %w", c.arg(1), c.path(0), err)
		}
		d := dataOf(a)
		if !c.ui.isTable() {
			return c.ui.structured(d)
		}
		rows := [][]string{{"Policy", "Rule", "Line", "Conditions"}}
		for _, g := range d.objects("policies") {
			var lines []string
			for _, s := range g.objects("policies") {
				if s.text("line") != "0" {
					lines = append(lines, s.text("line"))
				}
			}
			rows = append(rows, []string{g.text("name"), g.text("path"), strings.Join(lines, ", "), conditions(g)})
		}
		c.ui.table(rows)
		rows = [][]string{{"Entity", "Id", "Rule", "By", "Conditions"}}
		for _, g := range d.objects("entities") {
			rows = append(rows, []string{g.text("name"), g.text("id"), g.text("path"), places(g), conditions(g)})
		}
		if len(rows) > 1 {
			c.ui.out("")
			c.ui.table(rows)
		}
		rows = [][]string{{"Token", "Accessor", "Rule", "By", "Conditions"}}
		for _, g := range d.objects("tokens") {
			rows = append(rows, []string{g.text("name"), g.text("id"), g.text("path"), places(g), conditions(g)})
		}
		if len(rows) > 1 {
			c.ui.out("")
			c.ui.table(rows)
		}
		c.ui.truncated(d)
		return nil
	}
}

func (u *ui) truncated(d object) {
	if d.text("truncated") == "true" {
		u.warn("There are more tokens or entities than were looked at.")
	}
}

func conditions(g object) string { return strings.Join(g.strings("conditions"), "; ") }

// places are the policies behind a rule, with their lines.
func places(g object) string {
	var list []string
	for _, s := range g.objects("policies") {
		name := s.text("policy")
		if line := s.text("line"); line != "0" {
			name += ":" + line
		}
		list = append(list, name)
	}
	return strings.Join(list, ", ")
}

// objects are the objects of a list.
func (o object) objects(name string) (out []object) {
	list, _ := o[name].([]any)
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func bindPolicyWhatCan(f *flags) action {
	who := f.who()
	return func(c *call) error {
		if err := c.want(0, 1); err != nil {
			return err
		}
		if len(c.args) == 1 {
			*who.entity = c.arg(0)
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		a, err := post(c, cl, "sys/policies/what-can", who.put(object{}))
		if err != nil {
			return remote("Error asking what can be done: %w", err)
		}
		d := dataOf(a)
		if !c.ui.isTable() {
			return c.ui.structured(d)
		}
		c.ui.warnings(a.Warnings)
		rows := [][]string{{"Path", "Capabilities", "By", "Conditions"}}
		for _, g := range d.objects("grants") {
			rows = append(rows, []string{g.text("path"), strings.Join(g.strings("capabilities"), ", "), places(g), conditions(g)})
		}
		c.ui.table(rows)
		return nil
	}
}

func bindPolicyDiff(f *flags) action {
	name := f.text("name", "", "`Name` of the policy; that of the file, when not given.")
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		text, err := c.readPolicy(c.arg(0))
		if err != nil {
			return err
		}
		if *name == "" {
			*name = strings.TrimSuffix(filepath.Base(c.arg(0)), filepath.Ext(c.arg(0)))
		}
		if c.arg(0) == "-" && !f.isSet("name") {
			return local("-name is needed for a policy on standard input")
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		a, err := post(c, cl, "sys/policies/diff", object{"name": *name, "policy": text})
		if err != nil {
			return remote("Error comparing policy %s: %w", *name, err)
		}
		d := dataOf(a)
		if !c.ui.isTable() {
			if err := c.ui.structured(d); err != nil {
				return err
			}
		} else {
			c.ui.policyDiff(policy.NormalizeName(*name), d)
		}
		if d.text("incomplete") == "true" { // what is not shown must not pass for no change
			return local("There are too many rules to compare where they overlap: there, more may change than is shown")
		}
		return nil
	}
}

// readPolicy reads a policy's text from a file, or - for standard input.
func (c *call) readPolicy(from string) (string, error) {
	if from == "-" {
		b, err := io.ReadAll(c.ui.stdin)
		if err != nil {
			return "", local("Error reading policy from standard input: %w", err)
		}
		return string(b), nil
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return "", local("Error opening policy file: %w", err)
	}
	return string(b), nil
}

func (u *ui) policyDiff(name string, d object) {
	u.out("Policy " + name + ":")
	u.changes(d.objects("changes"))
	for _, h := range d.objects("holders") {
		u.out("\nHolders of " + strings.Join(h.strings("policies"), ", ") + ": " + holders(h))
		u.changes(h.objects("changes"))
	}
	u.truncated(d)
}

func holders(h object) string {
	var list []string
	switch n := h.text("tokens"); n {
	case "0":
	case "1":
		list = append(list, "1 token")
	default:
		list = append(list, n+" tokens")
	}
	switch names := h.strings("entities"); {
	case len(names) == 1:
		list = append(list, "entity "+names[0])
	case len(names) > 10:
		list = append(list, fmt.Sprintf("%d entities", len(names)))
	case len(names) > 1:
		list = append(list, "entities "+strings.Join(names, ", "))
	}
	return strings.Join(list, "; ")
}

// changes prints paths with what is gained and lost there.
func (u *ui) changes(list []object) {
	if len(list) == 0 {
		u.out("  nothing changes")
		return
	}
	var rows [][]string
	for _, c := range list {
		var words []string
		for _, g := range c.strings("gained") {
			words = append(words, "+"+g)
		}
		for _, l := range c.strings("lost") {
			words = append(words, "-"+l)
		}
		if c.text("conditions_changed") == "true" {
			words = append(words, "(conditions change)")
		}
		rows = append(rows, []string{"  " + c.text("path"), strings.Join(words, " ")})
	}
	u.columns(rows)
}
