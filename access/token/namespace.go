package token

import (
	"strings"

	"github.com/fastness-dev/fastness/storage"
)

// Namespaces is what tokens need to know of them. Tokens, accessors and storage
// ids of a namespace other than root end in a dot and its id, so that each is
// looked for among that namespace's rows only.
type Namespaces interface {
	// Number gives the number of a namespace's rows; false when there is no
	// such namespace.
	Number(tx *storage.Tx, id string) (uint32, bool, error)
	// ID gives the id and the path of the namespace that tx sees.
	ID(tx *storage.Tx) (id, path string, err error)
	// Within gives the path from the namespace with an id down to the one that
	// tx sees; false when that does not lie in it.
	Within(tx *storage.Tx, id string) (down string, ok bool, err error)
}

// rootID is the id of the root namespace, which nothing ends in.
const rootID = "root"

// suffix is the namespace's id at the end of a token, accessor or storage id;
// "" is the root namespace.
func suffix(id string) string {
	for _, prefix := range []string{PrefixService, PrefixBatch} {
		id = strings.TrimPrefix(id, prefix)
	}
	if i := strings.LastIndexByte(id, '.'); i >= 0 {
		return id[i+1:]
	}
	return ""
}

// belongs gives the transaction as the namespace sees it that a token, accessor
// or storage id belongs to, and that namespace's id. An ending that names no
// namespace is part of the text, and that of a namespace that is gone finds
// nothing among the rows of root.
func (s *Store) belongs(tx *storage.Tx, id string) (home *storage.Tx, ns string, err error) {
	ns = suffix(id)
	if ns == "" || s.o.Namespaces == nil {
		return tx.Of(0), "", nil
	}
	n, ok, err := s.o.Namespaces.Number(tx, ns)
	if err != nil || !ok || n == 0 {
		return tx.Of(0), "", err
	}
	return tx.Of(n), ns, nil
}

func (s *Store) home(tx *storage.Tx, id string) (*storage.Tx, error) {
	h, _, err := s.belongs(tx, id)
	return h, err
}

// Home is the transaction as the token's namespace sees it.
func (s *Store) Home(tx *storage.Tx, e *Entry) (*storage.Tx, error) { return s.home(tx, e.ID) }

// entityHome is what a child notes of the namespace of the entity that it has
// from its parent.
func (e *Entry) entityHome(child *Entry) string {
	at := e.EntityHome
	if at == "" {
		at = idOr(e.NamespaceID)
	}
	if child.EntityID == "" || at == idOr(child.NamespaceID) {
		return ""
	}
	return at
}

func idOr(namespace string) string {
	if namespace == "" {
		return rootID
	}
	return namespace
}

// EntityHome is the transaction as the namespace of the token's entity sees it;
// nil when that is gone.
func (s *Store) EntityHome(tx *storage.Tx, e *Entry) (*storage.Tx, error) {
	switch {
	case e.EntityHome == "":
		return s.Home(tx, e)
	case e.EntityHome == rootID:
		return tx.Of(0), nil
	}
	n, ok, err := s.o.Namespaces.Number(tx, e.EntityHome)
	if err != nil || !ok {
		return nil, err
	}
	return tx.Of(n), nil
}

// Down gives the path from the token's namespace down to the one that tx sees.
// It is false when the token does not reach there.
func (s *Store) Down(tx *storage.Tx, e *Entry) (path string, ok bool, err error) {
	if s.o.Namespaces == nil {
		return "", true, nil
	}
	_, id, err := s.belongs(tx, e.ID)
	if err != nil {
		return "", false, err
	}
	if id == "" {
		id = rootID
	}
	return s.o.Namespaces.Within(tx, id)
}

// shows says whether a token may be looked at from the namespace that tx sees:
// it belongs to it, or to one below.
func (s *Store) shows(tx *storage.Tx, e *Entry) (bool, error) {
	if s.o.Namespaces == nil {
		return true, nil
	}
	id, _, err := s.o.Namespaces.ID(tx)
	if err != nil {
		return false, err
	}
	h, err := s.home(tx, e.ID)
	if err != nil {
		return false, err
	}
	_, ok, err := s.o.Namespaces.Within(h, id)
	return ok, err
}

// mark is what ends the tokens of the namespace that tx sees, and its path.
func (s *Store) mark(tx *storage.Tx) (mark, id, path string, err error) {
	if s.o.Namespaces == nil || tx.Namespace() == 0 {
		return "", "", "", nil
	}
	id, path, err = s.o.Namespaces.ID(tx)
	return "." + id, id, path, err
}
