package sys

import (
	"encoding/json"
	"strings"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
)

type namespacePath struct {
	Path string `path:"path" doc:"Path of the namespace, below the one of the request."`
}

type namespaceWrite struct {
	namespacePath
	Custom map[string]json.RawMessage `json:"custom_metadata" doc:"Names and values of the user's own; in a patch, null removes one."`
}

type namespaceUnlock struct {
	namespacePath
	Key string `json:"unlock_key" secret:"true" doc:"The key that locking answered."`
}

// namespaceView is a namespace as it is shown.
type namespaceView struct {
	Custom  map[string]string `json:"custom_metadata"`
	ID      string            `json:"id"`
	Locked  bool              `json:"locked"`
	Path    string            `json:"path"`
	Tainted bool              `json:"tainted"`
	UUID    string            `json:"uuid"`
}

func viewOfNamespace(n *mount.Namespace) *namespaceView {
	v := &namespaceView{Custom: n.Custom, ID: n.ID, Locked: n.Unlock != "", Path: n.Path, UUID: n.UUID}
	if v.Custom == nil {
		v.Custom = map[string]string{}
	}
	return v
}

// namespaceAt finds a namespace by its path below that of the request; nil when
// there is none. The request's own namespace has no name there.
func (s *System) namespaceAt(v engine.View, path string) (*mount.Namespace, error) {
	tx := engine.CallOf(v).Whole
	tree, err := s.Mounts.Spaces.Tree(tx)
	if err != nil {
		return nil, err
	}
	path = strings.Trim(path, "/")
	here := tree.ByNumber(tx.Namespace())
	if path == "" || here == nil {
		return nil, nil
	}
	return tree.At(here.Path + path + "/"), nil
}

func (s *System) readNamespace(v engine.View, req namespacePath) (*namespaceView, error) {
	n, err := s.namespaceAt(v, req.Path)
	if err != nil || n == nil {
		return nil, err
	}
	return viewOfNamespace(n), nil
}

func (s *System) listNamespaces(v engine.View, _ engine.None) (engine.Keys, error) {
	tx := engine.CallOf(v).Whole
	tree, err := s.Mounts.Spaces.Tree(tx)
	if err != nil {
		return engine.Keys{}, err
	}
	here := tree.ByNumber(tx.Namespace())
	k := engine.Keys{Info: map[string]any{}}
	for _, n := range tree.Below(here.Path) {
		name := n.Path[len(here.Path):]
		k.Keys = append(k.Keys, name)
		k.Info[name] = viewOfNamespace(n)
	}
	return k, nil
}

func (s *System) writeNamespace(v engine.Tx, req namespaceWrite) (*namespaceView, error) {
	if strings.HasSuffix(req.Path, "/") {
		return nil, engine.Bad("cannot write to a path ending in '/'")
	}
	custom, err := customMetadata(nil, req.Custom)
	if err != nil {
		return nil, err
	}
	tx := engine.CallOf(v).Whole
	n, made, err := s.Mounts.Spaces.Create(tx, req.Path, custom, s.Mounts)
	if err != nil {
		return nil, err
	}
	if made {
		if err := s.foundNamespace(tx.Of(n.Number)); err != nil {
			return nil, err
		}
	}
	return viewOfNamespace(n), nil
}

func (s *System) patchNamespace(v engine.Tx, req namespaceWrite) (*namespaceView, error) {
	n, err := s.namespaceAt(v, req.Path)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, engine.Bad("namespace not found")
	}
	custom, err := customMetadata(n.Custom, req.Custom)
	if err != nil {
		return nil, err
	}
	return viewOfNamespace(s.Mounts.Spaces.SetCustom(engine.CallOf(v).Whole, n, custom)), nil
}

// customMetadata is what was there with what was sent over it.
func customMetadata(old map[string]string, sent map[string]json.RawMessage) (map[string]string, error) {
	out := make(map[string]string, len(old)+len(sent))
	for k, v := range old {
		out[k] = v
	}
	for k, raw := range sent {
		if string(raw) == "null" {
			delete(out, k)
			continue
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			if raw[0] == '{' || raw[0] == '[' {
				return nil, engine.Bad("custom_metadata: the value of %q must be a text", k)
			}
			text = string(raw) // a number, true or false
		}
		out[k] = text
	}
	if len(out) > 64 {
		return nil, engine.Bad("custom_metadata can have 64 keys at most")
	}
	for k, v := range out {
		if k == "" || len(k) > 128 || len(v) > 512 {
			return nil, engine.Bad("custom_metadata: keys can have 128 bytes at most, and values 512")
		}
	}
	return out, nil
}

type deletion struct {
	Status string `json:"status"`
}

func (s *System) deleteNamespace(v engine.Tx, req namespacePath) (*engine.Answer, error) {
	n, err := s.namespaceAt(v, req.Path)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return s.deletedAlready(v, req.Path)
	}
	if err := s.Mounts.Spaces.Delete(engine.CallOf(v).Whole, n); err != nil {
		return nil, err
	}
	if err := quota.Left(engine.CallOf(v).Whole, n.Path); err != nil {
		return nil, err
	}
	return &engine.Answer{Data: deletion{"in-progress"}}, nil
}

type unlockKey struct {
	Key string `json:"unlock_key"`
}

func (s *System) lockNamespace(v engine.Tx, req namespacePath) (*unlockKey, error) {
	n, err := s.lockable(v, req.Path)
	if err != nil {
		return nil, err
	}
	key, err := s.Mounts.Spaces.Lock(engine.CallOf(v).Whole, n)
	return &unlockKey{key}, err
}

func (s *System) unlockNamespace(v engine.Tx, req namespaceUnlock) (engine.None, error) {
	n, err := s.lockable(v, req.Path)
	if err != nil {
		return engine.None{}, err
	}
	who := engine.CallOf(v).Data.(Requester).Token()
	force := req.Key == "" && who != nil && who.Root() && who.NamespaceID == ""
	return engine.None{}, s.Mounts.Spaces.Release(engine.CallOf(v).Whole, n, req.Key, force)
}

// lockable finds the namespace to lock. The root namespace cannot be: nobody
// could unlock it.
func (s *System) lockable(v engine.View, path string) (*mount.Namespace, error) {
	n, err := s.namespaceAt(v, path)
	if err == nil && n == nil {
		err = engine.Bad("namespace not found: it must be named by its path below the one of the request")
	}
	return n, err
}

func namespaceRoutes() engine.Routes[System] {
	const lock = "namespaces/api-lock/"
	return engine.Routes[System]{
		engine.List("namespaces", (*System).listNamespaces).Doc("List the namespaces directly below."),
		engine.Read("namespaces/{path...}", (*System).readNamespace).Doc("Show a namespace."),
		engine.Write("namespaces/{path...}", (*System).writeNamespace).Doc("Make a namespace, or set its custom metadata."),
		engine.Patch("namespaces/{path...}", (*System).patchNamespace).Doc("Change some of a namespace's custom metadata."),
		engine.Delete("namespaces/{path...}", (*System).deleteNamespace).Doc("Delete a namespace and everything in it."),
		engine.Write(lock+"lock/{path...}", (*System).lockNamespace).Sudo().Doc("Refuse every request in a namespace until it is unlocked."),
		engine.Write(lock+"unlock/{path...}", (*System).unlockNamespace).Sudo().Doc("Serve a namespace again."),
	}
}
