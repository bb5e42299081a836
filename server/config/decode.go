package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Warning is something in the configuration that has no effect here, and
// what to do about it.
type Warning struct {
	Pos  Position
	Text string
}

func (w Warning) String() string {
	if w.Pos.File == "" {
		return w.Text
	}
	return w.Pos.String() + ": " + w.Text
}

// Warnings come in the order of the files.
type Warnings []Warning

// A decoder gathers everything wrong with a file, so that an operator repairs
// it in one go.
type decoder struct {
	errs     []error
	warnings Warnings
}

func (d *decoder) fail(pos Position, format string, args ...any) {
	d.errs = append(d.errs, &Error{pos, fmt.Sprintf(format, args...)})
}

func (d *decoder) warn(pos Position, format string, args ...any) {
	d.warnings = append(d.warnings, Warning{pos, fmt.Sprintf(format, args...)})
}

// A setter puts the value of one key where it belongs, or fails.
type setter func(d *decoder, e entry)

// fields is a stanza's table: what each key does. Keys are lower case; those
// of a file match whatever their case, as in Vault.
type fields map[string]setter

// repeats marks the keys that may stand more than once in a stanza.
type repeats map[string]bool

// stanza reads a block by its table. what names the stanza in errors.
func (d *decoder) stanza(what string, n *node, table fields, many repeats) {
	if n.kind != block {
		d.fail(n.pos, "%s must be a stanza: %s { … }", what, what)
		return
	}
	seen := map[string]int{}
	for _, e := range n.entries {
		e.key = strings.ToLower(e.key)
		set, ok := table[e.key]
		if !ok {
			d.fail(e.pos, "unknown key %q in %s%s", e.key, what, suggestion(e.key, table))
			continue
		}
		if first := seen[e.key]; first > 0 && !many[e.key] {
			d.fail(e.pos, "%q is given a second time in %s: the first is on line %d", e.key, what, first)
			continue
		}
		seen[e.key] = e.pos.Line
		if e.value.kind != null {
			set(d, e)
		}
	}
}

// suggestion offers the key that a typing slip may have meant.
func suggestion(key string, table fields) string {
	best, bestAt := "", 3
	for known := range table {
		if at := distance(key, known); at < bestAt || at == bestAt && known < best {
			best, bestAt = known, at
		}
	}
	if bestAt > 2 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the number of letters to change, add or drop between two words,
// or 3 if it is clearly more.
func distance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 || len(a) > 64 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// blocksOf returns the blocks under a key that may be one block or a list.
func blocksOf(n *node) []*node {
	if n.kind != list {
		return []*node{n}
	}
	return n.items
}

// A labelled block is one `what "label" { … }`.
type labelled struct {
	pos   Position
	label string
	body  *node
}

// labels returns the labelled blocks of an entry, however it was spelt:
// {tcp: {…}}, {tcp: [{…}, {…}]} or a list of either.
func (d *decoder) labels(what string, e entry) []labelled {
	var out []labelled
	for _, n := range blocksOf(e.value) {
		if n.kind != block || len(n.entries) == 0 {
			d.fail(e.pos, "%s needs a type: %s \"type\" { … }", what, what)
			continue
		}
		for _, in := range n.entries {
			for _, body := range blocksOf(in.value) {
				if body.kind != block {
					d.fail(in.pos, "%s needs a type: %s \"type\" { … }", what, what)
					continue
				}
				out = append(out, labelled{in.pos, strings.ToLower(in.key), body})
			}
		}
	}
	return out
}

// sub reads a nested stanza without a label.
func sub(table func() fields) setter {
	return func(d *decoder, e entry) {
		blocks := blocksOf(e.value)
		if len(blocks) > 1 {
			d.fail(e.pos, "only one %q stanza is possible here", e.key)
			return
		}
		for _, n := range blocks {
			d.stanza(e.key, n, table(), nil)
		}
	}
}

// unsupported accepts a key whose effect this build does not have.
func unsupported(advice string) setter {
	return func(d *decoder, e entry) { d.warn(e.pos, "%q has no effect in this build: %s", e.key, advice) }
}

// without keeps what a key says, for sys/config/state/sanitized, and warns that
// it has no effect unless it switches off what is not there anyway.
func without(set setter, advice string) setter {
	return func(d *decoder, e entry) {
		set(d, e)
		if on, ok := parseBool(e.value); !ok || on {
			unsupported(advice)(d, e)
		}
	}
}

// ignored accepts a key that Vault itself no longer heeds, or that cannot
// change what a client sees.
func ignored(*decoder, entry) {}

func scalar(n *node) bool { return n.kind == text || n.kind == number || n.kind == flag }

func str(to *string) setter {
	return func(d *decoder, e entry) {
		if !scalar(e.value) {
			d.fail(e.pos, "%q must be a string", e.key)
		} else if e.value.text != "" { // an empty one must not undo an earlier file's
			*to = e.value.text
		}
	}
}

// word is a string out of a short list; "" stays unset.
func word(to *string, allowed ...string) setter {
	return func(d *decoder, e entry) {
		var s string
		str(&s)(d, e)
		s = strings.ToLower(strings.TrimSpace(s))
		if s == "" {
			return
		}
		for _, a := range allowed {
			if a == s {
				*to = s
				return
			}
		}
		d.fail(e.pos, "%q must be one of %s", e.key, strings.Join(allowed, ", "))
	}
}

func boolean(to *bool) setter {
	return func(d *decoder, e entry) {
		if v, ok := parseBool(e.value); ok {
			*to = v
			return
		}
		d.fail(e.pos, "%q must be true or false", e.key)
	}
}

// sticky is a boolean that no later file can switch off again, as in Vault.
func sticky(to *bool) setter {
	return func(d *decoder, e entry) {
		var v bool
		boolean(&v)(d, e)
		*to = *to || v
	}
}

func parseBool(n *node) (v, ok bool) {
	if !scalar(n) {
		return false, false
	}
	switch strings.ToLower(n.text) {
	case "":
		return false, true
	case "true", "t", "1":
		return true, true
	case "false", "f", "0":
		return false, true
	}
	return false, false
}

func integer[T int | int64](to *T) setter {
	return func(d *decoder, e entry) {
		v, err := strconv.ParseInt(e.value.text, 0, 64)
		if err != nil || e.value.kind != number && e.value.kind != text {
			d.fail(e.pos, "%q must be a whole number", e.key)
			return
		}
		*to = T(v)
	}
}

// duration is what Vault calls a duration: "90s", "1h30m", "7d", or seconds.
func duration(to *time.Duration) setter {
	return func(d *decoder, e entry) {
		if e.value.kind == text && e.value.text == "" {
			return
		}
		v, ok := parseDuration(e.value)
		if !ok {
			d.fail(e.pos, "%q must be a duration such as \"90s\" or \"1h\", or a number of seconds", e.key)
			return
		}
		*to = v
	}
}

// longest is a duration of which the largest in all files counts, as in Vault.
func longest(to *time.Duration) setter {
	return func(d *decoder, e entry) {
		var v time.Duration
		duration(&v)(d, e)
		*to = max(*to, v)
	}
}

func parseDuration(n *node) (time.Duration, bool) {
	if n.kind != text && n.kind != number {
		return 0, false
	}
	s := strings.TrimSpace(n.text)
	unit := time.Second
	if days, ok := strings.CutSuffix(s, "d"); ok {
		s, unit = days, 24*time.Hour
	}
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		v := seconds * float64(unit)
		if math.IsNaN(v) || math.Abs(v) >= math.MaxInt64 {
			return 0, false
		}
		return time.Duration(v), true
	}
	if unit != time.Second {
		return 0, false
	}
	v, err := time.ParseDuration(s)
	return v, err == nil
}

// strs is a list, or one string with commas.
func strs(to *[]string) setter {
	return func(d *decoder, e entry) {
		v, ok := parseList(e.value)
		if !ok {
			d.fail(e.pos, "%q must be a list of strings, or one string with commas", e.key)
			return
		}
		*to = v
	}
}

func parseList(n *node) ([]string, bool) {
	var out []string
	switch {
	case scalar(n):
		for _, s := range strings.Split(n.text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	case n.kind == list:
		for _, item := range n.items {
			if !scalar(item) {
				return nil, false
			}
			out = append(out, item.text)
		}
	default:
		return nil, false
	}
	return out, true
}
