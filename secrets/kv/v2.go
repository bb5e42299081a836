package kv

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// The second version keeps, below its mount:
//
//	config            settings of the mount
//	meta/<path>       one secret: its versions and settings
//	data/<n>/<path>   the payload of version n, as it was sent (unlisted)
//
// so that a read is two rows, and a list of meta/ is a list of secrets.
type v2 struct{}

type config struct {
	MaxVersions int           `json:"max_versions"`
	CASRequired bool          `json:"cas_required"`
	DeleteAfter time.Duration `json:"delete_version_after"`
}

// A secret is the row of one path.
type secret struct {
	Created     time.Time         `json:"created"`
	Updated     time.Time         `json:"updated"`
	Current     int               `json:"current"`
	Oldest      int               `json:"oldest"`
	MaxVersions int               `json:"max_versions,omitempty"`
	CASRequired bool              `json:"cas_required,omitempty"`
	DeleteAfter time.Duration     `json:"delete_version_after,omitempty"`
	Custom      map[string]string `json:"custom,omitempty"`
	Versions    map[int]*state    `json:"versions,omitempty"`
}

// A state is what is known of one version besides its payload.
type state struct {
	Created   time.Time `json:"created"`
	Deletion  time.Time `json:"deletion,omitzero"` // may lie ahead
	Destroyed bool      `json:"destroyed,omitempty"`
}

func (s *state) gone(now time.Time) bool {
	return s.Destroyed || !s.Deletion.IsZero() && !s.Deletion.After(now)
}

func specV2() *engine.Spec[v2] {
	return &engine.Spec[v2]{
		Name: "kv", Kind: engine.Secret, Match: map[string]string{"version": "2"}, Version: version, Check: checkOptions,
		Help: "Keep versions of a value at each path.", Upgrade: upgrade,
		Routes: slices.Concat(engine.Routes[v2]{
			engine.Read("config", (*v2).readConfig).Doc("Read the settings of the mount."),
			engine.Write("config", (*v2).writeConfig).Doc("Change the settings of the mount."),
			engine.Read("data[/{path...}]", (*v2).read).Doc("Read a version of a secret."),
			engine.Exists(engine.Write("data[/{path...}]", (*v2).write).Doc("Write a new version of a secret."), (*v2).exists),
			engine.Patch("data[/{path...}]", (*v2).patch).Doc("Write a new version that changes some fields of the current one."),
			engine.Delete("data[/{path...}]", (*v2).deleteCurrent).Doc("Delete the current version; it can be undeleted."),
			engine.Write("delete/{path...}", (*v2).deleteVersions).Doc("Delete versions; they can be undeleted."),
			engine.Write("undelete/{path...}", (*v2).undelete).Doc("Take back the deletion of versions."),
			engine.Write("destroy/{path...}", (*v2).destroy).Doc("Remove the payload of versions for good."),
			engine.Read("subkeys[/{path...}]", (*v2).subkeys).Doc("Read the shape of a secret, without its values."),
		}, metadataRoutes(), engine.Routes[v2]{
			engine.Read("[{path...}]", (*v2).misplacedRead).Doc("Say how to read a versioned secret."),
			engine.List("[{path...}]", (*v2).misplacedList).Doc("Say how to list versioned secrets."),
			engine.Compute("[{path...}]", (*v2).misplacedWrite).Doc("Say how to write a versioned secret."),
			engine.Delete("[{path...}]", (*v2).misplacedDelete).Doc("Say how to delete a versioned secret."),
		}),
	}
}

func secrets(v engine.View) storage.Table[secret] { return engine.Table[secret](v, "meta/") }

func payload(path string, n int) string { return "data/" + strconv.Itoa(n) + "/" + path }

func (*v2) config(v engine.View) (*config, error) {
	c, err := engine.Table[config](v, "").Peek("config")
	if c == nil {
		c = &config{}
	}
	return c, err
}

type readRequest struct {
	Path    string `path:"path"`
	Version int    `json:"version" doc:"Number of the version; 0 is the current one."`
}

// find returns a version that is there, or the answer that it is not. number 0
// (and below) is the current version.
func find(v engine.View, path string, number int) (*secret, int, error) {
	s, err := secrets(v).Peek(path)
	if err != nil {
		return nil, 0, err
	}
	if s == nil {
		return nil, 0, engine.Missing()
	}
	if number <= 0 {
		number = s.Current
	}
	st := s.Versions[number]
	if st == nil {
		return nil, 0, engine.Missing()
	}
	if st.gone(v.Now()) {
		return s, number, engine.Gone(goneAnswer{Metadata: s.describe(number)})
	}
	return s, number, nil
}

type goneAnswer struct {
	Data     json.RawMessage `json:"data"`
	Metadata json.RawMessage `json:"metadata"`
}

func (*v2) read(v engine.View, req readRequest) (json.RawMessage, error) {
	s, n, err := find(v, req.Path, req.Version)
	if err != nil {
		return nil, err
	}
	data, err := v.Get(payload(req.Path, n))
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(data)+256)
	b = append(append(b, `{"data":`...), data...)
	b = append(b, `,"metadata":`...)
	b = s.appendDescription(b, n)
	return append(b, '}'), nil
}

// describe is the metadata block of a version.
func (s *secret) describe(n int) json.RawMessage { return s.appendDescription(nil, n) }

func (s *secret) appendDescription(b []byte, n int) []byte {
	st := s.Versions[n]
	b = append(b, `{"created_time":"`...)
	b = st.Created.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","custom_metadata":`...)
	b = appendCustom(b, s.Custom)
	b = append(b, `,"deletion_time":"`...)
	if !st.Deletion.IsZero() {
		b = st.Deletion.UTC().AppendFormat(b, time.RFC3339Nano)
	}
	b = append(b, `","destroyed":`...)
	b = strconv.AppendBool(b, st.Destroyed)
	b = append(b, `,"version":`...)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, '}')
}

func appendCustom(b []byte, m map[string]string) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	j, err := json.Marshal(m)
	if err != nil {
		return append(b, "null"...) // strings always encode
	}
	return append(b, j...)
}

type writeRequest struct {
	Path    string          `path:"path"`
	Data    json.RawMessage `json:"data" doc:"The payload, an object."`
	Options json.RawMessage `json:"options" doc:"cas: the version that this write builds on."`
	Version int             `json:"version" doc:"Not used."`
}

func (*v2) exists(v engine.View, req pathRequest) (bool, error) {
	s, err := secrets(v).Peek(req.Path)
	if err != nil || s == nil {
		return false, err
	}
	st := s.Versions[s.Current]
	return st != nil, nil
}

// checkAndSet says whether a write may build on the secret as it stands.
func (e *v2) checkAndSet(c *config, s *secret, options json.RawMessage) error {
	var o struct {
		CAS json.RawMessage `json:"cas"`
	}
	if len(options) > 0 && string(options) != "null" {
		if options[0] != '{' {
			return engine.Bad("error converting input for field \"options\": '' expected type 'map[string]interface {}', got unconvertible type 'string'")
		}
		if err := json.Unmarshal(options, &o); err != nil {
			return engine.Bad("error parsing check-and-set parameter")
		}
	}
	if len(o.CAS) == 0 || string(o.CAS) == "null" {
		if c.CASRequired || s.CASRequired {
			return engine.Bad("check-and-set parameter required for this call")
		}
		return nil
	}
	n, err := strconv.Atoi(strings.Trim(string(o.CAS), `"`))
	if err != nil {
		return engine.Bad("error parsing check-and-set parameter")
	}
	if n != s.Current {
		return engine.Bad("check-and-set parameter did not match the current version")
	}
	return nil
}

func (e *v2) write(tx engine.Tx, req writeRequest) (json.RawMessage, error) {
	switch {
	case folder(req.Path):
		return nil, engine.Bad("cannot write to a path ending in '/'")
	case req.Data == nil:
		return nil, engine.Bad("no data provided")
	case req.Data[0] != '{' && string(req.Data) != "null":
		return nil, engine.Bad("error converting input for field \"data\": '' expected type 'map[string]interface {}', got unconvertible type 'string'")
	}
	s, c, err := e.load(tx, req.Path)
	if err != nil {
		return nil, err
	}
	if err := e.checkAndSet(c, s, req.Options); err != nil {
		return nil, err
	}
	return e.add(tx, req.Path, s, c, req.Data), nil
}

// load returns the secret to change, a new one if there is none.
func (e *v2) load(tx engine.Tx, path string) (*secret, *config, error) {
	c, err := e.config(tx)
	if err != nil {
		return nil, nil, err
	}
	s, err := secrets(tx).Peek(path)
	switch {
	case err != nil:
		return nil, nil, err
	case s == nil:
		return &secret{Created: tx.Now(), Updated: tx.Now()}, c, nil
	}
	return s.clone(), c, nil
}

// clone is a secret that may be given other versions and settings; what it says
// of each version is shared.
func (s *secret) clone() *secret {
	c := *s
	c.Versions = maps.Clone(s.Versions)
	return &c
}

// add makes a version of data and drops the oldest if there are too many.
func (e *v2) add(tx engine.Tx, path string, s *secret, c *config, data json.RawMessage) json.RawMessage {
	s.Current++
	n := s.Current
	st := &state{Created: tx.Now()}
	if after := s.deleteAfter(c); after > 0 {
		st.Deletion = st.Created.Add(after)
	}
	if s.Versions == nil {
		s.Versions = make(map[int]*state)
	}
	s.Versions[n] = st
	s.Updated = st.Created
	tx.PutUnlisted(payload(path, n), data)
	for old := range s.Versions {
		if old <= n-s.limit(c) {
			delete(s.Versions, old)
			tx.DeleteUnlisted(payload(path, old))
		}
	}
	s.Oldest = slices.Min(slices.Collect(maps.Keys(s.Versions)))
	if s.Oldest == 1 {
		s.Oldest = 0
	}
	secrets(tx).Keep(path, s)
	return s.describe(n)
}

// defaultVersions is how many versions are kept where nothing says otherwise.
const defaultVersions = 10

func (s *secret) limit(c *config) int {
	switch {
	case s.MaxVersions > 0:
		return s.MaxVersions
	case c.MaxVersions > 0:
		return c.MaxVersions
	}
	return defaultVersions
}

// deleteAfter is the shorter of the secret's and the mount's time. Negative
// switches the mount's off.
func (s *secret) deleteAfter(c *config) time.Duration {
	switch {
	case c.DeleteAfter < 0:
		return 0
	case s.DeleteAfter == 0 || c.DeleteAfter > 0 && c.DeleteAfter < s.DeleteAfter:
		return c.DeleteAfter
	}
	return s.DeleteAfter
}

// noBody is how a patch of nothing is answered: 404 without a sentence.
var noBody = &engine.Answer{Raw: &engine.Raw{Status: http.StatusNotFound, ContentType: "application/json"}}

func (e *v2) patch(tx engine.Tx, req writeRequest) (*engine.Answer, error) {
	switch {
	case req.Data == nil:
		return nil, engine.Bad("no data provided")
	case req.Data[0] != '{':
		return nil, engine.Bad("Field validation failed: error converting input for field \"data\": '' expected type 'map[string]interface {}', got unconvertible type 'string'")
	}
	s, c, err := e.load(tx, req.Path)
	if err != nil {
		return nil, err
	}
	st := s.Versions[s.Current]
	if st == nil {
		return noBody, nil
	}
	if err := e.checkAndSet(c, s, req.Options); err != nil {
		return nil, err
	}
	if st.gone(tx.Now()) {
		return nil, engine.Gone(s.describe(s.Current))
	}
	old, err := tx.Get(payload(req.Path, s.Current))
	if err != nil {
		return nil, err
	}
	merged, err := mergePatch(old, req.Data)
	if err != nil {
		return nil, err
	}
	return &engine.Answer{Data: e.add(tx, req.Path, s, c, merged)}, nil
}

// mergePatch is RFC 7396 over raw JSON: what is not patched stays as it was
// written.
func mergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	if len(patch) == 0 || patch[0] != '{' {
		return patch, nil
	}
	into, from := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if len(target) > 0 && target[0] == '{' {
		if err := json.Unmarshal(target, &into); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(patch, &from); err != nil {
		return nil, err
	}
	for k, v := range from {
		if string(v) == "null" {
			delete(into, k)
			continue
		}
		m, err := mergePatch(into[k], v)
		if err != nil {
			return nil, err
		}
		into[k] = m
	}
	return json.Marshal(into)
}
