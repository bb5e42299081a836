package server

import (
	"github.com/fastness-dev/fastness/engine"
)

// help answers ?help=1: what the path is for.
func (s *Server) help(x *exchange) (*engine.Answer, error) {
	if x.live == nil {
		return nil, x.noRoute
	}
	info := x.live.Engine.Info()
	text := info.Help + "\n\nPaths:\n\n"
	for _, r := range info.Routes {
		text += "    " + r.Pattern + "\n        " + r.Doc + "\n"
	}
	if x.noRoute == nil {
		text = x.match.Info.Doc + "\n"
	}
	return &engine.Answer{Data: map[string]any{"help": text, "see_also": "", "openapi": nil}}, nil
}
