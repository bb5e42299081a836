package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rule of this file: it turns nodes into the fields of a Rule, each method one
// shape, and says what the shape should have been.

// A keyError lists keys that nobody knows, in the form of Vault's lists of
// errors. Blocks have no = and so no line there; that is Vault's quirk.
type keyError struct {
	path string // quoted before each key, if set
	keys []string
	line []int
}

func (e *keyError) Error() string {
	var b strings.Builder
	if len(e.keys) == 1 {
		b.WriteString("1 error occurred:\n")
	} else {
		fmt.Fprintf(&b, "%d errors occurred:\n", len(e.keys))
	}
	for i, k := range e.keys {
		b.WriteString("\t* ")
		if e.path != "" {
			fmt.Fprintf(&b, "path %q: ", e.path)
		}
		fmt.Fprintf(&b, "invalid key %q on line %d\n", k, e.line[i])
	}
	b.WriteString("\n")
	return b.String()
}

func (e *keyError) in(path string) error {
	e.path = path
	return e
}

// onlyKeys returns a *keyError if the object holds others than known.
func (n *node) onlyKeys(known ...string) error {
	var bad keyError
	for _, it := range n.items {
		if !slices.Contains(known, it.keys[0]) {
			bad.keys = append(bad.keys, it.keys[0])
			bad.line = append(bad.line, it.assign)
		}
	}
	if bad.keys == nil {
		return nil
	}
	return &bad
}

// strings reads a list of strings, or one string.
func (n *node) strings() ([]string, error) {
	switch n.kind {
	case text:
		return []string{n.text}, nil
	case list:
		out := make([]string, 0, len(n.list))
		for _, el := range n.list {
			if el.kind != text {
				return nil, fmt.Errorf("must be a list of strings")
			}
			out = append(out, el.text)
		}
		return out, nil
	}
	return nil, fmt.Errorf("must be a list of strings")
}

func (n *node) capabilities() (Caps, error) {
	words, err := n.strings()
	if err != nil {
		return 0, err
	}
	var caps Caps
	for _, w := range words {
		c, ok := capNamed(w)
		if !ok {
			return 0, &wordError{"capability", w}
		}
		caps |= c
	}
	return caps, nil
}

// parameters reads a map of parameter names to lists of values.
func (n *node) parameters() (map[string][]Value, error) {
	if n.kind != object {
		return nil, fmt.Errorf("must be a map of parameters to lists of values")
	}
	out := make(map[string][]Value, len(n.items))
	for _, it := range n.items {
		values, err := it.val.values()
		if err != nil {
			return nil, fmt.Errorf("parameter %q: %w", it.keys[0], err)
		}
		mergeValues(out, foldKey(it.keys[0]), values)
	}
	return out, nil
}

// values reads a list, or one value as the list of it.
func (n *node) values() ([]Value, error) {
	v, err := n.value()
	if err != nil {
		return nil, err
	}
	if v.Kind == ListValue {
		return v.List, nil
	}
	return []Value{v}, nil
}

func (n *node) value() (Value, error) {
	switch n.kind {
	case text:
		return Value{Kind: StringValue, Text: n.text}, nil
	case number:
		return Value{Kind: NumberValue, Text: n.text}, nil
	case boolean:
		return Value{Kind: BoolValue, Text: n.text}, nil
	case list:
		out := Value{Kind: ListValue, List: make([]Value, 0, len(n.list))}
		for _, el := range n.list {
			v, err := el.value()
			if err != nil {
				return Value{}, err
			}
			out.List = append(out.List, v)
		}
		return out, nil
	}
	return Value{}, fmt.Errorf("values must be strings, numbers, booleans or lists of them")
}

// controlGroup reads { ttl = "4h" factor "name" { … } … }.
func (n *node) controlGroup() (*ControlGroup, error) {
	if n.kind != object {
		return nil, fmt.Errorf("must be an object")
	}
	if err := n.onlyKeys("ttl", "factor"); err != nil {
		return nil, err
	}
	cg := &ControlGroup{}
	for _, it := range n.items {
		if it.keys[0] == "ttl" {
			d, err := it.val.duration()
			if err != nil {
				return nil, fmt.Errorf("ttl: %w", err)
			}
			cg.TTL = d
			continue
		}
		if err := cg.addFactors(it); err != nil {
			return nil, err
		}
	}
	if len(cg.Factors) == 0 {
		return nil, fmt.Errorf("needs at least one factor")
	}
	return cg, nil
}

// addFactors takes `factor "name" { … }` or `"factor": {"name": {…}, …}`.
func (cg *ControlGroup) addFactors(it item) error {
	switch {
	case it.val.kind != object:
		return fmt.Errorf("factor on line %d: must be an object", it.line)
	case len(it.keys) == 1:
		for _, sub := range it.val.items {
			sub.keys = append([]string{"factor"}, sub.keys...)
			if err := cg.addFactors(sub); err != nil {
				return err
			}
		}
		return nil
	case len(it.keys) > 2:
		return fmt.Errorf("factor %q: has more than one label", it.keys[1])
	}
	f, err := it.val.factor(it.keys[1])
	if err != nil {
		return fmt.Errorf("factor %q: %w", it.keys[1], err)
	}
	cg.Factors = append(cg.Factors, f)
	return nil
}

func (n *node) factor(name string) (Factor, error) {
	f := Factor{Name: name}
	if err := n.onlyKeys("identity", "controlled_capabilities"); err != nil {
		return f, err
	}
	var err error
	for _, it := range n.items {
		switch {
		case len(it.keys) > 1:
			return f, fmt.Errorf("%s cannot have a label", it.keys[0])
		case it.keys[0] == "identity":
			err = f.setIdentity(it.val)
		default:
			f.Controlled, err = it.val.capabilities()
		}
		if err != nil {
			return f, err
		}
	}
	if len(f.GroupNames)+len(f.GroupIDs) == 0 || f.Approvals < 1 {
		return f, fmt.Errorf("identity needs group_names or group_ids, and approvals of at least 1")
	}
	return f, nil
}

func (f *Factor) setIdentity(n *node) (err error) {
	if n.kind != object {
		return fmt.Errorf("identity must be an object")
	}
	if err := n.onlyKeys("group_names", "group_ids", "approvals"); err != nil {
		return err
	}
	for _, it := range n.items {
		switch it.keys[0] {
		case "group_names":
			f.GroupNames, err = it.val.strings()
		case "group_ids":
			f.GroupIDs, err = it.val.strings()
		case "approvals":
			f.Approvals, err = strconv.Atoi(it.val.text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", it.keys[0], err)
		}
	}
	return nil
}
