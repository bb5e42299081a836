package sys

import (
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/openapi"
)

type specRequest struct {
	Generic bool   `json:"generic_mount_paths" doc:"Make the places of mounts parameters of the paths."`
	Context string `json:"context" doc:"Not used."`
}

// spec describes every mount of the namespace.
func (s *System) spec(v engine.View, req specRequest) (*openapi.Document, error) {
	table, err := s.Mounts.Table(engine.CallOf(v).Whole)
	if err != nil {
		return nil, err
	}
	d := openapi.New(s.Settings.Version)
	for _, live := range table.All() {
		d.Add(openapi.Mount{Path: live.Mount.Path, Info: live.Engine.Info()}, req.Generic)
	}
	return d, nil
}

func specRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Read("internal/specs/openapi", (*System).spec).Bare().Doc("Describe the API as OpenAPI."),
		engine.Compute("internal/specs/openapi", (*System).spec).Bare().Doc("Describe the API as OpenAPI."),
	}
}
