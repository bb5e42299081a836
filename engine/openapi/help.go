package openapi

import (
	"reflect"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// A HelpAnswer is what ?help=1 answers.
type HelpAnswer struct {
	Help    string    `json:"help"`
	SeeAlso []string  `json:"see_also"`
	OpenAPI *Document `json:"openapi"`
}

// Help tells about a route of a mount, or about all of them if route is nil.
func Help(version string, m Mount, route *engine.RouteInfo) *HelpAnswer {
	a := &HelpAnswer{OpenAPI: New(version)}
	if route == nil {
		a.Help = overview(m.Info)
		a.OpenAPI.Add(m, false)
		return a
	}
	a.Help = details(route)
	info := *m.Info
	info.Routes = slices.DeleteFunc(slices.Clone(info.Routes), func(r *engine.RouteInfo) bool { return r.Pattern != route.Pattern })
	a.OpenAPI.Add(Mount{m.Path, &info}, false)
	return a
}

func overview(info *engine.Info) string {
	var b strings.Builder
	b.WriteString("## DESCRIPTION\n\n" + info.Help + "\n\n## PATHS\n\n")
	told := ""
	for _, r := range info.Routes {
		if r.Pattern == told {
			continue // another operation on the same path
		}
		told = r.Pattern
		b.WriteString("    " + r.Pattern + "\n        " + r.Doc + "\n\n")
	}
	return b.String()
}

func details(r *engine.RouteInfo) string {
	var b strings.Builder
	b.WriteString("Request:        " + r.Pattern + "\n\n" + r.Doc + "\n")
	heading := "\n## PARAMETERS\n\n"
	each(r.Request, func(f reflect.StructField) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if p := f.Tag.Get("path"); p != "" {
			name = p
		} else if !r.Takes(name) {
			return
		}
		if name == "" || name == "-" {
			return
		}
		b.WriteString(heading)
		heading = ""
		b.WriteString("    " + name + " (" + typeName(f.Type) + ")\n")
		if doc := f.Tag.Get("doc"); doc != "" {
			b.WriteString("        " + doc + "\n")
		}
		b.WriteByte('\n')
	})
	return b.String()
}

func typeName(t reflect.Type) string {
	s := schemaOf(t)
	switch {
	case s.Format != "":
		return s.Format
	case s.Type == "":
		return "any"
	}
	return s.Type
}
