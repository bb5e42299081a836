package server

import (
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/openapi"
)

// help answers ?help=1: what a path, or the mount that it lies in, is for.
func (s *Server) help(x *exchange) (*engine.Answer, error) {
	if x.live == nil {
		return nil, x.noRoute
	}
	m := openapi.Mount{Path: x.live.Path, Info: x.live.Engine.Info()}
	var route *engine.RouteInfo
	if x.noRoute == nil {
		route = x.match.Info
	}
	return &engine.Answer{Data: openapi.Help(s.version, m, route)}, nil
}
