package sys

import (
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// A tableOf is one of the two faces of the mount table: sys/mounts for secrets
// engines and sys/auth for auth methods, whose paths are told without "auth/".
type tableOf struct {
	prefix string // of stored paths
	kind   engine.Kind
	noun   string // for what is missing
	plugin string // what a plugin is called in sentences
}

var (
	secretTable = tableOf{"", engine.Secret, "secret engine mount", "secrets"}
	authTable   = tableOf{"auth/", engine.Auth, "auth engine", "auth"}
)

// shown gives the path of a mount as this table tells it.
func (t tableOf) shown(l *mount.Live) (path string, ok bool) {
	if rest, isAuth := strings.CutPrefix(l.Path, "auth/"); isAuth {
		return rest, t.kind == engine.Auth
	}
	return l.Path, t.kind == engine.Secret
}

// mountView is a mount as sys/mounts shows it.
type mountView struct {
	Accessor          string            `json:"accessor"`
	Config            mount.Config      `json:"config"`
	DeprecationStatus string            `json:"deprecation_status,omitempty"`
	Description       string            `json:"description"`
	ExternalEntropy   bool              `json:"external_entropy_access"`
	Local             bool              `json:"local"`
	Options           map[string]string `json:"options"`
	Path              string            `json:"path,omitempty"` // in preflights only
	PluginVersion     string            `json:"plugin_version"`
	RunningVersion    string            `json:"running_plugin_version"`
	RunningSHA256     string            `json:"running_sha256"`
	SealWrap          bool              `json:"seal_wrap"`
	Type              string            `json:"type"`
	UUID              string            `json:"uuid"`
}

func (s *System) viewOf(l *mount.Live) *mountView {
	v := &mountView{Accessor: l.Accessor, Config: l.Config, Description: l.Description, ExternalEntropy: l.ExternalEntropy,
		Local: l.Local, Options: l.Options, PluginVersion: l.PluginVersion, RunningVersion: l.Engine.Info().Version,
		SealWrap: l.SealWrap, Type: l.Type, UUID: l.UUID}
	if v.RunningVersion == "" { // an engine that is as old as the server
		v.RunningVersion = s.Builtin()
	}
	if l.Kind != engine.System {
		v.DeprecationStatus = "supported"
	}
	if _, isAuth := authTable.shown(l); isAuth && v.Config.TokenType == "" {
		v.Config.TokenType = "default-service"
	}
	return v
}

// mountTable is the mount table as a call sees it.
func (s *System) mountTable(v engine.View) (*mount.Table, error) {
	return s.Mounts.Table(engine.CallOf(v).Whole)
}

func listMounts(t tableOf) func(*System, engine.View, engine.None) (map[string]*mountView, error) {
	return func(s *System, v engine.View, _ engine.None) (map[string]*mountView, error) {
		table, err := s.mountTable(v)
		if err != nil {
			return nil, err
		}
		views := make(map[string]*mountView)
		for _, l := range table.All() {
			if path, ok := t.shown(l); ok {
				views[path] = s.viewOf(l)
			}
		}
		return views, nil
	}
}

type mountPath struct {
	Path string `path:"path" doc:"Path of the mount; with /tune behind it, its tunable settings."`
}

// tuned splits a captured path: patterns give the whole rest, /tune included.
func tuned(captured string) (path string, tune bool) {
	rest, tune := strings.CutSuffix(strings.Trim(captured, "/"), "/tune")
	return rest + "/", tune
}

func readMount(t tableOf) func(*System, engine.View, mountPath) (any, error) {
	return func(s *System, v engine.View, req mountPath) (any, error) {
		path, tune := tuned(req.Path)
		table, err := s.mountTable(v)
		if err != nil {
			return nil, err
		}
		l := table.At(t.prefix + path)
		if tune {
			if l == nil {
				return nil, engine.Bad("cannot fetch sysview for path %q", t.prefix+path)
			}
			return s.tuneViewOf(l), nil
		}
		if l != nil {
			if _, ok := t.shown(l); ok {
				return s.viewOf(l), nil
			}
		}
		return nil, engine.Bad("No %s at %s", t.noun, path)
	}
}

func writeMount(t tableOf) func(*System, engine.Tx, mountRequest) (engine.None, error) {
	return func(s *System, tx engine.Tx, req mountRequest) (engine.None, error) {
		path, tune := tuned(req.Path)
		if tune {
			return engine.None{}, s.tune(tx, t, path, req.tuneFields)
		}
		return engine.None{}, s.enable(tx, t, path, req)
	}
}

// fixedMounts are made by the server and stay where they are.
var fixedMounts = []string{"sys/", "cubbyhole/", "identity/", "audit/", "auth/token/"}

func fixed(path string) bool {
	return slices.ContainsFunc(fixedMounts, func(p string) bool { return strings.HasPrefix(path, p) })
}

func disableMount(t tableOf) func(*System, engine.Tx, mountPath) (engine.None, error) {
	return func(s *System, tx engine.Tx, req mountPath) (engine.None, error) {
		path := t.prefix + strings.Trim(req.Path, "/") + "/"
		switch {
		case path == "auth/token/" && t.kind == engine.Auth:
			return engine.None{}, engine.Bad("token credential backend cannot be disabled")
		case fixed(path) || t.kind == engine.Secret && strings.HasPrefix(path, "auth/"):
			return engine.None{}, engine.Bad("cannot unmount %q", path)
		}
		table, err := s.mountTable(tx)
		if err != nil {
			return engine.None{}, err
		}
		l := table.At(path)
		if l == nil {
			return engine.None{}, nil
		}
		whole := engine.CallOf(tx).Whole
		if err := s.Leases.RevokePrefix(whole, path, false); err != nil {
			return engine.None{}, err
		}
		if err := s.quotasMoved(whole, path, ""); err != nil {
			return engine.None{}, err
		}
		s.Mounts.Doom(whole, l.Entry)
		if s.Identities != nil && t.kind == engine.Auth {
			if err := s.Identities.Unmount(whole, l.Accessor); err != nil {
				return engine.None{}, err
			}
		}
		return engine.None{}, s.endMount(whole, l.Entry)
	}
}

// KindEnd is the job that goes on removing a mount, whose UUID is its id.
const KindEnd = "mount-end"

// endPause is how long a mount that still lends something is left alone.
const endPause = 5 * time.Second

// EndMount goes on removing a mount.
func (s *System) EndMount(tx *storage.Tx, j schedule.Job) error {
	table, err := s.Mounts.Table(tx)
	if err != nil {
		return err
	}
	l := table.ByUUID(j.ID)
	if l == nil || !l.Doomed {
		return nil
	}
	return s.endMount(tx, l.Entry)
}

// endMount removes a mount that lends nothing any longer, or looks again later.
func (s *System) endMount(tx *storage.Tx, e *mount.Entry) error {
	lends, err := s.Leases.Lends(tx, e.UUID)
	if err != nil {
		return err
	}
	if lends {
		schedule.At(tx, s.Leases.Now().Add(endPause), schedule.Job{Kind: KindEnd, ID: e.UUID})
		return nil
	}
	s.Mounts.Disable(tx, e)
	return nil
}

func mountRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Read("mounts", listMounts(secretTable)).TopLevel().Doc("List the secrets engines."),
		engine.Read("mounts/{path...}", readMount(secretTable)).TopLevel().Doc("Show a secrets engine, or with /tune what can be tuned."),
		engine.Write("mounts/{path...}", writeMount(secretTable)).Doc("Enable a secrets engine, or with /tune tune it."),
		engine.Delete("mounts/{path...}", disableMount(secretTable)).Doc("Disable a secrets engine and remove what it stored."),
		engine.Read("auth", listMounts(authTable)).TopLevel().Doc("List the auth methods."),
		engine.Read("auth/{path...}", readMount(authTable)).TopLevel().Sudo().Doc("Show an auth method, or with /tune what can be tuned."),
		engine.Write("auth/{path...}", writeMount(authTable)).Sudo().Doc("Enable an auth method, or with /tune tune it."),
		engine.Delete("auth/{path...}", disableMount(authTable)).Sudo().Doc("Disable an auth method and revoke its tokens."),
	}
}
