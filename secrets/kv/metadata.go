package kv

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/fastness-dev/fastness/engine"
)

func metadataRoutes() engine.Routes[v2] {
	return engine.Routes[v2]{
		engine.Read("metadata[/{path...}]", (*v2).readMetadata).Doc("Read the versions and settings of a secret."),
		engine.List("metadata[/{path...}]", (*v2).list).Doc("List the secrets below a path."),
		engine.Exists(engine.Write("metadata[/{path...}]", (*v2).writeMetadata).Doc("Change the settings of a secret."), (*v2).metadataExists),
		engine.Patch("metadata[/{path...}]", (*v2).patchMetadata).Doc("Change some settings of a secret."),
		engine.Delete("metadata[/{path...}]", (*v2).deleteMetadata).Doc("Delete a secret with all its versions."),
	}
}

type configAnswer struct {
	CASRequired bool   `json:"cas_required"`
	DeleteAfter string `json:"delete_version_after"`
	MaxVersions int    `json:"max_versions"`
}

func (e *v2) readConfig(v engine.View, _ engine.None) (*configAnswer, error) {
	c, err := e.config(v)
	return &configAnswer{c.CASRequired, c.DeleteAfter.String(), c.MaxVersions}, err
}

type configRequest struct {
	MaxVersions *int                   `json:"max_versions" doc:"How many versions of a secret are kept; 0 is 10."`
	CASRequired *bool                  `json:"cas_required" doc:"Every write must say which version it builds on."`
	DeleteAfter *engine.SignedDuration `json:"delete_version_after" doc:"Time after which a version is deleted; negative is never."`
}

func (e *v2) writeConfig(tx engine.Tx, req configRequest) (engine.None, error) {
	old, err := e.config(tx)
	if err != nil {
		return engine.None{}, err
	}
	c := *old
	if req.MaxVersions != nil {
		c.MaxVersions = max(*req.MaxVersions, 0)
	}
	if req.CASRequired != nil {
		c.CASRequired = *req.CASRequired
	}
	if req.DeleteAfter != nil {
		c.DeleteAfter = time.Duration(*req.DeleteAfter)
	}
	engine.Table[config](tx, "").Put("config", &c)
	return engine.None{}, nil
}

type metadataAnswer struct {
	CASRequired bool                      `json:"cas_required"`
	Created     time.Time                 `json:"created_time"`
	Current     int                       `json:"current_version"`
	Custom      map[string]string         `json:"custom_metadata"`
	DeleteAfter string                    `json:"delete_version_after"`
	MaxVersions int                       `json:"max_versions"`
	Oldest      int                       `json:"oldest_version"`
	Updated     time.Time                 `json:"updated_time"`
	Versions    map[int]versionDescriptor `json:"versions"`
}

type versionDescriptor struct {
	Created   time.Time `json:"created_time"`
	Deletion  string    `json:"deletion_time"`
	Destroyed bool      `json:"destroyed"`
}

func (*v2) readMetadata(v engine.View, req pathRequest) (*metadataAnswer, error) {
	s, err := secrets(v).Peek(req.Path)
	if err != nil || s == nil {
		return nil, err
	}
	a := &metadataAnswer{CASRequired: s.CASRequired, Created: s.Created.UTC(), Current: s.Current, Custom: s.Custom,
		DeleteAfter: s.DeleteAfter.String(), MaxVersions: s.MaxVersions, Oldest: s.Oldest, Updated: s.Updated.UTC(),
		Versions: make(map[int]versionDescriptor, len(s.Versions))}
	for n, st := range s.Versions {
		d := versionDescriptor{Created: st.Created.UTC(), Destroyed: st.Destroyed}
		if !st.Deletion.IsZero() {
			d.Deletion = st.Deletion.UTC().Format(time.RFC3339Nano)
		}
		a.Versions[n] = d
	}
	return a, nil
}

func (*v2) list(v engine.View, req pathRequest) (engine.Keys, error) {
	return names(v, strings.TrimSuffix("meta/"+req.Path, "/"))
}

func (*v2) metadataExists(v engine.View, req pathRequest) (bool, error) {
	s, err := secrets(v).Peek(req.Path)
	return s != nil, err
}

type metadataRequest struct {
	Path        string                 `path:"path"`
	MaxVersions *int                   `json:"max_versions" doc:"How many versions are kept; 0 is what the mount says."`
	CASRequired *bool                  `json:"cas_required" doc:"Every write must say which version it builds on."`
	DeleteAfter *engine.SignedDuration `json:"delete_version_after" doc:"Time after which a version is deleted; 0 is what the mount says, negative is never."`
	Custom      json.RawMessage        `json:"custom_metadata" doc:"Names and values of the user's own."`
}

func (e *v2) writeMetadata(tx engine.Tx, req metadataRequest) (engine.None, error) {
	if folder(req.Path) {
		return engine.None{}, engine.Bad("cannot write to a path ending in '/'")
	}
	if req.MaxVersions == nil && req.CASRequired == nil && req.DeleteAfter == nil && req.Custom == nil {
		return engine.None{}, nil // says nothing: a secret is not made of it
	}
	s, c, err := e.load(tx, req.Path)
	if err != nil {
		return engine.None{}, err
	}
	if req.Custom != nil {
		given, err := parseCustom(req.Custom)
		if err != nil {
			return engine.None{}, err
		}
		s.Custom = make(map[string]string, len(given))
		for k, v := range given {
			if v != nil {
				s.Custom[k] = *v
			}
		}
	}
	return e.change(tx, s, c, req)
}

func (e *v2) patchMetadata(tx engine.Tx, req metadataRequest) (*engine.Answer, error) {
	s, err := secrets(tx).Get(req.Path)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return noBody, nil
	}
	c, err := e.config(tx)
	if err != nil {
		return nil, err
	}
	if req.Custom != nil {
		given, err := parseCustom(req.Custom)
		if err != nil {
			return nil, err
		}
		custom := maps.Clone(s.Custom)
		if custom == nil {
			custom = make(map[string]string, len(given))
		}
		for k, v := range given {
			if v == nil {
				delete(custom, k)
			} else {
				custom[k] = *v
			}
		}
		s.Custom = custom
	}
	_, err = e.change(tx, s, c, req)
	return nil, err
}

// change applies the settings that were sent, and stores the secret.
func (e *v2) change(tx engine.Tx, s *secret, c *config, req metadataRequest) (engine.None, error) {
	if err := checkCustom(s.Custom); err != nil {
		return engine.None{}, err
	}
	if req.MaxVersions != nil {
		s.MaxVersions = max(*req.MaxVersions, 0)
		if c.MaxVersions > 0 && s.MaxVersions > c.MaxVersions {
			tx.Warn("max_versions is larger than the mount's, which is %d", c.MaxVersions)
		}
	}
	if req.CASRequired != nil {
		s.CASRequired = *req.CASRequired
		if c.CASRequired && !s.CASRequired {
			tx.Warn("\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.")
		}
	}
	if req.DeleteAfter != nil {
		s.DeleteAfter = time.Duration(*req.DeleteAfter)
	}
	s.Updated = tx.Now()
	secrets(tx).Put(req.Path, s)
	return engine.None{}, nil
}

// parseCustom reads custom metadata; a null value asks for a removal.
func parseCustom(raw json.RawMessage) (map[string]*string, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '{' {
		return nil, engine.Bad("error converting input for field \"custom_metadata\": '' expected type 'map[string]interface {}', got unconvertible type 'string'")
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, engine.Bad("custom_metadata validation failed: %s", err)
	}
	out := make(map[string]*string, len(values))
	for k, v := range values {
		switch v[0] {
		case 'n':
			out[k] = nil
			continue
		case '{':
			return nil, engine.Bad("custom_metadata validation failed: '' expected type 'string', got unconvertible type 'map[string]interface {}'")
		case '[':
			return nil, engine.Bad("custom_metadata validation failed: '' expected type 'string', got unconvertible type '[]interface {}'")
		}
		s := string(v)
		if v[0] == '"' {
			if err := json.Unmarshal(v, &s); err != nil {
				return nil, engine.Bad("custom_metadata validation failed: %s", err)
			}
		}
		out[k] = &s
	}
	return out, nil
}

const maxCustomKeys, maxCustomKey, maxCustomValue = 64, 128, 512

func checkCustom(m map[string]string) error {
	fail := func(format string, args ...any) error {
		return engine.Bad("1 error occurred:\n\t* custom_metadata validation failed: %s\n\n", fmt.Sprintf(format, args...))
	}
	if len(m) > maxCustomKeys {
		return fail("payload must contain at most %d keys, provided %d", maxCustomKeys, len(m))
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		switch {
		case k == "" || len(k) > maxCustomKey:
			return fail("length of key %q is %d but must be 0 < len(key) <= %d", k, len(k), maxCustomKey)
		case v == "" || len(v) > maxCustomValue:
			return fail("length of value for key %q is %d but must be 0 < len(value) <= %d", k, len(v), maxCustomValue)
		case strings.IndexFunc(k, unprintable) >= 0:
			return fail("key %q contains unprintable characters", k)
		case strings.IndexFunc(v, unprintable) >= 0:
			return fail("value for key %q contains unprintable characters", k)
		}
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func (*v2) deleteMetadata(tx engine.Tx, req pathRequest) (engine.None, error) {
	s, err := secrets(tx).Get(req.Path)
	if err != nil || s == nil {
		return engine.None{}, err
	}
	for n := range s.Versions {
		tx.DeleteUnlisted(payload(req.Path, n))
	}
	secrets(tx).Delete(req.Path)
	return engine.None{}, nil
}

// upgrade turns the values of a first-version mount into secrets with one
// version, in the transaction that tunes the mount.
func upgrade(tx engine.Tx, from engine.Info) error {
	if from.Match["version"] == "2" {
		return nil
	}
	type value struct {
		path string
		data []byte
	}
	var all []value
	var walk func(folder string) error
	walk = func(folder string) error {
		for name, err := range tx.Children(strings.TrimSuffix(folder, "/"), "") {
			if err != nil {
				return err
			}
			if strings.HasSuffix(name, "/") {
				if err := walk(folder + name); err != nil {
					return err
				}
				continue
			}
			b, err := tx.Get(folder + name)
			if err != nil {
				return err
			}
			all = append(all, value{folder + name, b})
		}
		return nil
	}
	if err := walk(""); err != nil {
		return err
	}
	for _, v := range all {
		tx.Delete(v.path)
	}
	for _, v := range all {
		now := tx.Now()
		tx.PutUnlisted(payload(v.path, 1), v.data)
		secrets(tx).Put(v.path, &secret{Created: now, Updated: now, Current: 1, Versions: map[int]*state{1: {Created: now}}})
	}
	return nil
}
