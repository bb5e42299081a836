package openapi

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// A Schema describes a value.
type Schema struct {
	Type        string             `json:"type,omitempty"`
	Format      string             `json:"format,omitempty"`
	Description string             `json:"description,omitempty"`
	Default     string             `json:"default,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Items       *Schema            `json:"items,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Sensitive   map[string]any     `json:"x-vault-displayAttrs,omitempty"`
}

// expand writes out the optional parts of a pattern.
func expand(pattern string) []string {
	i := strings.LastIndexByte(pattern, '[')
	if i < 0 {
		return []string{pattern}
	}
	j := i + strings.IndexByte(pattern[i:], ']')
	without := pattern[:i] + pattern[j+1:]
	with := pattern[:i] + pattern[i+1:j] + pattern[j+1:]
	return append(expand(without), expand(with)...)
}

// place turns a pattern into a path with parameters.
func place(pattern string, request reflect.Type) (path string, params []Parameter) {
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		name, ok := strings.CutPrefix(strings.TrimSuffix(part, "}"), "{")
		if !ok {
			continue
		}
		name, words, _ := strings.Cut(name, ":")
		name = strings.TrimRight(name, ".@*")
		p := Parameter{Name: name, In: "path", Required: true, Schema: &Schema{Type: "string"}}
		if words != "" {
			p.Schema.Enum = strings.Split(words, "|")
		}
		each(request, func(f reflect.StructField) {
			if f.Tag.Get("path") == name {
				p.Description = f.Tag.Get("doc")
			}
		})
		params = append(params, p)
		parts[i] = "{" + name + "}"
	}
	return strings.Join(parts, "/"), params
}

// each calls f with the fields of a request, those of embedded and inlined structs
// too.
func each(t reflect.Type, f func(reflect.StructField)) {
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Tag.Get("kept") == "true" {
			continue
		}
		if (field.Anonymous || field.Tag.Get("inline") == "true") && field.Type.Kind() == reflect.Struct {
			each(field.Type, f)
			continue
		}
		f(field)
	}
}

// eachParam calls f with the fields that the body or the query fill.
func eachParam(r *engine.RouteInfo, f func(name string, field reflect.StructField)) {
	each(r.Request, func(field reflect.StructField) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" || field.Tag.Get("path") != "" || field.Tag.Get("body") != "" || !r.Takes(name) {
			return
		}
		f(name, field)
	})
}

func query(r *engine.RouteInfo) (params []Parameter) {
	eachParam(r, func(name string, f reflect.StructField) {
		params = append(params, Parameter{Name: name, Description: f.Tag.Get("doc"), In: "query", Schema: schemaOf(f.Type)})
	})
	return params
}

func body(r *engine.RouteInfo) *Body {
	s := &Schema{Type: "object", Properties: make(map[string]*Schema)}
	eachParam(r, func(name string, f reflect.StructField) {
		p := schemaOf(f.Type)
		p.Description, p.Default = f.Tag.Get("doc"), f.Tag.Get("default")
		if f.Tag.Get("secret") == "true" {
			p.Sensitive = map[string]any{"sensitive": true}
		}
		if f.Tag.Get("required") == "true" {
			s.Required = append(s.Required, name)
		}
		s.Properties[name] = p
	})
	if len(s.Properties) == 0 {
		return nil
	}
	return &Body{Content: map[string]Media{"application/json": {Schema: s}}}
}

func isNone(t reflect.Type) bool { return t == reflect.TypeFor[engine.None]() }

func schemaOf(t reflect.Type) *Schema {
	switch t {
	case reflect.TypeFor[engine.Duration](), reflect.TypeFor[engine.SignedDuration]():
		return &Schema{Type: "string", Format: "duration"}
	case reflect.TypeFor[engine.Time]():
		return &Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return &Schema{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return &Schema{Type: "integer"}
	case reflect.Float64:
		return &Schema{Type: "number"}
	case reflect.Slice:
		return &Schema{Type: "array", Items: schemaOf(t.Elem())}
	case reflect.Map, reflect.Struct:
		return &Schema{Type: "object"}
	}
	return &Schema{Type: "string"}
}
