// Package identity owns who callers are, whichever way they logged in:
// entities, the aliases by which auth methods know them, the groups they belong
// to, and the routes below identity/ about these.
//
// It promises that names and aliases lead to one entity each, however many
// logins come at once; that no policy list in it holds root, in any spelling;
// that groups never form a cycle; and that a [Holder] is what the transaction
// sees, never what was true a moment ago.
//
// Names of entities, groups and aliases are told apart without case, and kept
// as they were given. Ids are looked up in the namespace that the transaction
// sees and nowhere else.
//
// It does not make tokens and does not decide: the server asks it at each login
// and each request, and hands what it says to packages token and policy.
package identity

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/storage"
)

// A Mount is an auth method as aliases refer to it.
type Mount struct {
	Accessor string
	Path     string // "auth/userpass/"
	Type     string
	Local    bool // its logins make no entities
}

// Options say what a Store needs. Mount must be set.
type Options struct {
	// Mount finds the auth method with an accessor; nil when there is none.
	Mount func(tx *storage.Tx, accessor string) (*Mount, error)
	// NamespaceID is what answers call the namespace that a transaction sees;
	// nil says "root".
	NamespaceID func(tx *storage.Tx) (string, error)
	// Removed, if set, is called when an entity ends, in that transaction.
	Removed func(tx *storage.Tx, entityID string) error
	// Merged, if set, is called before an entity ends in another.
	Merged func(tx *storage.Tx, from, into string, force bool) error
	Now    func() time.Time // of jobs; nil is time.Now
	NewID  func() string    // nil draws UUIDs
}

// A Store keeps identities. Its methods are safe for concurrent use; each works
// in the transaction that it is given.
type Store struct {
	o      Options
	groups storage.Derived[*graph]

	mu      sync.RWMutex
	holders map[holderKey]*Holder
}

// New makes a Store.
func New(o Options) *Store {
	if o.NamespaceID == nil {
		o.NamespaceID = func(*storage.Tx) (string, error) { return "root", nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
	s := &Store{o: o, holders: make(map[holderKey]*Holder)}
	s.groups.Range, s.groups.Build = storage.Groups, buildGraph
	return s
}

// Drop forgets what is kept in memory: the barrier was sealed.
func (s *Store) Drop() {
	s.groups.Drop()
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.holders)
}

// Rows. In storage.Identities:
//
//	entity/<id>              Entity, with its aliases and memberships
//	alias/<id>               aliasRow: whose alias it is
//	mount/<accessor>/<id>    aliasRow: the aliases of a mount, to end with it
//
// In storage.Aliases, which finds and does not list:
//
//	name/<folded name>              finder of an entity
//	alias/<accessor>/<folded name>  finder of an entity
//	merged/<id>                     finder of the entity that took another in
//
// In storage.Groups: group/<id>. In storage.Members: <group>/<entity>.
type (
	aliasRow struct {
		Entity string `json:"entity"`
	}
	finder struct {
		Entity string `json:"entity"`
	}
)

func entities(tx *storage.Tx) storage.Table[Entity] {
	return storage.In[Entity](tx.In(storage.Identities), "entity/")
}

func aliases(tx *storage.Tx) storage.Table[aliasRow] {
	return storage.In[aliasRow](tx.In(storage.Identities), "alias/")
}

func ofMount(tx *storage.Tx, accessor string) storage.Table[aliasRow] {
	return storage.In[aliasRow](tx.In(storage.Identities), "mount/"+accessor+"/")
}

func groups(tx *storage.Tx) storage.Table[Group] {
	return storage.In[Group](tx.In(storage.Groups), "group/")
}

func finders(tx *storage.Tx) storage.Table[finder] {
	return storage.In[finder](tx.In(storage.Aliases), "")
}

func byName(name string) string            { return "name/" + fold(name) }
func byAlias(accessor, name string) string { return "alias/" + accessor + "/" + fold(name) }
func byMerged(id string) string            { return "merged/" + id }

// fold is a name as it is compared.
func fold(name string) string { return strings.ToLower(name) }

// find returns the id of an entity that a finder leads to, or "".
func find(tx *storage.Tx, by string) (string, error) {
	f, err := finders(tx).Peek(by)
	if err != nil || f == nil {
		return "", err
	}
	return f.Entity, nil
}

// entityBy returns the entity that a finder leads to, shared, or nil.
func entityBy(tx *storage.Tx, by string) (*Entity, error) {
	id, err := find(tx, by)
	if err != nil || id == "" {
		return nil, err
	}
	return entities(tx).Peek(id)
}

// Count counts the entities, by reading their whole list.
func (s *Store) Count(tx *storage.Tx) (int, error) {
	ids, err := entities(tx).Names("", "")
	return len(ids), err
}

// newID draws an id. In a namespace it ends in a dot and that one's id, as the
// ids of tokens do.
func (s *Store) newID(tx *storage.Tx) (string, error) {
	id := s.o.NewID()
	if tx.Namespace() == 0 {
		return id, nil
	}
	ns, err := s.o.NamespaceID(tx)
	return id + "." + ns, err
}

// drawName makes up a name for what was made without one. It is short, so among
// very many it may be taken.
func (s *Store) drawName(kind string) string {
	return fmt.Sprintf("%s_%.8s", kind, strings.ReplaceAll(s.o.NewID(), "-", ""))
}
