package server

import (
	"slices"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/audit"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
)

// identified is whom a request's token is of.
type identified struct {
	holder        *identity.Holder // nil is nobody in particular
	grants        *policy.Held     // what token and holder may do; nil without a token
	entityCreated bool             // by this login
}

// newIdentities is the store of identities over the server's mounts.
func (s *Server) newIdentities() *identity.Store {
	return identity.New(identity.Options{Now: s.clock,
		Removed: func(tx *storage.Tx, id string) error { return s.mfa.Removed(tx, id) },
		Merged:  func(tx *storage.Tx, from, into string, force bool) error { return s.mfa.Merged(tx, from, into, force) }, NamespaceID: func(tx *storage.Tx) (string, error) {
			id, _, err := s.mounts.Spaces.ID(tx)
			return id, err
		}, Mount: func(tx *storage.Tx, accessor string) (*identity.Mount, error) {
			table, err := s.mounts.Table(tx)
			if err != nil {
				return nil, err
			}
			for _, l := range table.All() {
				if l.Accessor == accessor && class(l.Path) == "auth" {
					m := identityMount(l)
					return &m, nil
				}
			}
			return nil, nil
		}})
}

func identityMount(l *mount.Live) identity.Mount {
	return identity.Mount{Accessor: l.Accessor, Path: l.Path, Type: l.Type, Local: l.Local}
}

// holder is the identity of a token, nil when it is nobody's. The token of an
// entity that is gone or disabled may do nothing. In a namespace of another's the
// entity holds nothing: its policies say nothing about what is there.
func (s *Server) holder(tx *storage.Tx, e *token.Entry) (*identity.Holder, error) {
	if e.EntityID == "" {
		return nil, nil
	}
	home, err := s.tokens.EntityHome(tx, e)
	if err != nil {
		return nil, err
	}
	var h *identity.Holder
	if home != nil {
		if h, err = s.identities.Holder(home, e.EntityID); err != nil {
			return nil, err
		}
	}
	if h == nil || h.Disabled {
		return nil, engine.Denied()
	}
	if e.EntityHome != "" {
		return nil, nil
	}
	return h, nil
}

// held is what a token's policies and those of its identity amount to.
func (s *Server) held(tx *storage.Tx, e *token.Entry, h *identity.Holder) (*policy.Held, error) {
	home, err := s.tokens.Home(tx, e)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return s.policies.Held(home, e.Policies, nil)
	}
	return s.policies.Held(home, e.Policies, h.Bearer)
}

// Held is what the holder of a token may do; for the system's own engines.
func (s *Server) Held(tx *storage.Tx, e *token.Entry) (*policy.Held, error) {
	h, err := s.holder(tx, e)
	if err != nil {
		return nil, err
	}
	return s.held(tx, e, h)
}

// identify finds whom the request's token is of, and what they hold.
func (s *Server) identify(tx *storage.Tx, x *exchange) (err error) {
	if x.holder, err = s.holder(tx, x.who); err != nil {
		return err
	}
	if x.grants, err = s.held(tx, x.who, x.holder); err != nil {
		return err
	}
	x.caller.Policies = x.grants.Policies
	if x.holder != nil {
		x.caller.EntityID = x.holder.ID
	}
	return nil
}

// enter finds or makes the entity of a login.
func (s *Server) enter(tx *storage.Tx, x *exchange, g *engine.Grant) (entityID string, err error) {
	in, err := s.identities.Login(tx, identity.LoginOf(identityMount(x.live), g), x.call.Time)
	if err != nil || in == nil {
		return "", err
	}
	x.entityCreated = in.Created
	return in.EntityID, nil
}

// aliasEntity finds or makes the entity that tokens know by an alias.
func (s *Server) aliasEntity(tx *storage.Tx, alias string) (entityID string, err error) {
	table, err := s.mounts.Table(tx)
	if err != nil {
		return "", err
	}
	l := table.At("auth/token/")
	if l == nil {
		return "", engine.Bad("tokens are not mounted")
	}
	in, err := s.identities.Login(tx, identity.Login{Mount: identityMount(l), Alias: alias}, s.now())
	if err != nil || in == nil {
		return "", err
	}
	return in.EntityID, nil
}

// introduce adds to an answer that gives or renews a token what its identity
// holds besides.
func (s *Server) introduce(tx *storage.Tx, x *exchange, a *engine.Answer) error {
	if a == nil || a.Auth == nil || a.Auth.EntityID == "" {
		return nil
	}
	e := x.who // of a login
	if !x.match.Info.Grants {
		var err error
		if e, err = s.entryOf(tx, a.Auth); err != nil || e == nil {
			return err
		}
	}
	h, err := s.holder(tx, e)
	if err != nil || h == nil {
		return err
	}
	all := e.Policies
	if len(h.Policies) > 0 && !e.Root() {
		all = policy.NormalizeList(slices.Concat(e.Policies, h.Policies), false)
	}
	a.Auth.Policies, a.Auth.IdentityPolicies = all, h.Policies
	if x.match.Info.Grants || x.resumed {
		x.holder, x.grants = h, &policy.Held{Policies: all} // for the record; nothing is asked of it
	}
	return nil
}

// entryOf is the token that an answer tells of.
func (s *Server) entryOf(tx *storage.Tx, a *api.Auth) (*token.Entry, error) {
	if a.Accessor == "" {
		return s.tokens.Find(tx, a.ClientToken) // a batch token
	}
	return s.tokens.ByAccessor(tx, a.Accessor)
}

// identityPolicies are those that a token's lookup shows.
func (s *Server) identityPolicies(tx *storage.Tx, e *token.Entry) ([]string, error) {
	if e.EntityHome != "" {
		return nil, nil
	}
	home, err := s.tokens.Home(tx, e)
	if err != nil {
		return nil, err
	}
	h, err := s.identities.Holder(home, e.EntityID)
	if err != nil || h == nil {
		return nil, err
	}
	return h.Policies, nil
}

// auditIdentity adds whom a token is of to what the audit log says of it.
func (x *exchange) auditIdentity(a *audit.Auth) {
	if x.holder != nil && x.grants != nil {
		a.Policies, a.IdentityPolicies = x.grants.Policies, x.holder.Policies
	}
	a.EntityCreated = x.entityCreated
}
