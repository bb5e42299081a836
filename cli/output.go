package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// outputFlags say how results look.
type outputFlags struct {
	format   string
	field    string
	detailed bool
}

func (o *outputFlags) bind(f *flags, getenv func(string) string) {
	format := orElse(client.Getenv(getenv, "FORMAT"), "table")
	f.set.StringVar(&o.format, "format", format, "Form of the output: table, json, yaml, pretty or raw. Also VAULT_FORMAT.")
	if f.cmd.needs&withDetail != 0 {
		detailed, _ := strconv.ParseBool(client.Getenv(getenv, "DETAILED")) // what is no bool is false
		f.set.BoolVar(&o.detailed, "detailed", detailed,
			"Show more columns. Also VAULT_DETAILED.")
	}
}

func (o *outputFlags) check() error {
	o.format = strings.ToLower(o.format)
	switch o.format {
	case "table", "json", "yaml", "raw":
	case "yml":
		o.format = "yaml"
	case "pretty", "":
		o.format = "table"
	default:
		return fmt.Errorf("Invalid output format: %s", o.format) //nolint:staticcheck // Vault's text
	}
	return nil
}

// An object is a user's JSON, which is truly free: an object with any members.
// Numbers are json.Number, so that they print as they were sent.
type object map[string]any

// decode reads JSON so that numbers keep their digits.
func decode(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(into)
}

// dataOf is an answer's data as an object; nil when there is none.
func dataOf(a *api.Answer) object {
	var o object
	if a == nil || a.Data == nil || decode(a.Data, &o) != nil {
		return nil
	}
	return o
}

// member is a nested object; nil when it is not there or not an object.
func (o object) member(name string) object {
	m, _ := o[name].(map[string]any)
	return m
}

func (o object) text(name string) string {
	if o[name] == nil {
		return ""
	}
	return fmt.Sprint(o[name])
}

func (o object) strings(name string) []string {
	list, _ := o[name].([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// A printedSecret is an answer as Vault's client prints it: other order, and
// what is absent is left out.
type printedSecret struct {
	RequestID     string        `json:"request_id"`
	LeaseID       string        `json:"lease_id"`
	LeaseDuration int64         `json:"lease_duration"`
	Renewable     bool          `json:"renewable"`
	Data          any           `json:"data"`
	Warnings      []string      `json:"warnings"`
	Auth          *printedAuth  `json:"auth,omitempty"`
	WrapInfo      *api.WrapInfo `json:"wrap_info,omitempty"`
	MountType     string        `json:"mount_type,omitempty"`
}

type printedAuth struct {
	ClientToken      string              `json:"client_token"`
	Accessor         string              `json:"accessor"`
	Policies         []string            `json:"policies"`
	TokenPolicies    []string            `json:"token_policies"`
	IdentityPolicies []string            `json:"identity_policies"`
	Metadata         map[string]string   `json:"metadata"`
	Orphan           bool                `json:"orphan"`
	EntityID         string              `json:"entity_id"`
	LeaseDuration    int64               `json:"lease_duration"`
	Renewable        bool                `json:"renewable"`
	MFARequirement   *api.MFARequirement `json:"mfa_requirement"`
}

func printed(a *api.Answer) printedSecret {
	p := printedSecret{
		RequestID: a.RequestID, LeaseID: a.LeaseID, LeaseDuration: a.LeaseDuration, Renewable: a.Renewable,
		Warnings: a.Warnings, WrapInfo: a.WrapInfo, MountType: a.MountType,
	}
	if o := dataOf(a); o != nil {
		p.Data = o // in order of names, as Vault prints it
	} else if a.Data != nil {
		p.Data = a.Data
	}
	if t := a.Auth; t != nil {
		p.Auth = &printedAuth{t.ClientToken, t.Accessor, t.Policies, t.TokenPolicies, t.IdentityPolicies,
			t.Metadata, t.Orphan, t.EntityID, t.LeaseDuration, t.Renewable, t.MFARequirement}
	}
	return p
}

// structured prints any value as JSON or YAML.
func (u *ui) structured(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return local("write the answer as JSON: %w", err)
	}
	if u.format != "yaml" {
		u.out(strings.TrimSuffix(b.String(), "\n"))
		return nil
	}
	y, err := yaml.JSONToYAML(b.Bytes())
	if err != nil {
		return local("write the answer as YAML: %w", err)
	}
	u.out(strings.TrimSuffix(string(y), "\n"))
	return nil
}

// secret prints an answer in the chosen format, or only the chosen field.
func (u *ui) secret(a *api.Answer) error {
	if u.field != "" {
		return u.printField(a)
	}
	if !u.isTable() {
		return u.structured(printed(a))
	}
	u.warnings(a.Warnings)
	rows := secretRows(a)
	if len(rows) > 0 {
		u.table(append([][]string{{"Key", "Value"}}, rows...))
	}
	return nil
}

// warnings shows what the server wants said, on stderr.
func (u *ui) warnings(list []string) {
	if len(list) == 0 {
		return
	}
	u.warn("WARNING! The following warnings were returned from Vault:\n")
	for _, w := range list {
		u.warn(wrapText("  * ", "    ", w, 78))
		u.warn("")
	}
}

// wrapText breaks s into lines of at most width, the first led by first, the
// others by rest.
func wrapText(first, rest, s string, width int) string {
	var b strings.Builder
	line := first
	empty := true
	for _, word := range strings.Fields(s) {
		if !empty && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	b.WriteString(line)
	return b.String()
}
