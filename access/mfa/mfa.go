// Package mfa owns second factors: the methods by which people prove once more
// who they are, the enforcements that say which logins need one, the secrets of
// entities, and the logins that wait for a factor.
//
// It promises that a code opens one thing once, however it is spelt and however
// many ask at the same moment; that a failed try is counted even though the
// request that made it leaves nothing else behind; that a wrong code and a code
// for nobody are told in the same words; and that a login that waits is known
// in its own namespace only and ends in one token or none.
//
// It makes no tokens: the server asks it at each login, and at each request
// whose policy demands a second factor, and hands it what was sent.
package mfa

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Options say what a Store needs. Identities and Spaces must be set.
type Options struct {
	Identities *identity.Store
	Spaces     Spaces
	// Mount says whether there is an auth method with an accessor.
	Mount func(tx *storage.Tx, accessor string) (bool, error)
	// Client is what Duo, Okta and PingID are asked through.
	Client *http.Client
	Now    func() time.Time // of jobs and outside answers; nil is time.Now
	NewID  func() string    // nil draws UUIDs
	Rand   io.Reader        // of secrets; nil is crypto/rand
	// Pause waits between two looks at an answer that is not there yet; nil is a
	// second.
	Pause time.Duration
}

// Spaces is what second factors know of namespaces.
type Spaces interface {
	// ID is the id and the path of the namespace that tx sees.
	ID(tx *storage.Tx) (id, path string, err error)
	// Above are the namespaces that hold the one tx sees, the nearest first.
	Above(tx *storage.Tx) ([]*storage.Tx, error)
	// Below are all namespaces in the one that tx sees.
	Below(tx *storage.Tx) ([]*storage.Tx, error)
}

// A Store keeps second factors. Its methods are safe for concurrent use; each
// works in the transaction that it is given.
type Store struct {
	o       Options
	configs storage.Derived[*config]
}

// New makes a Store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	s := &Store{o: o}
	s.configs.Range, s.configs.Build = storage.MFA, buildConfig
	return s
}

// Drop forgets what is kept in memory: the barrier was sealed.
func (s *Store) Drop() { s.configs.Drop() }

// Routes are those at identity/mfa/.
func (s *Store) Routes() engine.Routes[Store] {
	var all engine.Routes[Store]
	for _, part := range []func() engine.Routes[Store]{methodRoutes, enrolRoutes, enforcementRoutes} {
		all = append(all, part()...)
	}
	return all
}

// Rows. In storage.MFA, which changes seldom and is kept whole in memory:
//
//	method/<id>           Method
//	enforcement/<name>    Enforcement
//
// In storage.Factors, of which only the first can be listed:
//
//	secret/<entity>/<method>   Secret
//	tried/<entity>/<method>    tries; ends with a job of KindForget
//	waits/<id>                 Waiting; likewise
func methods(tx *storage.Tx) storage.Table[Method] {
	return storage.In[Method](tx.In(storage.MFA), "method/")
}

func enforcements(tx *storage.Tx) storage.Table[Enforcement] {
	return storage.In[Enforcement](tx.In(storage.MFA), "enforcement/")
}

func secrets(tx *storage.Tx, entityID string) storage.Table[Secret] {
	return storage.In[Secret](tx.In(storage.Factors), "secret/"+entityID+"/")
}

// A config is what one namespace has set up, by id and by name.
type config struct {
	methods      map[string]*Method
	byName       map[string]*Method
	enforcements []*Enforcement // in order of their names
}

func buildConfig(rows storage.Rows) (*config, error) {
	c := &config{methods: map[string]*Method{}, byName: map[string]*Method{}}
	all := storage.In[Method](rows, "method/")
	ids, err := all.Names("", "")
	if err != nil {
		return nil, fmt.Errorf("list MFA methods: %w", err)
	}
	for _, id := range ids {
		m, err := all.Get(id)
		if err != nil {
			return nil, fmt.Errorf("read MFA method: %w", err)
		}
		if c.methods[id] = m; m.Name != "" {
			c.byName[m.Name] = m
		}
	}
	rules := storage.In[Enforcement](rows, "enforcement/")
	names, err := rules.Names("", "")
	if err != nil {
		return nil, fmt.Errorf("list MFA enforcements: %w", err)
	}
	for _, n := range names {
		e, err := rules.Get(n)
		if err != nil {
			return nil, fmt.Errorf("read MFA enforcement: %w", err)
		}
		c.enforcements = append(c.enforcements, e)
	}
	return c, nil
}

// A seen is a namespace whose methods and enforcements hold in the one that is
// asked: its own, or one that holds it.
type seen struct {
	*config
	id, path string
}

// visible are the namespaces whose configuration holds in the one that tx sees,
// its own first.
func (s *Store) visible(tx *storage.Tx) ([]seen, error) {
	above, err := s.o.Spaces.Above(tx)
	if err != nil {
		return nil, fmt.Errorf("find the namespaces above: %w", err)
	}
	all := make([]seen, 0, 1+len(above))
	for _, at := range append([]*storage.Tx{tx}, above...) {
		c, err := s.configs.Get(at)
		if err != nil {
			return nil, err
		}
		if len(c.methods) == 0 && len(c.enforcements) == 0 {
			continue
		}
		v := seen{config: c}
		if v.id, v.path, err = s.o.Spaces.ID(at); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// method finds a method by id or by name, which may be after the path of its
// namespace; nil when there is none.
func method(all []seen, key string) *Method {
	for _, v := range all {
		if m := v.methods[key]; m != nil {
			return m
		}
	}
	for _, v := range all {
		if m := v.byName[key]; m != nil {
			return m
		}
		if rest, ok := cutPath(key, v.path); ok && v.byName[rest] != nil {
			return v.byName[rest]
		}
	}
	return nil
}

func cutPath(key, path string) (string, bool) {
	if path == "" || len(key) <= len(path) || key[:len(path)] != path {
		return "", false
	}
	return key[len(path):], true
}

// Removed ends the secrets of an entity that is gone.
func (s *Store) Removed(tx *storage.Tx, entityID string) error {
	tx.In(storage.Factors).DeletePrefix("secret/" + entityID + "/")
	return nil
}

// Merged moves the secrets of an entity to the one that it is merged into. Where
// both have one of a method, that one's stays if force is set, else all of them
// are told and it is refused.
func (s *Store) Merged(tx *storage.Tx, from, into string, force bool) error {
	ids, err := secrets(tx, from).Names("", "")
	if err != nil {
		return fmt.Errorf("list MFA secrets: %w", err)
	}
	var wrong []string
	for _, id := range ids {
		theirs, err := secrets(tx, from).Get(id)
		if err != nil {
			return err
		}
		ours, err := secrets(tx, into).Get(id)
		switch {
		case err != nil:
			return err
		case ours == nil:
			secrets(tx, into).Put(id, theirs)
		case !force:
			wrong = append(wrong, fmt.Sprintf("both entities have a secret of the MFA method %s: destroy one of them, or set 'force'", id))
		}
	}
	if len(wrong) > 0 {
		return &api.Error{Status: http.StatusBadRequest, Errors: wrong}
	}
	return nil
}

// KindForget is the kind of the job that removes a row of storage.Factors that
// means nothing any longer; its id is the row.
const KindForget = "mfa-forget"

// Handlers are those of the store's jobs.
func (s *Store) Handlers() map[string]schedule.Handler {
	return map[string]schedule.Handler{KindForget: s.forget, KindSweep: s.sweep}
}

// ending is what every row that ends by itself says.
type ending struct {
	Ends time.Time `json:"ends"`
}

func (s *Store) forget(tx *storage.Tx, j schedule.Job) error {
	row, err := storage.In[ending](tx.In(storage.Factors), "").Get(j.ID)
	if err != nil || row == nil {
		return err
	}
	if s.o.Now().Before(row.Ends.Truncate(time.Millisecond)) { // jobs are due to the millisecond
		schedule.At(tx, row.Ends, j)
		return nil
	}
	tx.In(storage.Factors).DeleteUnlisted(j.ID)
	return nil
}
