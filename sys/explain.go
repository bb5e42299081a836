package sys

import (
	"cmp"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
)

// Holders finds who holds policies besides tokens: entities.
type Holders interface {
	// Holder finds an entity by its id or name; nil when there is none.
	Holder(tx *storage.Tx, idOrName string) (*Holder, error)
	// Holders lists the entities of the namespace that tx sees.
	Holders(tx *storage.Tx) iter.Seq2[*Holder, error]
}

// A Holder is an entity as far as policies go.
type Holder struct {
	ID, Name string
	Policies []string // of the entity and of its groups, normalised
	Subject  policy.Subject
	Disabled bool // nothing may be done in its name
}

// askedWho says whose policies a question is about: one of these.
type askedWho struct {
	Accessor string   `json:"accessor" doc:"Accessor of a token."`
	Entity   string   `json:"entity" doc:"Id or name of an entity."`
	Policies []string `json:"policies" doc:"Names of policies."`
}

// A subject is whom a question is about, and what they may do.
type subject struct {
	acl      *policy.ACL
	down     string // from the namespace of the policies to that of the question
	out      bool   // the policies say nothing about the namespace of the question
	policies []string
}

func (s *System) subject(v engine.View, q askedWho) (*subject, error) {
	tx := engine.CallOf(v).Whole
	given := 0
	for _, set := range []bool{q.Accessor != "", q.Entity != "", len(q.Policies) > 0} {
		if set {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, engine.Bad("one of accessor, entity and policies must be supplied")
	case q.Accessor != "":
		return s.subjectOfToken(v, q.Accessor)
	case q.Entity != "":
		h, err := s.holder(tx, q.Entity)
		if err != nil {
			return nil, err
		}
		if h.Disabled {
			v.Warn("The entity is disabled: until it is not, nothing is allowed")
		}
		acl, err := s.Policies.For(tx, h.Policies, h.Subject, nil)
		return &subject{acl: acl, policies: h.Policies}, err
	}
	names := policy.NormalizeList(q.Policies, false)
	for _, name := range names {
		if p, err := s.policy(v, name); err != nil {
			return nil, err
		} else if p == nil {
			v.Warn("Policy %q does not exist", name)
		}
	}
	acl, err := s.Policies.For(tx, names, policy.Subject{}, nil)
	return &subject{acl: acl, policies: names}, err
}

func (s *System) subjectOfToken(v engine.View, accessor string) (*subject, error) {
	e, err := s.Tokens.ByAccessor(engine.CallOf(v).Whole, accessor)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, engine.Bad("invalid accessor")
	}
	h, err := s.held(v, e)
	if err != nil {
		return nil, err
	}
	return &subject{acl: h.ACL, down: h.down, out: h.out, policies: h.ACL.Names()}, nil
}

func (s *System) holder(tx *storage.Tx, idOrName string) (*Holder, error) {
	if s.Holders == nil {
		return nil, engine.Bad("there are no entities")
	}
	h, err := s.Holders.Holder(tx, idOrName)
	if err == nil && h == nil {
		err = engine.Bad("unknown entity %q", idOrName)
	}
	return h, err
}

type denialName struct {
	ID string `path:"id" doc:"Id of the decision, as the refusal's header X-Fastness-Decision gave it."`
}

// readDenial explains a refusal that this node remembers. Those of other
// namespaces are unknown.
func (s *System) readDenial(v engine.View, q denialName) (*policy.Denial, error) {
	n, ok := s.Denials.Get(q.ID)
	if !ok {
		return nil, nil
	}
	if ok, err := s.mayExplain(v, n.Home); err != nil || !ok {
		return nil, err
	}
	return &n, nil
}

// mayExplain says whether the namespace that v sees is the one with an id, or
// above it.
func (s *System) mayExplain(v engine.View, home string) (bool, error) {
	tx := engine.CallOf(v).Whole
	here, _, err := s.Mounts.Spaces.ID(tx)
	if err != nil {
		return false, err
	}
	if home == "" {
		home = mount.RootID
	}
	number, ok, err := s.Mounts.Spaces.Number(tx, home)
	if err != nil || !ok {
		return false, err
	}
	_, ok, err = s.Mounts.Spaces.Within(tx.Of(number), here)
	return ok, err
}

// A listedDenial is what a list tells of a refusal.
type listedDenial struct {
	Time      time.Time `json:"time"`
	Accessor  string    `json:"accessor"`
	Operation string    `json:"operation"`
	Path      string    `json:"path"`
	Reason    string    `json:"reason"`
}

func (s *System) listDenials(v engine.View, _ engine.None) (engine.Keys, error) {
	keys := engine.Keys{Info: map[string]any{}}
	may := map[string]bool{}
	for _, n := range s.Denials.Recent() {
		ok, known := may[n.Home]
		if !known {
			var err error
			if ok, err = s.mayExplain(v, n.Home); err != nil {
				return keys, err
			}
			may[n.Home] = ok
		}
		if ok {
			keys.Keys = append(keys.Keys, n.ID)
			keys.Info[n.ID] = listedDenial{n.Time, n.Accessor, n.Operation, n.Path, n.Reason}
		}
	}
	return keys, nil
}

type hypothesis struct {
	askedWho
	Path       string          `json:"path" required:"true" doc:"Path of the request that is thought of."`
	Capability string          `json:"capability" required:"true" doc:"What it does: create, read, update, patch, delete or list."`
	Parameters json.RawMessage `json:"parameters" doc:"What it sends, an object."`
	WrapTTL    engine.Duration `json:"wrap_ttl" doc:"For how long its answer is to be wrapped."`
	Sudo       bool            `json:"sudo" doc:"Ask for sudo besides, also where no route is known to need it."`
}

// explained is what would come of a request that is thought of.
type explained struct {
	Path       string   `json:"path"`
	Capability string   `json:"capability"`
	Held       []string `json:"held"` // policies
	policy.Explanation
}

// explain decides about a request that nobody made.
func (s *System) explain(v engine.View, q hypothesis) (*explained, error) {
	who, err := s.subject(v, q.askedWho)
	if err != nil {
		return nil, err
	}
	op, ok := policy.OperationNamed(q.Capability)
	if !ok || op == policy.Help {
		return nil, engine.Bad("unknown capability %q", q.Capability)
	}
	if b := strings.TrimSpace(string(q.Parameters)); b != "" && b != "null" && b[0] != '{' {
		return nil, engine.Bad("parameters must be an object")
	}
	path := strings.TrimLeft(q.Path, "/")
	a := &explained{Path: path, Capability: q.Capability, Held: who.policies}
	if who.out {
		a.Reason, a.Because = "other_namespace", "denied: the token belongs to a namespace that does not contain this one"
		return a, nil
	}
	sudo, err := s.needsSudo(v, op, path)
	if err != nil {
		return nil, err
	}
	a.Explanation = who.acl.Decide(policy.Query{Path: who.down + path, Op: op, Params: q.Parameters,
		WrapTTL: time.Duration(q.WrapTTL), Sudo: sudo || q.Sudo}).Explanation()
	return a, nil
}

// needsSudo says whether a path's route asks for sudo.
func (s *System) needsSudo(v engine.View, op policy.Operation, path string) (bool, error) {
	table, err := s.Mounts.Table(engine.CallOf(v).Whole)
	if err != nil {
		return false, err
	}
	does, ok := map[policy.Operation]engine.Op{policy.Read: engine.OpRead, policy.List: engine.OpList, policy.Create: engine.OpWrite,
		policy.Update: engine.OpWrite, policy.Delete: engine.OpDelete, policy.Patch: engine.OpPatch}[op]
	live, rest := table.Find(path)
	if !ok || live == nil {
		return false, nil
	}
	match, err := live.Instance.Find(does, rest)
	return err == nil && match.Info.Sudo, nil // no such route: nothing asks for sudo
}

type askedWhoCan struct {
	Path       string `json:"path" required:"true" doc:"Path of a request."`
	Capability string `json:"capability" required:"true" doc:"create, read, update, patch, delete, list or sudo."`
}

// A giver is a policy, entity or token that gives a capability, and how.
type giver struct {
	ID   string `json:"id,omitempty"` // of an entity; the accessor of a token
	Name string `json:"name"`
	policy.Grant
}

type whoCan struct {
	Policies []giver `json:"policies"`
	Entities []giver `json:"entities"`
	Tokens   []giver `json:"tokens"` // by display name; batch tokens are nowhere to be found
	// Truncated says that there are more entities or tokens than were looked at.
	Truncated bool `json:"truncated"`
}

// mostHolders bounds how many entities, or tokens, one question looks at.
const mostHolders = 10_000

func (s *System) whoCan(v engine.View, q askedWhoCan) (*whoCan, error) {
	tx := engine.CallOf(v).Whole
	c, ok := policy.CapabilityNamed(q.Capability)
	if !ok {
		return nil, engine.Bad("unknown capability %q", q.Capability)
	}
	path := strings.TrimLeft(q.Path, "/")
	a := &whoCan{Policies: []giver{}, Entities: []giver{}, Tokens: []giver{}}
	names, err := s.Policies.Names(tx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		acl, err := s.Policies.For(tx, []string{name}, policy.Subject{}, nil)
		if err != nil {
			return nil, err
		}
		if g := acl.Gives(path, c); g != nil {
			a.Policies = append(a.Policies, giver{Name: name, Grant: *g})
		}
	}
	err = s.eachHolder(tx, &a.Truncated, func(h *Holder) error {
		acl, err := s.Policies.For(tx, h.Policies, h.Subject, nil)
		if err != nil {
			return err
		}
		if g := acl.Gives(path, c); g != nil {
			a.Entities = append(a.Entities, giver{h.ID, h.Name, *g})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a, s.tokensThatCan(tx, a, path, c)
}

// tokensThatCan lists the tokens of the namespace that give a capability, by
// what they hold together with their entities.
func (s *System) tokensThatCan(tx *storage.Tx, a *whoCan, path string, c policy.Caps) error {
	type answer struct{ grant *policy.Grant }
	known := map[string]answer{} // many tokens hold the same
	n := 0
	for e, err := range s.Tokens.All(tx) {
		if err != nil {
			return err
		}
		if n++; n > mostHolders {
			a.Truncated = true
			break
		}
		names, of, err := s.bearer(tx, e)
		if err != nil {
			return err
		}
		key := strings.Join(names, "\x00")
		if of.Entity != nil {
			key += "\x00\x00" + of.Entity.ID
		}
		found, ok := known[key]
		if !ok {
			acl, err := s.Policies.For(tx, names, of, nil)
			if err != nil {
				return err
			}
			found.grant = acl.Gives(path, c)
			known[key] = found
		}
		if found.grant != nil {
			a.Tokens = append(a.Tokens, giver{e.Accessor, e.DisplayName, *found.grant})
		}
	}
	slices.SortStableFunc(a.Tokens, func(a, b giver) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

func (s *System) eachHolder(tx *storage.Tx, truncated *bool, f func(*Holder) error) error {
	if s.Holders == nil {
		return nil
	}
	n := 0
	for h, err := range s.Holders.Holders(tx) {
		if err != nil {
			return err
		}
		if n++; n > mostHolders {
			*truncated = true
			return nil
		}
		if h.Disabled {
			continue
		}
		if err := f(h); err != nil {
			return err
		}
	}
	return nil
}

type whatCan struct {
	Policies []string       `json:"policies"`
	Grants   []policy.Grant `json:"grants"`
}

func (s *System) whatCan(v engine.View, q askedWho) (*whatCan, error) {
	who, err := s.subject(v, q)
	if err != nil {
		return nil, err
	}
	a := &whatCan{Policies: who.policies, Grants: who.acl.Everything()}
	if a.Grants == nil {
		a.Grants = []policy.Grant{}
	}
	slices.Sort(a.Policies)
	return a, nil
}

func explainRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.List("policies/explain", (*System).listDenials).Doc("List the refusals by policy that this node remembers, the last first."),
		engine.Read("policies/explain/{id}", (*System).readDenial).Doc("Explain a refusal by policy."),
		engine.Compute("policies/explain", (*System).explain).Doc("Explain what would come of a request."),
		engine.Compute("policies/who-can", (*System).whoCan).Doc("Say which policies and entities give a capability on a path."),
		engine.Compute("policies/what-can", (*System).whatCan).Doc("List what a token, an entity or policies give."),
		engine.Compute("policies/diff", (*System).diffPolicy).Doc("Say what a new text of a policy would change, and for whom."),
	}
}
