package sys

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
)

// asking finds the policies of the token that came with a request to a route
// for everyone; nil when none did that may be used. It spends no use of the
// token, unless only that tells whether its address is a good one.
func (s *System) asking(v engine.View) (*heldACL, error) {
	c := engine.CallOf(v)
	raw := c.Data.(Requester).RawToken()
	e, err := s.Tokens.Find(c.Whole, raw)
	if err != nil || e == nil {
		return nil, err
	}
	if len(e.BoundCIDRs) > 0 {
		if e, err = s.admitted(c, raw); err != nil || e == nil {
			return nil, err
		}
	}
	return s.held(v, e)
}

func (s *System) admitted(c *engine.Call, raw string) (*token.Entry, error) {
	ip, _ := netip.ParseAddr(c.By.Address) // a unix socket has none
	e, err := s.Tokens.Authenticate(c.Whole, raw, ip)
	if told := (*api.Error)(nil); errors.As(err, &told) && told.Status == http.StatusForbidden {
		return nil, nil
	}
	return e, err
}

// publicMount is what everyone may know of a mount that is shown to everyone.
type publicMount struct {
	Description string            `json:"description"`
	Options     map[string]string `json:"options"`
	Type        string            `json:"type"`
}

// uiMounts are the mounts that a caller can do something with: *mountView, or
// *publicMount for callers without a token.
type uiMounts struct {
	Auth   map[string]any `json:"auth"`
	Secret map[string]any `json:"secret"`
}

func (s *System) uiMounts(v engine.View, _ engine.None) (*uiMounts, error) {
	acl, err := s.asking(v)
	if err != nil {
		return nil, err
	}
	table, err := s.mountTable(v)
	if err != nil {
		return nil, err
	}
	a := &uiMounts{Auth: map[string]any{}, Secret: map[string]any{}}
	for _, l := range table.All() {
		to, path := a.Secret, l.Path
		if p, ok := authTable.shown(l); ok {
			to, path = a.Auth, p
		}
		listed := l.Config.ListingVisibility == "unauth"
		switch {
		case acl == nil && listed:
			to[path] = &publicMount{l.Description, l.Options, l.Type}
		case acl != nil && (listed || acl.anyUnder(l.Path)):
			to[path] = s.viewOf(l)
		}
	}
	return a, nil
}

// preflight says which mount a path lies in, to a caller who can do anything
// there. Clients choose between kv's versions by it.
func (s *System) preflight(v engine.View, req mountPath) (*mountView, error) {
	acl, err := s.asking(v)
	if err != nil {
		return nil, err
	}
	if acl == nil {
		return nil, engine.Denied()
	}
	table, err := s.mountTable(v)
	if err != nil {
		return nil, err
	}
	path := strings.Trim(req.Path, "/") + "/"
	l := mountOf(table, path)
	if l == nil || !acl.anyUnder(l.Path) {
		return nil, engine.Status(http.StatusForbidden,
			"preflight capability check returned 403, please ensure client's policies grant access to path %q", path)
	}
	view := s.viewOf(l)
	view.Path = strings.TrimPrefix(l.Path, "auth/")
	return view, nil
}

func mountOf(t *mount.Table, path string) *mount.Live {
	l, _ := t.Find(path)
	return l
}

// resultantACL is everything that the caller's policies say.
type resultantACL struct {
	Exact  map[string]policy.PathGrant `json:"exact_paths,omitempty"`
	Glob   map[string]policy.PathGrant `json:"glob_paths,omitempty"`
	Root   bool                        `json:"root"`
	Chroot string                      `json:"chroot_namespace"`
}

func (s *System) resultantACL(v engine.View, _ engine.None) (*resultantACL, error) {
	acl, err := s.held(v, engine.CallOf(v).Data.(Requester).Token())
	if err != nil {
		return nil, err
	}
	a := &resultantACL{Root: acl.IsRoot()}
	a.Exact, a.Glob = acl.Resultant()
	return a, nil
}

func uiRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Read("internal/ui/mounts", (*System).uiMounts).Public().Doc("List the mounts that the caller can use."),
		engine.Read("internal/ui/mounts/{path...}", (*System).preflight).Public().Doc("Say which mount a path lies in."),
		engine.Read("internal/ui/resultant-acl", (*System).resultantACL).Doc("List what the caller's policies say."),
	}
}
