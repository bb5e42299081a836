package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ryanuber/columnize"

	"github.com/fastness-dev/fastness/api"
)

// columnMark parts cells. No value can hold it by accident: it is an invalid
// sequence in no text that people write, and values that do hold it lose it.
const columnMark = "\x1f"

// table prints rows, the first being the header, in Vault's look: four spaces
// between columns, dashes as long as each title, n/a for nothing.
func (u *ui) table(rows [][]string) {
	dashes := make([]string, len(rows[0]))
	for i, title := range rows[0] {
		dashes[i] = strings.Repeat("-", len(title))
	}
	u.columns(slices.Insert(slices.Clone(rows), 1, dashes))
}

// columns prints rows without a header.
func (u *ui) columns(rows [][]string) {
	lines := make([]string, 0, len(rows))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = strings.ReplaceAll(cell, columnMark, " ")
		}
		lines = append(lines, strings.Join(cells, columnMark))
	}
	u.out(columnize.Format(lines, &columnize.Config{Delim: columnMark, Glue: "    ", Empty: "n/a", NoTrim: true}))
}

// secretRows are the rows of an answer: its lease, its token, its wrapping, its data.
func secretRows(a *api.Answer) [][]string {
	var rows [][]string
	if a.LeaseDuration > 0 {
		if a.LeaseID != "" {
			rows = append(rows,
				[]string{"lease_id", a.LeaseID},
				[]string{"lease_duration", humanSeconds(a.LeaseDuration)},
				[]string{"lease_renewable", fmt.Sprint(a.Renewable)})
		} else {
			// A value that is not lent, but that should be read again.
			rows = append(rows, []string{"refresh_interval", humanSeconds(a.LeaseDuration)})
		}
	}
	if a.Auth != nil {
		rows = append(rows, authRows(a.Auth)...)
	}
	if w := a.WrapInfo; w != nil {
		rows = append(rows,
			[]string{"wrapping_token:", w.Token},
			[]string{"wrapping_accessor:", w.Accessor},
			[]string{"wrapping_token_ttl:", humanSeconds(w.TTL)},
			[]string{"wrapping_token_creation_time:", humanTime(w.CreationTime)},
			[]string{"wrapping_token_creation_path:", w.CreationPath})
		if w.WrappedAccessor != "" {
			rows = append(rows, []string{"wrapped_accessor:", w.WrappedAccessor})
		}
	}
	return append(rows, dataRows(dataOf(a))...)
}

func authRows(t *api.Auth) [][]string {
	if t.MFARequirement != nil && t.ClientToken == "" {
		return mfaRows(t.MFARequirement)
	}
	ttl := humanSeconds(t.LeaseDuration)
	if t.LeaseDuration == 0 {
		ttl = "∞" // a root token never ends
	}
	rows := [][]string{
		{"token", t.ClientToken},
		{"token_accessor", t.Accessor},
		{"token_duration", ttl},
		{"token_renewable", fmt.Sprint(t.Renewable)},
		{"token_policies", fmt.Sprintf("%q", t.TokenPolicies)},
		{"identity_policies", fmt.Sprintf("%q", t.IdentityPolicies)},
		{"policies", fmt.Sprintf("%q", t.Policies)},
	}
	for _, k := range slices.Sorted(maps.Keys(t.Metadata)) {
		rows = append(rows, []string{"token_meta_" + k, t.Metadata[k]})
	}
	return rows
}

// dataRows are an object's members in order of their names.
func dataRows(o object) [][]string {
	var rows [][]string
	for _, k := range slices.Sorted(maps.Keys(o)) {
		v := show(o[k])
		if n, ok := o[k].(json.Number); ok && isDuration(k) {
			if s, err := n.Int64(); err == nil {
				v = humanSeconds(s)
			}
		}
		rows = append(rows, []string{k, v})
	}
	return rows
}

// show is a JSON value as Vault's tables have it: Go's notation.
func show(v any) string {
	if m, ok := v.(object); ok {
		return fmt.Sprint(map[string]any(m))
	}
	return fmt.Sprint(v)
}

// isDuration tells from a name that a number counts seconds.
func isDuration(name string) bool {
	for _, word := range []string{"period", "ttl", "duration"} {
		if name == word || strings.HasSuffix(name, "_"+word) {
			return true
		}
	}
	return name == "lease_max" || name == "ttl_max"
}

// humanSeconds drops the zero parts of Go's notation: 768h, 1h30m, 0s.
func humanSeconds(n int64) string {
	s := (time.Duration(n) * time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// humanTime is RFC 3339 in Go's fuller notation, as Vault's tables show it.
func humanTime(s string) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return s
	}
	return t.String()
}

// heading centres a title over a table of keys: its width is that of the
// longest key, the gap and the word Value.
func (u *ui) heading(title string, o object) {
	width := len("Key")
	for k := range o {
		width = max(width, len(k))
	}
	u.out(padded(title, width+len("    Value")))
}

// padded surrounds a title by equal signs up to a width, one each at least.
func padded(title string, width int) string {
	signs := max(2, width-len(title)-2)
	side := strings.Repeat("=", (signs+1)/2)
	return side + " " + title + " " + side
}

// data prints an object as a table of keys and values.
func (u *ui) data(o object) {
	if rows := dataRows(o); len(rows) > 0 {
		u.table(append([][]string{{"Key", "Value"}}, rows...))
	}
}

// names prints the answer of a listing.
func (u *ui) names(a *api.Answer) error {
	keys := dataOf(a).strings("keys")
	if !u.isTable() {
		return u.structured(keys)
	}
	u.warnings(a.Warnings)
	rows := [][]string{{"Keys"}}
	for _, k := range keys {
		rows = append(rows, []string{k})
	}
	u.table(rows)
	return nil
}
