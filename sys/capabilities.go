package sys

import (
	"net/http"
	"slices"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/engine"
)

type pathsAsked struct {
	Path  []string `json:"path" doc:"Old name of paths."`
	Paths []string `json:"paths" doc:"Paths to say the capabilities on."`
}

type tokenPaths struct {
	Token string `json:"token" secret:"true" doc:"The token whose capabilities are asked."`
	pathsAsked
}

type accessorPaths struct {
	Accessor string `json:"accessor" doc:"Accessor of the token whose capabilities are asked."`
	pathsAsked
}

// capabilities says what the holder of a token can do on paths. With one path it is said again
// under a key that old clients look for.
func (s *System) capabilities(v engine.View, e *token.Entry, asked pathsAsked) (map[string][]string, error) {
	paths := slices.Concat(asked.Paths, asked.Path)
	if len(paths) == 0 {
		return nil, engine.Bad("paths must be supplied")
	}
	acl, err := s.held(v, e)
	if err != nil {
		return nil, err
	}
	caps := make(map[string][]string, len(paths)+1)
	for _, p := range paths {
		caps[p] = acl.capabilities(p)
	}
	if len(paths) == 1 {
		caps["capabilities"] = caps[paths[0]]
	}
	return caps, nil
}

// ownCapabilities is about the request's token, whatever else the body names.
func (s *System) ownCapabilities(v engine.View, req tokenPaths) (map[string][]string, error) {
	return s.capabilities(v, engine.CallOf(v).Data.(Requester).Token(), req.pathsAsked)
}

func (s *System) capabilitiesOf(v engine.View, req tokenPaths) (map[string][]string, error) {
	if req.Token == "" {
		return nil, engine.Bad("no token found")
	}
	e, err := s.Tokens.Lookup(engine.CallOf(v).Whole, req.Token)
	return s.entryCapabilities(v, e, err, "invalid token", req.pathsAsked)
}

func (s *System) capabilitiesByAccessor(v engine.View, req accessorPaths) (map[string][]string, error) {
	if req.Accessor == "" {
		return nil, engine.Bad("no accessor found")
	}
	e, err := s.Tokens.ByAccessor(engine.CallOf(v).Whole, req.Accessor)
	return s.entryCapabilities(v, e, err, "invalid accessor", req.pathsAsked)
}

func (s *System) entryCapabilities(v engine.View, e *token.Entry, err error, none string, asked pathsAsked) (map[string][]string, error) {
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return nil, engine.Listed(http.StatusBadRequest, "%s", none)
	}
	return s.capabilities(v, e, asked)
}

// heldACL is what a token's policies say, seen from the namespace of a request.
type heldACL struct {
	*policy.ACL
	down string // the path from the token's namespace to the request's
	out  bool   // the token does not reach the request's namespace
}

func (h *heldACL) capabilities(path string) []string {
	if h.out {
		return []string{"deny"}
	}
	return h.Capabilities(h.down + path)
}

// anyUnder says whether the token can do anything below a path.
func (h *heldACL) anyUnder(path string) bool { return !h.out && h.HasAnyUnder(h.down+path) }

func (s *System) held(v engine.View, e *token.Entry) (*heldACL, error) {
	tx := engine.CallOf(v).Whole
	down, ok, err := s.Tokens.Down(tx, e)
	if err != nil {
		return nil, err
	}
	if s.Held != nil {
		h, err := s.Held(tx, e)
		if err != nil {
			return nil, err
		}
		return &heldACL{h.ACL, down, !ok}, nil
	}
	home, err := s.Tokens.Home(tx, e)
	if err != nil {
		return nil, err
	}
	acl, err := s.Policies.ACL(home, e.Policies)
	return &heldACL{acl, down, !ok}, err
}

func capabilityRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Compute("capabilities", (*System).capabilitiesOf).TopLevel().Doc("Say what a token can do on paths."),
		engine.Compute("capabilities-self", (*System).ownCapabilities).TopLevel().Doc("Say what the caller can do on paths."),
		engine.Compute("capabilities-accessor", (*System).capabilitiesByAccessor).TopLevel().Doc("Say what the token of an accessor can do on paths."),
	}
}
