package token

import (
	"net/http"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Presenter is what the server hands over in engine.Call.Data.
type Presenter interface {
	// Sudo says whether the caller has sudo on the path, or is root.
	Sudo() bool
	// RawToken is the token that the request came with.
	RawToken() string
	// Token is the entry that Authenticate returned for it.
	Token() *Entry
}

// Type is the engine at auth/token/.
func (s *Store) Type() engine.Type {
	spec := engine.Spec[Store]{
		Name: "token", Kind: engine.System,
		Help:   "Tokens: what every request is made with.",
		Open:   func(engine.Mount) (*Store, error) { return s, nil },
		Routes: routes(),
	}
	return spec.Type()
}

func routes() engine.Routes[Store] {
	return append(roles.Routes(), engine.Routes[Store]{
		engine.Write("create/{role_name}", (*Store).routeCreateByRole).Doc("Create a token as a role says."),
		engine.Write("create", (*Store).routeCreate).Doc("Create a token below the caller's."),
		engine.Write("create-orphan", (*Store).routeCreateOrphan).Doc("Create a token that outlives the caller's."),
		engine.Read("lookup", (*Store).routeLookup).Doc("Show the caller's token."),
		engine.Compute("lookup", (*Store).routeLookup).Doc("Show a token."),
		engine.Read("lookup-self", (*Store).routeLookupSelf).Doc("Show the caller's token."),
		engine.Compute("lookup-self", (*Store).routeLookupSelf).Doc("Show the caller's token."),
		engine.Compute("lookup-accessor", (*Store).routeLookupAccessor).Doc("Show a token by its accessor."),
		engine.Write("renew", (*Store).routeRenew).Doc("Renew a token."),
		engine.Write("renew-self", (*Store).routeRenewSelf).Doc("Renew the caller's token."),
		engine.Write("renew-accessor", (*Store).routeRenewAccessor).Doc("Renew a token by its accessor."),
		engine.Write("revoke", (*Store).routeRevoke).Doc("Revoke a token and all below it."),
		engine.Write("revoke-self", (*Store).routeRevokeSelf).Doc("Revoke the caller's token and all below it."),
		engine.Write("revoke-accessor", (*Store).routeRevokeAccessor).Doc("Revoke a token by its accessor, and all below it."),
		engine.Write("revoke-orphan", (*Store).routeRevokeOrphan).Doc("Revoke a token; its children live on as orphans.").Sudo(),
		engine.List("accessors", (*Store).routeAccessors).Doc("List the accessors of all tokens.").Sudo(),
		engine.Write("tidy", (*Store).routeTidy).Doc("Do nothing: there is nothing to tidy."),
	}...)
}

// Requests of the routes.
type (
	tokenRequest struct {
		Token string `json:"token" secret:"true" doc:"Token to look at."`
	}
	accessorRequest struct {
		Accessor string `json:"accessor" doc:"Accessor of the token."`
	}
	renewRequest struct {
		Token     string          `json:"token" secret:"true" doc:"Token to renew."`
		Increment engine.Duration `json:"increment" doc:"How long it shall live from now."`
	}
	renewSelfRequest struct {
		// Token is taken and ignored, as Vault does.
		Token     string          `json:"token" secret:"true" doc:"Ignored."`
		Increment engine.Duration `json:"increment" doc:"How long it shall live from now."`
	}
	renewAccessorRequest struct {
		Accessor  string          `json:"accessor" doc:"Accessor of the token."`
		Increment engine.Duration `json:"increment" doc:"How long it shall live from now."`
	}
)

// A request, as the routes see it.
type request struct {
	tx   *storage.Tx
	raw  string // the caller's token, "" when the server does not tell
	self *Entry // nil: the caller's token is unknown
	sudo bool
}

func (s *Store) request(v engine.View) (*request, error) {
	c := engine.CallOf(v)
	r := &request{tx: c.Whole}
	if p, ok := c.Data.(Presenter); ok {
		r.raw, r.self, r.sudo = p.RawToken(), p.Token(), p.Sudo()
	}
	if r.self != nil {
		return r, nil
	}
	var err error
	r.self, err = s.ByID(r.tx, v.Caller().TokenID)
	return r, err
}

// Vault wraps some refusals in a list of one.
func listed(sentence string) error {
	return engine.Listed(http.StatusBadRequest, "%s", sentence)
}

func badToken() error { return engine.Status(403, "bad token") }

func (s *Store) routeLookup(v engine.View, q tokenRequest) (*Shown, error) {
	r, err := s.request(v)
	if err != nil {
		return nil, err
	}
	if q.Token == "" || q.Token == r.raw {
		return s.showSelf(r)
	}
	e, err := s.Lookup(r.tx, q.Token)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, badToken()
	}
	return s.show(r.tx, e, q.Token)
}

func (s *Store) routeLookupSelf(v engine.View, _ tokenRequest) (*Shown, error) {
	r, err := s.request(v)
	if err != nil {
		return nil, err
	}
	return s.showSelf(r)
}

func (s *Store) showSelf(r *request) (*Shown, error) {
	if r.self == nil {
		return nil, badToken()
	}
	return s.show(r.tx, r.self, r.raw)
}

func (s *Store) routeLookupAccessor(v engine.View, q accessorRequest) (*Shown, error) {
	tx := engine.CallOf(v).Whole
	e, err := s.accessor(tx, q.Accessor)
	if err != nil {
		return nil, err
	}
	return s.show(tx, e, "")
}

// accessor finds a token, or says what is wrong with the accessor.
func (s *Store) accessor(tx *storage.Tx, accessor string) (*Entry, error) {
	if accessor == "" {
		return nil, listed("missing accessor")
	}
	e, err := s.ByAccessor(tx, accessor)
	if err == nil && e == nil {
		err = listed("invalid accessor")
	}
	return e, err
}

func (s *Store) routeRenew(v engine.Tx, q renewRequest) (*engine.Answer, error) {
	if q.Token == "" {
		return nil, engine.Bad("missing token ID")
	}
	r, err := s.request(v)
	if err != nil {
		return nil, err
	}
	e := r.self
	if q.Token != r.raw {
		if e, err = s.Lookup(r.tx, q.Token); err != nil {
			return nil, err
		}
	}
	return s.renew(v, r.tx, e, q.Token, q.Increment)
}

func (s *Store) routeRenewSelf(v engine.Tx, q renewSelfRequest) (*engine.Answer, error) {
	r, err := s.request(v)
	if err != nil {
		return nil, err
	}
	return s.renew(v, r.tx, r.self, r.raw, q.Increment)
}

func (s *Store) routeRenewAccessor(v engine.Tx, q renewAccessorRequest) (*engine.Answer, error) {
	tx := engine.CallOf(v).Whole
	e, err := s.accessor(tx, q.Accessor)
	if err != nil {
		return nil, err
	}
	return s.renew(v, tx, e, "", q.Increment)
}

func (s *Store) renew(v engine.Tx, tx *storage.Tx, e *Entry, raw string, increment engine.Duration) (*engine.Answer, error) {
	if e == nil {
		return nil, engine.Bad("token not found")
	}
	e, warnings, err := s.Renew(tx, e, time.Duration(increment))
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		v.Warn("%s", w)
	}
	return &engine.Answer{Auth: e.Auth(raw, s.o.Now())}, nil
}

func (s *Store) routeRevoke(v engine.Tx, q tokenRequest) (engine.None, error) {
	if q.Token == "" {
		return engine.None{}, engine.Bad("missing token ID")
	}
	tx := engine.CallOf(v).Whole
	e, err := s.Lookup(tx, q.Token)
	if err != nil || e == nil {
		return engine.None{}, err
	}
	return engine.None{}, s.revoke(tx, e)
}

func (s *Store) revoke(tx *storage.Tx, e *Entry) error {
	if e.Type == Batch {
		return engine.Bad("batch tokens cannot be revoked")
	}
	return s.Revoke(tx, e.ID)
}

func (s *Store) routeRevokeSelf(v engine.Tx, _ engine.None) (engine.None, error) {
	r, err := s.request(v)
	if err != nil || r.self == nil {
		return engine.None{}, err
	}
	return engine.None{}, s.revoke(r.tx, r.self)
}

func (s *Store) routeRevokeAccessor(v engine.Tx, q accessorRequest) (*engine.Answer, error) {
	if q.Accessor == "" {
		return nil, listed("missing accessor")
	}
	tx := engine.CallOf(v).Whole
	e, err := s.ByAccessor(tx, q.Accessor)
	if err != nil {
		return nil, err
	}
	if e == nil {
		v.Warn("No token found with this accessor")
		return &engine.Answer{}, nil
	}
	return nil, s.Revoke(tx, e.ID)
}

func (s *Store) routeRevokeOrphan(v engine.Tx, q tokenRequest) (engine.None, error) {
	if q.Token == "" {
		return engine.None{}, engine.Bad("missing token ID")
	}
	tx := engine.CallOf(v).Whole
	e, err := s.Lookup(tx, q.Token)
	switch {
	case err != nil:
		return engine.None{}, err
	case e == nil:
		return engine.None{}, engine.Bad("token to revoke not found")
	case e.Type == Batch:
		return engine.None{}, engine.Bad("batch tokens cannot be revoked")
	}
	return engine.None{}, s.RevokeOrphan(tx, e.ID)
}

func (s *Store) routeAccessors(v engine.View, _ engine.None) (engine.Keys, error) {
	names, err := accessors(engine.CallOf(v).Whole).Names("", "")
	return engine.KeysOf(names), err
}

// Tokens, accessors and tree change together, so nothing is ever left over.
func (s *Store) routeTidy(v engine.Tx, _ engine.None) (*engine.Answer, error) {
	v.Warn("Tidy operation successfully started. Any information from the operation will be printed to the server's logs.")
	return &engine.Answer{Status: 202}, nil
}
