package mount

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/draw"
	"github.com/fastness-dev/fastness/storage"
)

// A Namespace has mounts, policies, identities and tokens of its own.
type Namespace struct {
	ID     string            `json:"id"` // what ends its tokens; "root" is that of the root namespace
	UUID   string            `json:"uuid"`
	Number uint32            `json:"number"` // of its rows; never reused
	Path   string            `json:"path"`   // "" is the root namespace, else "a/" or "a/b/"
	Custom map[string]string `json:"custom_metadata"`
	Unlock string            `json:"unlock,omitempty"`  // hash of the key that unlocks it; "" is not locked
	Doomed bool              `json:"tainted,omitempty"` // is being deleted: nobody finds it any longer
	Forced bool              `json:"forced,omitempty"`  // what cannot be undone while it is deleted is forgotten
}

// RootID is the id of the root namespace.
const RootID = "root"

// rootNamespace is there whatever is stored.
var rootNamespace = &Namespace{ID: RootID}

// A Tree is all namespaces at one index of the log.
type Tree struct {
	byPath   map[string]*Namespace
	byID     map[string]*Namespace
	byNumber map[uint32]*Namespace
	doomed   []*Namespace
}

// At gives the namespace at a path with its trailing slash, or nil.
func (t *Tree) At(path string) *Namespace { return t.byPath[path] }

// ByID gives the namespace of an id, or nil.
func (t *Tree) ByID(id string) *Namespace { return t.byID[id] }

// ByNumber gives the namespace whose rows have a number, or nil.
func (t *Tree) ByNumber(n uint32) *Namespace { return t.byNumber[n] }

// Below gives the namespaces directly below one, in order of their paths.
func (t *Tree) Below(path string) []*Namespace {
	var list []*Namespace
	for p, n := range t.byPath {
		if rest, ok := strings.CutPrefix(p, path); ok && rest != "" && strings.Count(rest, "/") == 1 {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b *Namespace) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

// Resolve gives the namespace that a request is for, from its header and from
// the first segments of its path, and the rest of the path. It is nil when the
// header names no namespace.
func (t *Tree) Resolve(header, path string) (*Namespace, string) {
	n := rootNamespace
	if header != "" {
		if n = t.byPath[header+"/"]; n == nil {
			return nil, path
		}
	}
	for len(t.byPath) > 1 {
		i := strings.IndexByte(path, '/')
		if i < 0 {
			break
		}
		next := t.byPath[n.Path+path[:i+1]]
		if next == nil {
			break
		}
		n, path = next, path[i+1:]
	}
	return n, path
}

// LockedAt gives the namespace that is locked and holds n, or nil.
func (t *Tree) LockedAt(n *Namespace) *Namespace {
	if len(t.byPath) == 1 {
		return nil
	}
	for i := range n.Path {
		if n.Path[i] == '/' {
			if at := t.byPath[n.Path[:i+1]]; at != nil && at.Unlock != "" {
				return at
			}
		}
	}
	return nil
}

// Locked is what a request in a locked namespace is told.
func (n *Namespace) Locked() error {
	return engine.Status(http.StatusServiceUnavailable,
		"API access to this namespace has been locked by an administrator - %q must be unlocked to gain access.", n.Path)
}

// Namespaces keeps the tree of namespaces, in the range storage.Namespaces.
type Namespaces struct {
	derived storage.Derived[*Tree]
}

// NewNamespaces returns the keeper of namespaces.
func NewNamespaces() *Namespaces {
	s := &Namespaces{}
	s.derived.Range = storage.Namespaces
	s.derived.Build = buildTree
	return s
}

func buildTree(rows storage.Rows) (*Tree, error) {
	t := &Tree{byPath: map[string]*Namespace{"": rootNamespace}, byID: map[string]*Namespace{RootID: rootNamespace},
		byNumber: map[uint32]*Namespace{0: rootNamespace}}
	table := storage.In[Namespace](rows, "entry/")
	ids, err := table.Names("", "")
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	for _, id := range ids {
		n, err := table.Get(id)
		if err != nil {
			return nil, fmt.Errorf("read namespace: %w", err)
		}
		if n.Doomed {
			t.doomed = append(t.doomed, n)
			continue
		}
		t.byPath[n.Path], t.byID[n.ID], t.byNumber[n.Number] = n, n, n
	}
	return t, nil
}

// Tree is the tree as of a transaction.
func (s *Namespaces) Tree(tx *storage.Tx) (*Tree, error) { return s.derived.Get(tx) }

// Latest is the tree as of the last applied entry, without a transaction.
func (s *Namespaces) Latest(ctx context.Context, store *storage.Store) (*Tree, error) {
	return s.derived.Latest(ctx, store)
}

// Drop forgets the tree: the barrier was sealed.
func (s *Namespaces) Drop() { s.derived.Drop() }

// Of is the namespace that a transaction sees.
func (s *Namespaces) Of(tx *storage.Tx) (*Namespace, error) {
	t, err := s.Tree(tx)
	if err != nil {
		return nil, err
	}
	n := t.ByNumber(tx.Namespace())
	if n == nil {
		return nil, engine.Missing("namespace not found")
	}
	return n, nil
}

// Number gives the number of the namespace with an id, as tokens carry it. It
// is false when there is none.
func (s *Namespaces) Number(tx *storage.Tx, id string) (uint32, bool, error) {
	t, err := s.Tree(tx)
	if err != nil {
		return 0, false, err
	}
	n := t.ByID(id)
	if n == nil {
		return 0, false, nil
	}
	return n.Number, true, nil
}

// ID gives the id and the path of the namespace that a transaction sees.
func (s *Namespaces) ID(tx *storage.Tx) (id, path string, err error) {
	n, err := s.Of(tx)
	if err != nil {
		return "", "", err
	}
	return n.ID, n.Path, nil
}

// Within gives the path from the namespace with an id down to the one that a
// transaction sees. It is false when that does not lie in it.
func (s *Namespaces) Within(tx *storage.Tx, id string) (down string, ok bool, err error) {
	t, err := s.Tree(tx)
	if err != nil {
		return "", false, err
	}
	outer, inner := t.ByID(id), t.ByNumber(tx.Namespace())
	if outer == nil || inner == nil {
		return "", false, nil
	}
	down, ok = strings.CutPrefix(inner.Path, outer.Path)
	return down, ok, nil
}

// reserved are names that no namespace may have, since paths begin with them.
var reserved = []string{"root", "sys", "audit", "auth", "cubbyhole", "identity"}

// CheckName says what is wrong with the name of a namespace.
func CheckName(name string) error {
	switch {
	case name == "" || strings.Contains(name, "/"):
		return engine.Bad("namespace name cannot contain /")
	case slices.Contains(reserved, strings.ToLower(name)):
		return engine.Bad("%q is a reserved path and cannot be used as a namespace name", name+"/")
	case strings.ContainsFunc(name, unicode.IsSpace):
		return engine.Bad("%q contains space characters that cannot be used in a namespace name", name)
	case name == "." || name == ".." || strings.ContainsAny(name, "+*\\\"'") || strings.ContainsFunc(name, unicode.IsControl):
		return engine.Bad("%q contains characters that cannot be used in a namespace name", name)
	}
	return nil
}

// Create makes a namespace below the one that tx sees. made is false when there
// was one of the name already, whose custom metadata is then set. What belongs
// in a new namespace is the caller's to write, through tx.Of.
func (s *Namespaces) Create(tx *storage.Tx, name string, custom map[string]string, mounts *Mounts) (n *Namespace, made bool, err error) {
	if err := CheckName(name); err != nil {
		return nil, false, err
	}
	t, err := s.Tree(tx)
	if err != nil {
		return nil, false, err
	}
	parent := t.ByNumber(tx.Namespace())
	path := parent.Path + name + "/"
	if old := t.At(path); old != nil {
		changed := *old
		changed.Custom = custom
		s.put(tx, &changed)
		return &changed, false, nil
	}
	table, err := mounts.Table(tx)
	if err != nil {
		return nil, false, err
	}
	for _, l := range table.All() {
		if strings.HasPrefix(l.Path, name+"/") {
			return nil, false, engine.Bad("new namespace conflicts with existing mount: %s", l.Path)
		}
	}
	rows := tx.In(storage.Namespaces)
	b, err := rows.Get("next")
	if err != nil {
		return nil, false, err
	}
	last, _ := strconv.ParseUint(string(b), 10, 32) // absent is 0
	rows.Put("next", strconv.AppendUint(nil, last+1, 10))
	n = &Namespace{UUID: uuid.NewString(), Number: uint32(last + 1), Path: path, Custom: custom}
	for n.ID == "" || t.ByID(n.ID) != nil {
		if n.ID, err = draw.Base62(rand.Reader, 5); err != nil {
			return nil, false, err
		}
	}
	s.put(tx, n)
	return n, true, nil
}

func (s *Namespaces) put(tx *storage.Tx, n *Namespace) {
	storage.In[Namespace](tx.In(storage.Namespaces), "entry/").Put(n.UUID, n)
}

// SetCustom changes the custom metadata of a namespace.
func (s *Namespaces) SetCustom(tx *storage.Tx, n *Namespace, custom map[string]string) *Namespace {
	changed := *n
	changed.Custom = custom
	s.put(tx, &changed)
	return &changed
}

// Lock refuses every request in a namespace until Release gets the key that is
// returned.
func (s *Namespaces) Lock(tx *storage.Tx, n *Namespace) (key string, err error) {
	if n.Unlock != "" {
		return "", engine.Bad("cannot lock namespace %q: is already locked", n.Path)
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // does not fail
	key = hex.EncodeToString(b[:])
	changed := *n
	changed.Unlock = hashKey(key)
	s.put(tx, &changed)
	return key, nil
}

func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Release takes back Lock. force does without the key.
func (s *Namespaces) Release(tx *storage.Tx, n *Namespace, key string, force bool) error {
	switch {
	case n.Unlock == "":
		return engine.Bad("namespace %q is not locked", n.Path)
	case !force && subtle.ConstantTimeCompare([]byte(hashKey(key)), []byte(n.Unlock)) != 1:
		return engine.Bad("incorrect unlock key")
	}
	changed := *n
	changed.Unlock = ""
	s.put(tx, &changed)
	return nil
}
