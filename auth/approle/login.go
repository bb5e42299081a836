package approle

import (
	"maps"

	"github.com/fastness-dev/fastness/engine"
)

func loginRoutes() engine.Routes[Engine] {
	return engine.Routes[Engine]{
		engine.Named(engine.Login("login", (*Engine).login).Doc("Log in by a role-id and a secret-id."), (*Engine).who),
	}
}

type loginRequest struct {
	RoleID   string `json:"role_id" doc:"The role-id."`
	SecretID string `json:"secret_id" secret:"true" doc:"A secret-id of the role."`
}

// who names a login by its role-id, whether or not there is such a role.
func (e *Engine) who(v engine.View, req loginRequest) (engine.Who, error) {
	k, err := key(v)
	if err != nil || req.RoleID == "" {
		return engine.Who{}, err
	}
	name, _, err := byRoleID(v, k, req.RoleID)
	return engine.Who{Alias: req.RoleID, Role: name}, err
}

// nobody is the Key of a role that there is not: it has no secret-ids.
const nobody = "00000000-0000-0000-0000-000000000000"

// login looks for the same rows and says the same whether the role-id is unknown
// or the secret-id wrong.
func (e *Engine) login(tx engine.Tx, req loginRequest) (*engine.Grant, error) {
	if req.RoleID == "" {
		return nil, engine.Bad("missing role_id")
	}
	k, err := key(tx)
	if err != nil {
		return nil, err
	}
	name, r, err := byRoleID(tx, k, req.RoleID)
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = &role{BindSecretID: true, Key: nobody}
	}
	s := &secret{}
	if r.BindSecretID {
		if s, err = e.prove(tx, k, r, req.SecretID); err != nil {
			return nil, err
		}
	}
	terms := r.TokenTerms
	if terms.BoundCIDRs, err = admit(tx, r, s); err != nil {
		return nil, err
	}
	return grantOf(name, r, terms, s), nil
}

// prove takes one login off the secret-id.
func (e *Engine) prove(tx engine.Tx, key []byte, r *role, value string) (*secret, error) {
	if value == "" {
		return nil, engine.Bad("missing secret_id")
	}
	s, id, err := find(tx, key, r.Key, value)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, engine.Refused(engine.Bad("invalid role or secret ID"))
	}
	return s, spend(tx, id, s)
}

// admit says from where the token can be used, if a login may come from where
// this one does.
func admit(v engine.View, r *role, s *secret) ([]string, error) {
	from := v.Caller().Address
	if !engine.Within(s.CIDRs, from) {
		return nil, engine.Bad("source address %q unauthorized by CIDR restrictions on the secret ID", from)
	}
	if !engine.Within(r.CIDRs, from) {
		return nil, engine.Bad("source address %q unauthorized by CIDR restrictions on the role", from)
	}
	bound := r.BoundCIDRs
	switch {
	case len(bound) == 0:
		bound = s.TokenCIDRs
	case len(s.TokenCIDRs) > 0: // the role's may have changed since
		if bound = overlap(s.TokenCIDRs, bound); len(bound) == 0 {
			return nil, engine.Denied()
		}
	}
	if !engine.Within(bound, from) {
		return nil, engine.Denied()
	}
	return engine.NormalizeCIDRs(bound)
}

func grantOf(name string, r *role, terms engine.TokenTerms, s *secret) *engine.Grant {
	meta := make(map[string]string, len(s.Metadata)+1)
	maps.Copy(meta, s.Metadata)
	meta["role_name"] = name
	return &engine.Grant{
		Alias: r.RoleID, AliasMeta: meta, Meta: meta,
		Held: map[string]string{"role": name}, Role: name, Terms: terms,
	}
}

// renew goes by the role as it is now, and ends with it.
func (e *Engine) renew(v engine.View, was engine.Renewal) (*engine.Grant, error) {
	name := was.Held["role"]
	r, err := named(v, name)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, engine.Bad("role %q does not exist during renewal", name)
	}
	return grantOf(name, r, r.TokenTerms, &secret{Metadata: was.Meta}), nil
}
