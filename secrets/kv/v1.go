// Package kv is the key/value secrets engine in its two versions: the first
// keeps one value for each path, the second keeps versions of it.
//
// It promises that a payload comes back as it was sent, byte for byte within
// its JSON, that a version number is never given twice, and that a write which
// names the version it builds on fails when that is not the current one.
package kv

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

// Types are both versions, and "generic", an old name of the first.
func Types() []engine.Type {
	generic := *specV1()
	generic.Name = "generic"
	return []engine.Type{specV1().Type(), specV2().Type(), generic.Type()}
}

func checkOptions(o map[string]string) error {
	switch o["version"] {
	case "", "1", "2":
		return nil
	}
	return engine.Bad("invalid version %q: it must be 1 or 2", o["version"])
}

type v1 struct{}

func specV1() *engine.Spec[v1] {
	return &engine.Spec[v1]{
		Name: "kv", Kind: engine.Secret, Help: "Keep a value at each path.", Version: version, Check: checkOptions,
		Routes: engine.Routes[v1]{
			engine.Read("[{path...}]", (*v1).read).Doc("Read the value at a path."),
			engine.List("[{path...}]", (*v1).list).Doc("List the names below a path."),
			engine.Exists(engine.Write("[{path...}]", (*v1).write).Doc("Put a value at a path."), (*v1).exists),
			engine.Delete("[{path...}]", (*v1).remove).Doc("Delete the value at a path."),
		},
	}
}

const version = "v0.1.0+builtin"

type pathRequest struct {
	Path string `path:"path"`
}

type bodyRequest struct {
	Path string          `path:"path"`
	Body json.RawMessage `body:"all"`
}

func (*v1) read(v engine.View, req pathRequest) (*engine.Answer, error) {
	b, err := v.Get(req.Path)
	if err != nil || b == nil {
		return nil, err
	}
	return &engine.Answer{Data: json.RawMessage(b), LeaseDuration: ttlOf(b, v.Mount().DefaultTTL)}, nil
}

// ttlOf is the time after which a reader should read again: the value's own
// ttl or lease field, else the mount's.
func ttlOf(b json.RawMessage, fallback time.Duration) time.Duration {
	var own struct {
		TTL   engine.Duration `json:"ttl"`
		Lease engine.Duration `json:"lease"`
	}
	if !bytes.Contains(b, []byte(`"ttl"`)) && !bytes.Contains(b, []byte(`"lease"`)) {
		return fallback
	}
	if err := json.Unmarshal(b, &own); err != nil {
		return fallback // what it says is not a time: it means something else
	}
	switch {
	case own.TTL > 0:
		return time.Duration(own.TTL)
	case own.Lease > 0:
		return time.Duration(own.Lease)
	}
	return fallback
}

func (*v1) exists(v engine.View, req pathRequest) (bool, error) {
	b, err := v.Get(req.Path)
	return b != nil, err
}

func (*v1) list(v engine.View, req pathRequest) (engine.Keys, error) {
	return names(v, strings.TrimSuffix(req.Path, "/"))
}

func names(v engine.View, folder string) (engine.Keys, error) {
	var k engine.Keys
	for n, err := range v.Children(folder, "") {
		if err != nil {
			return k, err
		}
		k.Keys = append(k.Keys, n)
	}
	return k, nil
}

// folder says whether a path names a folder, which holds no value.
func folder(path string) bool { return path == "" || strings.HasSuffix(path, "/") }

func (*v1) write(tx engine.Tx, req bodyRequest) (engine.None, error) {
	if folder(req.Path) {
		return engine.None{}, engine.Bad("cannot write to a path ending in '/'")
	}
	if empty(req.Body) {
		return engine.None{}, engine.Bad("missing data fields")
	}
	tx.Put(req.Path, req.Body)
	return engine.None{}, nil
}

func empty(b json.RawMessage) bool {
	s := strings.TrimSpace(string(b))
	return s == "" || s == "null" || strings.HasPrefix(s, "{") && strings.TrimSpace(s[1:]) == "}"
}

func (*v1) remove(tx engine.Tx, req pathRequest) (engine.None, error) {
	tx.Delete(req.Path)
	return engine.None{}, nil
}
