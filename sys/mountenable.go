package sys

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
)

// mountRequest is a body of sys/mounts/<path> or of sys/mounts/<path>/tune:
// one pattern captures both.
type mountRequest struct {
	Path            string                     `path:"path" doc:"Path of the mount."`
	Type            string                     `json:"type" doc:"Type of the engine."`
	Config          map[string]json.RawMessage `json:"config" doc:"Settings to begin with."`
	Local           bool                       `json:"local" doc:"Keep the mount to this cluster."`
	SealWrap        bool                       `json:"seal_wrap" doc:"Wrap what it stores with the seal."`
	ExternalEntropy bool                       `json:"external_entropy_access" doc:"Draw randomness from the seal."`
	PluginName      string                     `json:"plugin_name" doc:"Name of the plugin, if type is plugin."`
	tuneFields
}

// reserved are the paths that nothing is mounted below.
var reserved = []string{"auth/", "sys/", "audit/", "cubbyhole/", "identity/"}

func (s *System) enable(tx engine.Tx, t tableOf, path string, req mountRequest) error {
	e := mount.Entry{Path: t.prefix + path, Kind: t.kind, Type: req.Type, Local: req.Local, SealWrap: req.SealWrap,
		ExternalEntropy: req.ExternalEntropy, Options: map[string]string{}}
	if req.Description != nil {
		e.Description = *req.Description
	}
	if req.Options != nil {
		maps.Copy(e.Options, *req.Options)
	}
	if e.Type == "plugin" {
		e.Type = req.PluginName
		if e.Type == "" {
			e.Type, _ = textOf(req.Config["plugin_name"])
		}
	}
	if err := t.checkType(&e); err != nil {
		return err
	}
	if err := t.checkPath(path); err != nil {
		return err
	}
	var err error
	if e.Config, err = s.configOf(t, req.Config); err != nil {
		return err
	}
	asked, _ := textOf(req.Config["plugin_version"])
	if req.PluginVersion != nil {
		asked = *req.PluginVersion
	}
	if typ := s.Mounts.Type(e.Kind, e.Type, e.Options); typ != nil && asked != "" && asked != typ.Info().Version {
		return engine.Bad("cannot select non-builtin version of %s plugin %s", t.plugin, e.Type)
	}
	_, err = s.Mounts.Enable(engine.CallOf(tx).Whole, e)
	return err
}

// checkType settles the type: aliases of kv carry its version.
func (t tableOf) checkType(e *mount.Entry) error {
	switch {
	case e.Type == "":
		return engine.Bad("backend type must be specified as a string")
	case t.kind == engine.Auth && e.Type == "token":
		return engine.Bad("token credential backend cannot be instantiated")
	case t.kind == engine.Secret && slices.Contains([]string{"system", "cubbyhole", "identity", "token"}, e.Type):
		return engine.Bad("mount type of %q is not mountable", e.Type)
	case t.kind != engine.Secret:
		return nil
	}
	switch e.Type {
	case "kv-v1", "generic":
		e.Type, e.Options["version"] = "kv", "1"
	case "kv-v2":
		e.Type, e.Options["version"] = "kv", "2"
	}
	return nil
}

func (t tableOf) checkPath(path string) error {
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." || part == "." {
			return engine.Bad("relative paths not supported")
		}
	}
	if path == "/" || strings.Contains(path, "//") || strings.ContainsFunc(path, unprintable) {
		return engine.Bad("cannot mount %q", t.prefix+path)
	}
	if t.kind == engine.Secret && slices.ContainsFunc(reserved, func(p string) bool { return strings.HasPrefix(path, p) }) {
		return engine.Bad("cannot mount %q", path)
	}
	return nil
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f }

// configOf reads the config of a new mount.
func (s *System) configOf(t tableOf, raw map[string]json.RawMessage) (c mount.Config, err error) {
	if c.DefaultLeaseTTL, err = ttlOf(raw["default_lease_ttl"], "default"); err != nil {
		return c, err
	}
	if c.MaxLeaseTTL, err = ttlOf(raw["max_lease_ttl"], "max"); err != nil {
		return c, err
	}
	switch {
	case c.MaxLeaseTTL > 0 && c.DefaultLeaseTTL > c.MaxLeaseTTL:
		return c, engine.Bad("given default lease TTL greater than given max lease TTL")
	case c.MaxLeaseTTL == 0 && c.DefaultLeaseTTL > int64(s.Mounts.MaxTTL.Seconds()):
		return c, engine.Bad("given default lease TTL greater than system max lease TTL")
	}
	f, err := fieldsOf(raw)
	if err != nil {
		return c, err
	}
	if t.kind == engine.Auth {
		c.TokenType = "default-service"
	} else {
		f.TokenType = nil // told, but of no meaning, to a secrets engine
	}
	return c, f.apply(&c)
}

// ttlOf reads a TTL in seconds. Absent and "" are 0.
func ttlOf(raw json.RawMessage, which string) (int64, error) {
	s, err := textOf(raw)
	if err != nil || s == "" {
		return 0, err
	}
	d, err := engine.ParseDuration(s)
	if err != nil {
		return 0, engine.Bad("unable to parse %s TTL of %s: %s", which, s, err)
	}
	if d < 0 {
		return 0, engine.Bad("unable to parse %s TTL of %s: it must not be negative", which, s)
	}
	return engine.Duration(d).Seconds(), nil
}
