package approle

import (
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A role is what a login may do, and what its secret-ids are like. OldPolicies,
// OldPeriod and OldCIDRs are the former names of token_policies, token_period
// and secret_id_bound_cidrs.
type role struct {
	BindSecretID bool            `json:"bind_secret_id" default:"true" doc:"Whether a login takes a secret-id."`
	CIDRs        []string        `json:"secret_id_bound_cidrs" doc:"Networks that a login must come from."`
	NumUses      int             `json:"secret_id_num_uses" doc:"How many logins a secret-id is good for; 0 is no limit."`
	TTL          engine.Duration `json:"secret_id_ttl" doc:"How long a secret-id is good for; 0 is for ever."`
	Local        bool            `json:"local_secret_ids" doc:"Keep secret-ids to this cluster. Cannot be changed later."`
	RoleID       string          `json:"role_id" doc:"What names the role in a login; chosen by the server if not given."`
	OldPolicies  []string        `json:"policies,omitempty" doc:"Former name of token_policies."`
	OldPeriod    engine.Duration `json:"period,omitempty" doc:"Former name of token_period."`
	OldCIDRs     []string        `json:"bound_cidr_list,omitempty" doc:"Former name of secret_id_bound_cidrs."`
	engine.TokenTerms

	// Key names the role to its secret-ids. A role of the same name made later
	// has another, and no secret-id of this one fits it.
	Key string `json:"key" kept:"true"`
}

// roles are the roles of a mount by their names in lower case.
func roles(v engine.View) storage.Table[role] { return engine.Table[role](v, "role/") }

// named gives a role, shared; nil if there is none.
func named(v engine.View, name string) (*role, error) { return roles(v).Peek(strings.ToLower(name)) }

func roleRoutes() engine.Routes[Engine] {
	roles := &engine.Collection[Engine, role]{
		Path: "role", Name: "{role_name}", Noun: "role", Fold: true,
		Check: (*Engine).checkRole, Show: (*Engine).showRole, Remove: (*Engine).removeRole,
	}
	return slices.Concat(roles.Routes(),
		roles.Fields("bind-secret-id", "bind_secret_id"),
		roles.Fields("period", "token_period", "period"),
		roles.Fields("policies", "token_policies", "policies"),
		roles.Fields("secret-id-bound-cidrs", "secret_id_bound_cidrs"),
		roles.Fields("secret-id-num-uses", "secret_id_num_uses"),
		roles.Fields("secret-id-ttl", "secret_id_ttl"),
		roles.Fields("token-bound-cidrs", "token_bound_cidrs"),
		roles.Fields("token-max-ttl", "token_max_ttl"),
		roles.Fields("token-num-uses", "token_num_uses"),
		roles.Fields("token-ttl", "token_ttl"),
		roles.Fields("role-id", "role_id")[:2], // a role is never without one
		roles.Fields("local-secret-ids", "local_secret_ids")[:1],
		oldCIDRs(),
	)
}

// checkRole completes a role and refuses what cannot be one.
func (e *Engine) checkRole(tx engine.Tx, item *engine.Item[role]) error {
	r := &item.Value
	old, err := roles(tx).Get(item.Name)
	if err != nil {
		return err
	}
	engine.Renamed(item, "policies", &r.OldPolicies, "token_policies", &r.Policies)
	engine.Renamed(item, "period", &r.OldPeriod, "token_period", &r.Period)
	engine.Renamed(item, "bound_cidr_list", &r.OldCIDRs, "secret_id_bound_cidrs", &r.CIDRs)
	r.OldCIDRs = nil // read back by its new name only
	if err := r.Normalize(tx.Mount()); err != nil {
		return err
	}
	if len(r.OldPolicies) > 0 {
		r.OldPolicies = r.Policies
	}
	if err := checkCIDRs("secret_id_bound_cidrs", r.CIDRs); err != nil {
		return err
	}
	switch {
	case r.NumUses < 0:
		return engine.Bad("secret_id_num_uses cannot be negative")
	case !r.BindSecretID && len(r.CIDRs) == 0 && len(r.BoundCIDRs) == 0:
		return engine.Bad("at least one constraint should be enabled on the role")
	case old != nil && old.Local != r.Local:
		return engine.Bad("local_secret_ids can only be modified during role creation")
	}
	if r.MaxTTL > 0 && tx.Mount().MaxTTL > 0 && r.MaxTTL > engine.Duration(tx.Mount().MaxTTL) {
		tx.Warn("token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be truncated")
	}
	return e.index(tx, item, old)
}

// index gives a role its ids and makes it be found by its role-id.
func (e *Engine) index(tx engine.Tx, item *engine.Item[role], old *role) (err error) {
	r := &item.Value
	if old == nil {
		if err := ensureKey(tx); err != nil {
			return err
		}
		if r.Key, err = newID(); err != nil {
			return err
		}
		if r.RoleID == "" && !item.Sent("role_id") {
			if r.RoleID, err = newID(); err != nil {
				return err
			}
		}
	}
	switch {
	case r.RoleID == "":
		return engine.Bad("invalid role_id supplied: it is empty")
	case len(r.RoleID) > maxID:
		return engine.Bad("invalid role_id supplied: it is longer than %d bytes", maxID)
	case old != nil && old.RoleID == r.RoleID:
		return nil
	}
	k, err := key(tx)
	if err != nil {
		return err
	}
	at := roleIDPath(k, r.RoleID)
	taken, err := tx.Get(at)
	switch {
	case err != nil:
		return err
	case taken != nil:
		return engine.Bad("role_id already in use")
	}
	if old != nil {
		tx.Delete(roleIDPath(k, old.RoleID))
	}
	tx.Put(at, []byte(item.Name))
	return nil
}

func roleIDPath(key []byte, id string) string { return "rid/" + mac(key, "role-id", "", id) }

// noName is a name that no role can have.
const noName = "-"

// byRoleID gives the name and the role that a role-id names; nil if there is
// none.
func byRoleID(v engine.View, key []byte, id string) (string, *role, error) {
	name, err := v.Get(roleIDPath(key, id))
	if err != nil {
		return "", nil, err
	}
	if name == nil {
		// A row is asked for all the same, as for a role that there is.
		_, err := named(v, noName)
		return "", nil, err
	}
	r, err := named(v, string(name))
	return string(name), r, err
}

// removeRole leaves the secret-ids of the role for later: without its Key, which
// is nowhere else, they are of no use.
func (e *Engine) removeRole(tx engine.Tx, item *engine.Item[role]) error {
	k, err := key(tx)
	if err != nil {
		return err
	}
	tx.Delete(roleIDPath(k, item.Value.RoleID))
	tx.At(tx.Now(), "sweep", item.Value.Key)
	return nil
}

// roleView is a role as it is read: the role-id has a route of its own, and the
// former names show when they were used.
type roleView struct {
	BindSecretID    bool            `json:"bind_secret_id"`
	Local           bool            `json:"local_secret_ids"`
	OldPeriod       engine.Duration `json:"period,omitempty"`
	OldPolicies     []string        `json:"policies,omitempty"`
	CIDRs           []string        `json:"secret_id_bound_cidrs"` // null when there are none
	NumUses         int             `json:"secret_id_num_uses"`
	TTL             engine.Duration `json:"secret_id_ttl"`
	BoundCIDRs      []string        `json:"token_bound_cidrs"`
	ExplicitMaxTTL  engine.Duration `json:"token_explicit_max_ttl"`
	MaxTTL          engine.Duration `json:"token_max_ttl"`
	NoDefaultPolicy bool            `json:"token_no_default_policy"`
	TokenNumUses    int             `json:"token_num_uses"`
	Period          engine.Duration `json:"token_period"`
	Policies        []string        `json:"token_policies"`
	TokenTTL        engine.Duration `json:"token_ttl"`
	Type            string          `json:"token_type"`
}

func (e *Engine) showRole(_ engine.View, item *engine.Item[role]) (any, error) {
	r, t := &item.Value, &item.Value.TokenTerms
	return roleView{
		BindSecretID: r.BindSecretID, Local: r.Local, OldPeriod: r.OldPeriod, OldPolicies: r.OldPolicies,
		CIDRs: orNull(r.CIDRs), NumUses: r.NumUses, TTL: r.TTL,
		BoundCIDRs: orEmpty(t.BoundCIDRs), ExplicitMaxTTL: t.ExplicitMaxTTL, MaxTTL: t.MaxTTL, NoDefaultPolicy: t.NoDefaultPolicy,
		TokenNumUses: t.NumUses, Period: t.Period, Policies: orEmpty(t.Policies), TokenTTL: t.TTL, Type: t.Type,
	}, nil
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func orNull(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return s
}

// The former name of secret-id-bound-cidrs has routes too, which read the same
// networks.

type oldCIDRsRequest struct {
	Role  string    `path:"role_name"`
	CIDRs *[]string `json:"bound_cidr_list" doc:"Networks that a login must come from."`
}

type oldCIDRsView struct {
	CIDRs []string `json:"bound_cidr_list"`
}

func oldCIDRs() engine.Routes[Engine] {
	const at = "role/{role_name}/bound-cidr-list"
	return engine.Routes[Engine]{
		engine.Read(at, (*Engine).readOldCIDRs).Doc("Read the networks that a login of a role must come from."),
		engine.Write(at, (*Engine).writeOldCIDRs).Doc("Change the networks that a login of a role must come from."),
		engine.Delete(at, (*Engine).deleteOldCIDRs).Doc("Let logins of a role come from anywhere."),
	}
}

func (e *Engine) readOldCIDRs(v engine.View, req roleRequest) (*oldCIDRsView, error) {
	r, err := named(v, req.Role)
	if err != nil || r == nil {
		return nil, err
	}
	return &oldCIDRsView{r.CIDRs}, nil
}

func (e *Engine) writeOldCIDRs(tx engine.Tx, req oldCIDRsRequest) (engine.None, error) {
	if req.CIDRs == nil {
		return engine.None{}, engine.Bad("missing bound_cidr_list")
	}
	return engine.None{}, e.setCIDRs(tx, req.Role, *req.CIDRs)
}

func (e *Engine) deleteOldCIDRs(tx engine.Tx, req roleRequest) (engine.None, error) {
	return engine.None{}, e.setCIDRs(tx, req.Role, nil)
}

func (e *Engine) setCIDRs(tx engine.Tx, name string, cidrs []string) error {
	item := &engine.Item[role]{Name: strings.ToLower(name)}
	r, err := roles(tx).Get(item.Name)
	switch {
	case err != nil:
		return err
	case r == nil:
		return engine.Missing("role does not exist")
	}
	item.Value = *r
	item.Value.CIDRs = cidrs
	if err := e.checkRole(tx, item); err != nil {
		return err
	}
	roles(tx).Put(item.Name, &item.Value)
	return nil
}
