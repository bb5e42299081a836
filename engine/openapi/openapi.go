// Package openapi tells what the routes of mounts take and answer: as an
// OpenAPI 3.0.2 document and as help. It knows routes by their
// [engine.RouteInfo] alone, so what it says is what the server does.
package openapi

import (
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// A Mount is an engine and where it is mounted.
type Mount struct {
	Path string // with trailing slash; sys/ and the like as they are
	Info *engine.Info
}

// A Document is an OpenAPI document, ready for encoding/json.
type Document struct {
	OpenAPI    string           `json:"openapi"`
	Info       About            `json:"info"`
	Paths      map[string]*Path `json:"paths"`
	Components Components       `json:"components"`
}

// About is the head of a document.
type About struct {
	Title       string  `json:"title"`
	Description string  `json:"description"`
	Version     string  `json:"version"`
	License     License `json:"license"`
}

// A License is named with its text's address.
type License struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// Components hold the schemas that paths refer to; ours stand in the paths.
type Components struct {
	Schemas map[string]*Schema `json:"schemas"`
}

// A Path is one path of the API with its operations.
type Path struct {
	Description     string      `json:"description,omitempty"`
	Parameters      []Parameter `json:"parameters,omitempty"`
	Sudo            bool        `json:"x-vault-sudo,omitempty"`
	Unauthenticated bool        `json:"x-vault-unauthenticated,omitempty"`
	CreateSupported bool        `json:"x-vault-createSupported,omitempty"`
	Get             *Operation  `json:"get,omitempty"`
	Post            *Operation  `json:"post,omitempty"`
	Patch           *Operation  `json:"patch,omitempty"`
	Delete          *Operation  `json:"delete,omitempty"`
}

// An Operation is what a verb does.
type Operation struct {
	Summary     string              `json:"summary,omitempty"`
	OperationID string              `json:"operationId"`
	Tags        []string            `json:"tags"`
	Parameters  []Parameter         `json:"parameters,omitempty"`
	RequestBody *Body               `json:"requestBody,omitempty"`
	Responses   map[string]Response `json:"responses"`
}

// A Body is what a request carries.
type Body struct {
	Content map[string]Media `json:"content"`
}

// Media is a schema under its content type.
type Media struct {
	Schema *Schema `json:"schema"`
}

// A Response is the answer under a status code.
type Response struct {
	Description string `json:"description"`
}

// A Parameter stands in the path or the query.
type Parameter struct {
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	In          string  `json:"in"`
	Schema      *Schema `json:"schema"`
	Required    bool    `json:"required,omitempty"`
}

// New returns an empty document for a version of the API.
func New(version string) *Document {
	return &Document{
		OpenAPI: "3.0.2",
		Info: About{Title: "Fastness API", Description: "What the mounts of this server answer, below `/v1/`.",
			Version: version, License: License{"Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0"}},
		Paths:      make(map[string]*Path),
		Components: Components{Schemas: make(map[string]*Schema)},
	}
}

// Add tells the routes of a mount. With generic, the place of the mount is a
// parameter of the paths, as generators of clients want it.
func (d *Document) Add(m Mount, generic bool) {
	prefix, mountParam := "/"+m.Path, ""
	if generic && m.Info.Kind != engine.System {
		mountParam = strings.ReplaceAll(m.Info.Name, "-", "_") + "_mount_path"
		prefix = "/{" + mountParam + "}/"
		if m.Info.Kind == engine.Auth {
			prefix = "/auth" + prefix
		}
	}
	for _, r := range m.Info.Routes {
		for _, variant := range expand(r.Pattern) {
			path, params := place(variant, r.Request)
			if mountParam != "" {
				params = append(params, Parameter{Name: mountParam, Description: "Path that the engine is mounted at.", In: "path",
					Required: true, Schema: &Schema{Type: "string", Default: strings.TrimSuffix(strings.TrimPrefix(m.Path, "auth/"), "/")}})
			}
			d.add(m, prefix+path, params, r)
		}
	}
}

func (d *Document) add(m Mount, path string, params []Parameter, r *engine.RouteInfo) {
	p := d.Paths[path]
	if p == nil {
		p = &Path{Description: r.Doc, Parameters: params}
		d.Paths[path] = p
	}
	p.Sudo = p.Sudo || r.Sudo
	p.Unauthenticated = p.Unauthenticated || r.Login
	p.CreateSupported = p.CreateSupported || r.Creates
	for _, op := range r.Ops() {
		o := &Operation{Summary: r.Doc, OperationID: operationID(op, path), Tags: []string{tag(m.Info.Kind)},
			Responses: map[string]Response{strconv.Itoa(status(r)): {"OK"}}}
		switch op {
		case engine.OpRead:
			o.Parameters = query(r)
			if p.Get != nil {
				p.Get.Parameters = append(listing(false), o.Parameters...)
				continue
			}
			p.Get = o
		case engine.OpList:
			o.Parameters = listing(true)
			if p.Get != nil {
				p.Get.Parameters = append(listing(false), p.Get.Parameters...)
				continue
			}
			p.Get = o
		case engine.OpWrite:
			o.RequestBody = body(r)
			p.Post = o
		case engine.OpPatch:
			o.RequestBody = body(r)
			p.Patch = o
		case engine.OpDelete:
			p.Delete = o
		}
	}
}

// listing is the parameter that makes a GET a LIST.
func listing(required bool) []Parameter {
	return []Parameter{{Name: "list", Description: "Must be set to `true` to list.", In: "query", Required: required,
		Schema: &Schema{Type: "string", Enum: []string{"true"}}}}
}

func status(r *engine.RouteInfo) int {
	if isNone(r.Response) {
		return 204
	}
	return 200
}

func tag(k engine.Kind) string {
	switch k {
	case engine.Secret:
		return "secrets"
	case engine.Auth:
		return "auth"
	}
	return "system"
}

func operationID(op engine.Op, path string) string {
	words := strings.FieldsFunc(path, func(c rune) bool { return strings.ContainsRune("/{}_.", c) })
	return op.String() + "-" + strings.Join(words, "-")
}
