package identity

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Part is a subject of identity/ that another package owns. Its rows are in
// the mount's own range.
type Part struct {
	Routes engine.Routes[Store]
	Jobs   engine.Jobs[Store]
}

// Type is the engine at identity/, with parts of others.
func (s *Store) Type(parts ...Part) engine.Type {
	spec := &engine.Spec[Store]{
		Name: "identity", Kind: engine.System,
		Help:   "Who callers are: entities, their aliases, and groups.",
		Open:   func(engine.Mount) (*Store, error) { return s, nil },
		Routes: slices.Concat(entityRoutes(), aliasRoutes(), groupRoutes(), groupAliasRoutes(), lookupRoutes()),
		Jobs:   engine.Jobs[Store]{},
	}
	for _, p := range parts {
		spec.Routes = append(spec.Routes, p.Routes...)
		maps.Copy(spec.Jobs, p.Jobs)
	}
	return spec.Type()
}

// Parts of requests.
type (
	oneID struct {
		ID string `path:"id"`
	}
	oneName struct {
		Name string `path:"name"`
	}
)

func whole(v engine.View) *storage.Tx { return engine.CallOf(v).Whole }

// agrees refuses a body that names another thing than the path does: what was
// written to would then be open to doubt. Absent is agreement.
func agrees(v engine.View, parameter, inPath string) error {
	var body map[string]json.RawMessage
	raw := engine.CallOf(v).Body
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil //nolint:nilerr // decoding the request will say so
	}
	var said string
	if given, ok := body[parameter]; ok && (json.Unmarshal(given, &said) != nil || said != inPath && said != "") {
		return engine.Bad("'%s' in the body is not the one in the path", parameter)
	}
	return nil
}
