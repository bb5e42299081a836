package kv

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
)

func (*v2) deleteCurrent(tx engine.Tx, req pathRequest) (engine.None, error) {
	s, err := secrets(tx).Get(req.Path)
	if err != nil || s == nil {
		return engine.None{}, err
	}
	if st := s.Versions[s.Current]; st != nil && !st.gone(tx.Now()) {
		st.Deletion = tx.Now()
		secrets(tx).Put(req.Path, s)
	}
	return engine.None{}, nil
}

type versionsRequest struct {
	Path     string `path:"path"`
	Versions []int  `json:"versions" doc:"Numbers of the versions."`
}

// each changes versions of a secret; those that are not there are left alone.
func each(tx engine.Tx, req versionsRequest, none string, f func(n int, st *state)) (engine.None, error) {
	if len(req.Versions) == 0 {
		return engine.None{}, engine.Bad("%s", none)
	}
	s, err := secrets(tx).Get(req.Path)
	if err != nil || s == nil {
		return engine.None{}, err
	}
	for _, n := range req.Versions {
		if st := s.Versions[n]; st != nil {
			f(n, st)
		}
	}
	secrets(tx).Put(req.Path, s)
	return engine.None{}, nil
}

func (*v2) deleteVersions(tx engine.Tx, req versionsRequest) (engine.None, error) {
	return each(tx, req, "No version number provided", func(_ int, st *state) {
		if !st.gone(tx.Now()) {
			st.Deletion = tx.Now()
		}
	})
}

func (*v2) undelete(tx engine.Tx, req versionsRequest) (engine.None, error) {
	return each(tx, req, "No version number provided", func(_ int, st *state) {
		if !st.Destroyed {
			*st = state{Created: st.Created}
		}
	})
}

func (*v2) destroy(tx engine.Tx, req versionsRequest) (engine.None, error) {
	return each(tx, req, "no version number provided", func(n int, st *state) {
		st.Destroyed = true
		tx.DeleteUnlisted(payload(req.Path, n))
	})
}

type subkeysRequest struct {
	Path    string `path:"path"`
	Version int    `json:"version" doc:"Number of the version; 0 is the current one."`
	Depth   int    `json:"depth" doc:"How many levels to show; 0 is all."`
}

type subkeysAnswer struct {
	Metadata json.RawMessage `json:"metadata"`
	Subkeys  json.RawMessage `json:"subkeys"`
}

func (*v2) subkeys(v engine.View, req subkeysRequest) (*subkeysAnswer, error) {
	s, n, err := find(v, req.Path, req.Version)
	if err != nil {
		var gone *api.Error
		if s != nil && errors.As(err, &gone) && gone.Data != nil {
			return nil, engine.Gone(struct {
				Metadata json.RawMessage `json:"metadata"`
				Subkeys  json.RawMessage `json:"subkeys"`
			}{s.describe(n), json.RawMessage("null")})
		}
		return nil, err
	}
	data, err := v.Get(payload(req.Path, n))
	if err != nil {
		return nil, err
	}
	keys, err := shape(data, req.Depth)
	if err != nil {
		return nil, err
	}
	return &subkeysAnswer{s.describe(n), keys}, nil
}

// shape is an object with its leaves set to null, down to a depth (0 is all).
func shape(data json.RawMessage, depth int) (json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return json.RawMessage("{}"), err
	}
	for k, v := range m {
		if len(v) > 2 && v[0] == '{' && depth != 1 {
			s, err := shape(v, max(depth-1, 0))
			if err != nil {
				return nil, err
			}
			if string(s) != "{}" {
				m[k] = s
				continue
			}
		}
		m[k] = json.RawMessage("null")
	}
	return json.Marshal(m)
}

// A path of the first version on a mount of the second is told apart from a
// secret that is not there, and from a route that lacks the operation.
func misplaced(path, verb string) error {
	switch head, _, _ := strings.Cut(path, "/"); head {
	case "data", "metadata", "delete", "undelete", "destroy", "subkeys", "config":
		return engine.ErrNoOperation
	}
	return &api.Error{Status: http.StatusNotFound, Data: json.RawMessage("null"), Warnings: []string{
		"Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the Vault CLI, use 'vault kv " + verb + "' for this operation."}}
}

func (*v2) misplacedRead(_ engine.View, req pathRequest) (engine.None, error) {
	return engine.None{}, misplaced(req.Path, "get")
}

func (*v2) misplacedList(_ engine.View, req pathRequest) (engine.Keys, error) {
	return engine.Keys{}, misplaced(req.Path, "list")
}

func (*v2) misplacedWrite(_ engine.View, req bodyRequest) (engine.None, error) {
	return engine.None{}, misplaced(req.Path, "put")
}

func (*v2) misplacedDelete(_ engine.Tx, req pathRequest) (engine.None, error) {
	return engine.None{}, misplaced(req.Path, "delete")
}
