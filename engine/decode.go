package engine

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"
)

// A plan says how to fill one request type. Tags of a field:
//
//	json:"name"     a parameter of the body or the query
//	path:"name"     a capture of the pattern
//	body:"all"      the whole body, unparsed (json.RawMessage)
//	required:"true" 400 when it is absent
//	default:"text"  what an absent parameter is taken for
//	secret:"true"   never shown again
//	doc:"one line"  help
//	inline:"true"   a struct whose fields count as this one's, as if embedded
//	kept:"true"     of a Collection's type: stored, but no parameter and not shown
type plan struct {
	fields  []field
	byName  map[string]int
	free    bool // takes the whole body: nothing is unrecognised
	hasJSON bool
}

type field struct {
	Name      string
	Doc       string
	Default   string
	Required  bool
	Secret    bool
	Path      bool
	All       bool
	omitEmpty bool            // of the json tag: not shown when zero
	preset    json.RawMessage // Default, as a request would spell it
	index     []int
	typ       reflect.Type
}

var plans sync.Map // reflect.Type -> *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{byName: make(map[string]int)}
	if t.Kind() == reflect.Struct {
		p.collect(t, nil)
	}
	for i := range p.fields {
		if f := &p.fields[i]; !f.All {
			p.byName[f.Name] = i
		}
	}
	plans.Store(t, p)
	return p
}

func (p *plan) collect(t reflect.Type, at []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Tag.Get("kept") == "true" {
			continue
		}
		index := append(slices.Clone(at), i)
		if (sf.Anonymous || sf.Tag.Get("inline") == "true") && sf.Type.Kind() == reflect.Struct {
			p.collect(sf.Type, index)
			continue
		}
		f := field{index: index, typ: sf.Type, Doc: sf.Tag.Get("doc"), Default: sf.Tag.Get("default"),
			Required: sf.Tag.Get("required") == "true", Secret: sf.Tag.Get("secret") == "true"}
		switch {
		case sf.Tag.Get("body") == "all":
			f.All, p.free = true, true
		case sf.Tag.Get("path") != "":
			f.Name, f.Path = sf.Tag.Get("path"), true
		default:
			var options string
			f.Name, options, _ = strings.Cut(sf.Tag.Get("json"), ",")
			f.omitEmpty = strings.Contains(options, "omit")
			if f.Name == "" || f.Name == "-" {
				continue
			}
			p.hasJSON = true
		}
		if f.Default != "" {
			f.preset, _ = json.Marshal(f.Default) // a text always encodes
		}
		if !f.All && !convertible(sf.Type) {
			panic(fmt.Sprintf("engine: field %s.%s has type %s, which no request can fill", t, sf.Name, sf.Type))
		}
		p.fields = append(p.fields, f)
	}
}

// decoding says how a request is decoded. The zero value is the usual way.
type decoding struct {
	over bool      // what v holds is kept where nothing was sent: no defaults
	only []string  // the parameters that are known, if not all
	sent *[]string // gets the names of the parameters that were sent
}

func (d *decoding) knows(name string) bool { return d.only == nil || slices.Contains(d.only, name) }

// decode fills a request from captures, body and query.
func (c *Call) decode(p *plan, v reflect.Value, how decoding) error {
	var seen uint64 // by field number; request types have fewer than 64
	if err := c.decodePath(p, v); err != nil {
		return err
	}
	var unknown, replaced []string
	take := func(name string, raw json.RawMessage) error {
		i, ok := p.byName[name]
		switch {
		case !ok || !how.knows(name):
			unknown = append(unknown, name)
			return nil
		case p.fields[i].Path:
			replaced = append(replaced, name)
			return nil
		}
		seen |= 1 << i
		if how.sent != nil {
			*how.sent = append(*how.sent, name)
		}
		f := &p.fields[i]
		if err := convert(v.FieldByIndex(f.index), raw); err != nil {
			return Bad("Field validation failed: error converting input for field %q: %s", f.Name, err)
		}
		return nil
	}
	if p.free {
		for i := range p.fields {
			if p.fields[i].All {
				v.FieldByIndex(p.fields[i].index).SetBytes(c.Body)
			}
		}
	}
	if !p.free || p.hasJSON {
		if err := EachField(c.Body, take); err != nil {
			return err
		}
	}
	for name, values := range c.Query {
		raw, err := json.Marshal(values)
		if len(values) == 1 {
			raw, err = json.Marshal(values[0])
		}
		if err != nil {
			return err
		}
		if err := take(name, raw); err != nil {
			return err
		}
	}
	for i := range p.fields {
		f := &p.fields[i]
		if seen&(1<<i) != 0 || f.Path || f.All || how.over || !how.knows(f.Name) {
			continue
		}
		if f.Required {
			return Bad("missing %s", f.Name)
		}
		if f.Default != "" {
			if err := convert(v.FieldByIndex(f.index), f.preset); err != nil {
				return fmt.Errorf("default of %s: %w", f.Name, err)
			}
		}
	}
	if !p.free {
		c.warnParameters(unknown, replaced)
	}
	return nil
}

func (c *Call) warnParameters(unknown, replaced []string) {
	if len(unknown) > 0 {
		sort.Strings(unknown)
		c.Warn("Endpoint ignored these unrecognized parameters: %v", unknown)
	}
	if len(replaced) > 0 {
		sort.Strings(replaced)
		c.Warn("Endpoint replaced the value of these parameters with the values captured from the endpoint's path: %v", replaced)
	}
}

// decodePath fills only what the pattern captured.
func (c *Call) decodePath(p *plan, v reflect.Value) error {
	for i := range p.fields {
		f := &p.fields[i]
		if !f.Path {
			continue
		}
		s := c.captures.get(f.Name)
		if f.typ.Kind() == reflect.String {
			v.FieldByIndex(f.index).SetString(s)
			continue
		}
		if s == "" {
			continue
		}
		raw, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if err := convert(v.FieldByIndex(f.index), raw); err != nil {
			return Bad("Field validation failed: error converting input for field %q: %s", f.Name, err)
		}
	}
	return nil
}

// A Field is a parameter of a route, for help and OpenAPI.
type Field struct {
	Name, Doc, Default string
	Required, Path     bool
	Type               reflect.Type
}

// Fields lists the parameters of a route.
func (r *RouteInfo) Fields() []Field {
	var out []Field
	for _, f := range planOf(r.Request).fields {
		if !f.All && (f.Path || r.Takes(f.Name)) {
			out = append(out, Field{f.Name, f.Doc, f.Default, f.Required, f.Path, f.typ})
		}
	}
	return out
}

// eachField gives the top-level fields of a JSON object, values unparsed. The
// body was validated at the edge; nil and null are empty objects.
func EachField(body json.RawMessage, f func(name string, raw json.RawMessage) error) error {
	i := skipSpace(body, 0)
	if i == len(body) || body[i] == 'n' {
		return nil
	}
	if body[i] != '{' {
		return Bad("error parsing JSON: the body must be an object")
	}
	for i = skipSpace(body, i+1); i < len(body) && body[i] == '"'; {
		end := skipValue(body, i)
		name := string(body[i+1 : end-1])
		if strings.IndexByte(name, '\\') >= 0 {
			if err := json.Unmarshal(body[i:end], &name); err != nil {
				return Bad("error parsing JSON: %s", err)
			}
		}
		i = skipSpace(body, end)
		i = skipSpace(body, i+1) // the colon
		end = skipValue(body, i)
		if err := f(name, body[i:end]); err != nil {
			return err
		}
		i = skipSpace(body, end)
		if i < len(body) && body[i] == ',' {
			i = skipSpace(body, i+1)
		}
	}
	return nil
}

// EachItem gives the items of a JSON array, unparsed. The JSON must be valid; it
// gives false when it is no array.
func EachItem(list json.RawMessage, f func(raw json.RawMessage) error) (bool, error) {
	i := skipSpace(list, 0)
	if i == len(list) || list[i] != '[' {
		return false, nil
	}
	for i = skipSpace(list, i+1); i < len(list) && list[i] != ']'; {
		end := skipValue(list, i)
		if err := f(list[i:end]); err != nil {
			return true, err
		}
		i = skipSpace(list, end)
		if i < len(list) && list[i] == ',' {
			i = skipSpace(list, i+1)
		}
	}
	return true, nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the end of the JSON value that starts at i. The JSON must
// be valid.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch c := b[i]; c {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			i++
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
			i++
		case ',':
			if depth == 0 {
				return i
			}
			i++
			continue
		default:
			for i++; i < len(b) && !strings.ContainsRune(",]} \n\t\r:{[\"", rune(b[i])); i++ {
			}
			if depth > 0 {
				continue
			}
		}
		if depth == 0 {
			return min(i, len(b))
		}
	}
	return min(i, len(b))
}
