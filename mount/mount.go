// Package mount keeps the mount table: which engine answers below which path.
//
// It owns the range storage.Mounts. The table that requests are routed by is
// derived from that range, on every node, so a change of mounts is visible to
// the first request that begins after it and to none before.
package mount

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// An Entry is one mount as it is stored.
type Entry struct {
	UUID            string            `json:"uuid"`
	Number          uint32            `json:"number"` // of its key range; never reused
	Path            string            `json:"path"`   // "secret/", "auth/token/"
	Kind            engine.Kind       `json:"kind"`
	Type            string            `json:"type"`
	Description     string            `json:"description"`
	Accessor        string            `json:"accessor"`
	Local           bool              `json:"local"`
	SealWrap        bool              `json:"seal_wrap"`
	ExternalEntropy bool              `json:"external_entropy_access"`
	Options         map[string]string `json:"options"`
	PluginVersion   string            `json:"plugin_version"`
	Config          Config            `json:"config"`
	// Doomed says that the mount serves no requests any longer, and is there to
	// undo what it lent.
	Doomed bool `json:"doomed,omitempty"`
}

// Config is what can be tuned.
type Config struct {
	DefaultLeaseTTL            int64    `json:"default_lease_ttl"` // seconds; 0 is the system's
	MaxLeaseTTL                int64    `json:"max_lease_ttl"`     // seconds; 0 is the system's
	ForceNoCache               bool     `json:"force_no_cache"`
	AuditNonHMACRequestKeys    []string `json:"audit_non_hmac_request_keys,omitempty"`
	AuditNonHMACResponseKeys   []string `json:"audit_non_hmac_response_keys,omitempty"`
	ListingVisibility          string   `json:"listing_visibility,omitempty"`
	PassthroughRequestHeaders  []string `json:"passthrough_request_headers,omitempty"`
	AllowedResponseHeaders     []string `json:"allowed_response_headers,omitempty"`
	TokenType                  string   `json:"token_type,omitempty"`
	TrimRequestTrailingSlashes bool     `json:"trim_request_trailing_slashes,omitempty"`
	AllowedManagedKeys         []string `json:"allowed_managed_keys,omitempty"`
	DelegatedAuthAccessors     []string `json:"delegated_auth_accessors,omitempty"`
	IdentityTokenKey           string   `json:"identity_token_key,omitempty"`
	UserLockout                *Lockout `json:"user_lockout_config,omitempty"`
}

// A Lockout says when an auth method stops listening to a user who fails to
// log in. Durations are in seconds.
type Lockout struct {
	Threshold    uint64 `json:"user_lockout_threshold"`
	Duration     int64  `json:"user_lockout_duration"`
	CounterReset int64  `json:"user_lockout_counter_reset_duration"`
	Disable      bool   `json:"user_lockout_disable"`
}

// A Live mount is an entry and the engine that serves it.
type Live struct {
	*Entry
	Engine   engine.Type
	Instance engine.Instance
	Mount    engine.Mount
}

// A Table is the mounts of one namespace at one index.
type Table struct {
	byPath map[string]*Live
	byUUID map[string]*Live // doomed ones too
	sorted []*Live
}

// All gives the mounts in order of their paths.
func (t *Table) All() []*Live { return t.sorted }

// At gives the mount at exactly this path (with its trailing slash), or nil.
func (t *Table) At(path string) *Live { return t.byPath[path] }

// ByUUID gives the mount with an id, also one that is about to go, or nil.
func (t *Table) ByUUID(id string) *Live { return t.byUUID[id] }

// Find gives the mount that a path lies in, the longest that does, and the rest
// of the path; nil when there is none.
func (t *Table) Find(path string) (l *Live, rest string) {
	for i := 0; i < len(path); i++ {
		if path[i] == '/' {
			if m := t.byPath[path[:i+1]]; m != nil {
				l, rest = m, path[i+1:]
			}
		}
	}
	if l == nil {
		if m := t.byPath[path+"/"]; m != nil {
			return m, ""
		}
	}
	return l, rest
}

// Mounts serves the mount tables. DefaultTTL and MaxTTL are the system's.
type Mounts struct {
	Types      []engine.Type
	DefaultTTL time.Duration
	MaxTTL     time.Duration
	Spaces     *Namespaces

	derived storage.Derived[*Table]
}

// New returns the tables over the given engines.
func New(types []engine.Type, defaultTTL, maxTTL time.Duration) *Mounts {
	m := &Mounts{Types: types, DefaultTTL: defaultTTL, MaxTTL: maxTTL, Spaces: NewNamespaces()}
	m.derived.Range = storage.Mounts
	m.derived.Build = m.build
	return m
}

// Table is the mount table as of a transaction.
func (m *Mounts) Table(tx *storage.Tx) (*Table, error) { return m.derived.Get(tx) }

// Drop forgets the tables and namespaces: the barrier was sealed.
func (m *Mounts) Drop() {
	m.derived.Drop()
	m.Spaces.Drop()
}

func (m *Mounts) build(rows storage.Rows) (*Table, error) {
	entries := storage.In[Entry](rows, "entry/")
	ids, err := entries.Names("", "")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	t := &Table{byPath: make(map[string]*Live, len(ids)), byUUID: make(map[string]*Live, len(ids))}
	for _, id := range ids {
		e, err := entries.Get(id)
		if err != nil {
			return nil, fmt.Errorf("read mount %s: %w", id, err)
		}
		l, err := m.open(e)
		if err != nil {
			return nil, err
		}
		if t.byUUID[e.UUID] = l; e.Doomed {
			continue
		}
		t.byPath[e.Path] = l
		t.sorted = append(t.sorted, l)
	}
	slices.SortFunc(t.sorted, func(a, b *Live) int { return strings.Compare(a.Path, b.Path) })
	return t, nil
}

func (m *Mounts) open(e *Entry) (*Live, error) {
	typ := m.Type(e.Kind, e.Type, e.Options)
	if typ == nil {
		return nil, fmt.Errorf("mount %s has type %q, which this build does not have", e.Path, e.Type)
	}
	l := &Live{Entry: e, Engine: typ, Mount: engine.Mount{
		Path: e.Path, Accessor: e.Accessor, UUID: e.UUID, Type: e.Type, Options: e.Options,
		Description: e.Description, DefaultTTL: m.DefaultTTL, MaxTTL: m.MaxTTL,
	}}
	if e.Config.DefaultLeaseTTL > 0 {
		l.Mount.DefaultTTL = time.Duration(e.Config.DefaultLeaseTTL) * time.Second
	}
	if e.Config.MaxLeaseTTL > 0 {
		l.Mount.MaxTTL = time.Duration(e.Config.MaxLeaseTTL) * time.Second
	}
	var err error
	l.Instance, err = typ.Open(l.Mount)
	return l, err
}

// Type finds the engine of a name whose Match agrees with the options: the one
// with the most options that do.
func (m *Mounts) Type(kind engine.Kind, name string, options map[string]string) engine.Type {
	var best engine.Type
	for _, t := range m.Types {
		info := t.Info()
		if info.Name != name || info.Kind != kind {
			continue
		}
		agrees := true
		for k, v := range info.Match {
			agrees = agrees && options[k] == v
		}
		if agrees && (best == nil || len(info.Match) > len(best.Info().Match)) {
			best = t
		}
	}
	return best
}

// Range is the key range of a mount.
func (e *Entry) Range() storage.Range { return storage.MountRange(e.Number) }

// Enable adds a mount: it is given an id, an accessor and a key range. Errors
// are the caller's (400).
func (m *Mounts) Enable(tx *storage.Tx, e Entry) (*Entry, error) {
	t, err := m.Table(tx)
	if err != nil {
		return nil, err
	}
	if err := m.free(tx, t, e.Path); err != nil {
		return nil, err
	}
	typ := m.Type(e.Kind, e.Type, e.Options)
	if typ == nil {
		return nil, engine.Bad("plugin not found in the catalog: %s", e.Type)
	}
	if err := typ.CheckOptions(e.Options); err != nil {
		return nil, err
	}
	rows := tx.In(storage.Mounts)
	b, err := rows.Get("next")
	if err != nil {
		return nil, err
	}
	next, _ := strconv.ParseUint(string(b), 10, 32) // absent is 0
	rows.Put("next", strconv.AppendUint(nil, next+1, 10))
	e.Number = uint32(next)
	e.UUID = uuid.NewString()
	var id [4]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	e.Accessor = e.Type + "_" + hex.EncodeToString(id[:])
	if strings.HasPrefix(e.Path, "auth/") {
		e.Accessor = "auth_" + e.Accessor
	}
	e.Options = maps.Clone(e.Options)
	m.put(tx, &e)
	return &e, nil
}

// free says whether a path can be mounted at: no mount is at, above or below,
// and no namespace.
func (m *Mounts) free(tx *storage.Tx, t *Table, path string) error {
	spaces, err := m.Spaces.Tree(tx)
	if err != nil {
		return err
	}
	if here := spaces.ByNumber(tx.Namespace()); here != nil {
		for _, n := range spaces.Below(here.Path) {
			if strings.HasPrefix(path, n.Path[len(here.Path):]) {
				return engine.Bad("existing mount at %s", n.Path[len(here.Path):])
			}
		}
	}
	for _, l := range t.sorted {
		if strings.HasPrefix(path, l.Path) || strings.HasPrefix(l.Path, path) {
			return engine.Bad("path is already in use at %s", strings.TrimPrefix(l.Path, "auth/"))
		}
	}
	return nil
}

func (m *Mounts) put(tx *storage.Tx, e *Entry) {
	storage.In[Entry](tx.In(storage.Mounts), "entry/").Put(e.UUID, e)
}

// Doom has a mount serve nothing but the end of what it lent.
func (m *Mounts) Doom(tx *storage.Tx, e *Entry) {
	doomed := *e
	doomed.Doomed = true
	m.put(tx, &doomed)
}

// Disable removes a mount and everything it stored, in constant time.
func (m *Mounts) Disable(tx *storage.Tx, e *Entry) {
	storage.In[Entry](tx.In(storage.Mounts), "entry/").Delete(e.UUID)
	tx.In(e.Range()).DeletePrefix("")
}

// Save stores a changed entry (tune). When options choose another engine of
// the same name, that engine takes over what is stored.
func (m *Mounts) Save(tx *storage.Tx, e *Entry, call func(*Entry) engine.Tx) error {
	t, err := m.Table(tx)
	if err != nil {
		return err
	}
	old := t.ByUUID(e.UUID)
	typ := m.Type(e.Kind, e.Type, e.Options)
	if old == nil || typ == nil {
		return engine.Bad("no matching mount at %q", e.Path)
	}
	if err := typ.CheckOptions(e.Options); err != nil {
		return err
	}
	if typ != old.Engine {
		if err := typ.Upgrade(call(e), *old.Engine.Info()); err != nil {
			return err
		}
	}
	m.put(tx, e)
	return nil
}

// Move gives a mount another path.
func (m *Mounts) Move(tx *storage.Tx, e *Entry, to string) error {
	t, err := m.Table(tx)
	if err != nil {
		return err
	}
	if err := m.free(tx, t, to); err != nil {
		return err
	}
	moved := *e
	moved.Path = to
	m.put(tx, &moved)
	return nil
}
