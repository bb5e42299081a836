package server

import (
	"context"
	"strings"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/mfa"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/sys"
)

// What needs a second factor gets its token in one of three ways:
//
//	in one request    codes came in the header: they are checked in the login's
//	                  transaction
//	in two requests   the login is answered with what it has to prove, and waits
//	                  until sys/mfa/validate brings the proof
//	by asking others  of either way: the login waits, others are asked outside of
//	                  a transaction, and another transaction goes on with it
//
// A token is made by resume or by grant and nowhere else, so none is there
// before all is proved.

// stepped is what second factors make of an exchange.
type stepped struct {
	challenge *challenge // others are to be asked before there is an answer
	resumed   bool       // the token is that of a login which waited
}

// A challenge is what others have to be asked for a login that waits.
type challenge struct {
	*mfa.Challenge
	request string // under which the login waits
}

const mustValidate = "A login request was issued that is subject to MFA validation. " +
	"Please make sure to validate the login by sending another request to mfa/validate endpoint."

// secondFactor says what stands in place of the token of a login; nothing when
// the login needs no second factor, or has proved it.
func (s *Server) secondFactor(tx *storage.Tx, x *exchange, g *engine.Grant, entityID string) (a *engine.Answer, wait bool, err error) {
	w := &mfa.Waiting{EntityID: entityID, Accessor: x.live.Accessor, Type: x.live.Type, Mount: x.live.UUID,
		Path: x.q.Path, Address: x.q.RemoteAddr, Grant: *g, WrapTTL: x.q.WrapTTL}
	rules, err := s.mfa.Required(tx, w.Subject())
	if err != nil || len(rules) == 0 {
		return nil, false, err
	}
	sent, err := mfa.Header(x.q.HTTP.Header.Values(api.HeaderMFA))
	if err != nil {
		return nil, true, err
	}
	if len(sent) > 0 || entityID == "" { // nobody in particular has nothing to prove it with
		c, err := s.mfa.Prove(tx, w.Subject(), nil, rules, sent, s.now())
		if err != nil || c == nil {
			return nil, err != nil, err
		}
		s.mfa.Wait(tx, w, s.now())
		x.challenge = &challenge{c, w.ID}
		return nil, true, nil
	}
	s.mfa.Wait(tx, w, s.now())
	need, err := s.mfa.Requirement(tx, w, rules)
	x.call.Warn(mustValidate)
	return &engine.Answer{Auth: &api.Auth{MFARequirement: need}}, true, err
}

// proveLogin is sys/mfa/validate.
func (s *Server) proveLogin(v engine.Tx, q sys.MFAProof) (*engine.Answer, error) {
	call := engine.CallOf(v)
	tx, x := call.Whole, call.Data.(*exchange)
	sent, err := mfa.Payload(q.Payload)
	if err != nil {
		return nil, err
	}
	w, err := s.waiting(tx, q.Request)
	if err != nil {
		return nil, err
	}
	rules, err := s.mfa.Required(tx, w.Subject())
	if err != nil {
		return nil, err
	}
	c, err := s.mfa.Prove(tx, w.Subject(), w, rules, sent, s.now())
	if err != nil {
		return nil, err
	}
	if c != nil {
		x.challenge = &challenge{c, w.ID}
		return nil, nil
	}
	return s.resume(tx, x, w)
}

// waiting gives a login that waits, as its entity is now: it may have been merged
// or disabled meanwhile.
func (s *Server) waiting(tx *storage.Tx, id string) (*mfa.Waiting, error) {
	w, err := s.mfa.Waits(tx, id, s.now())
	if err != nil {
		return nil, err
	}
	if w == nil {
		return nil, mfa.NoSuchRequest()
	}
	if w.EntityID == "" {
		return w, nil
	}
	h, err := s.identities.Holder(tx, w.EntityID)
	if err != nil {
		return nil, err
	}
	if h == nil || h.Disabled {
		return nil, engine.Denied()
	}
	w.EntityID = h.ID
	return w, nil
}

// resume makes the token of a login that waited, and ends its waiting.
func (s *Server) resume(tx *storage.Tx, x *exchange, w *mfa.Waiting) (*engine.Answer, error) {
	s.mfa.Waited(tx, w)
	table, err := s.mounts.Table(tx)
	if err != nil {
		return nil, err
	}
	l := table.ByUUID(w.Mount)
	if l == nil {
		return nil, engine.Bad("the auth method of this login is gone")
	}
	p, err := paramsOf(l, &w.Grant)
	if err != nil {
		return nil, err
	}
	p.Path, p.EntityID = w.Path, w.EntityID
	if x.q.WrapTTL == 0 {
		x.q.WrapTTL = w.WrapTTL
	}
	x.resumed = true
	return s.give(tx, x, p)
}

// meet asks others, and goes on with the login if they say yes.
func (s *Server) meet(ctx context.Context, x *exchange) (a *engine.Answer, err error) {
	c := x.challenge
	if err := s.mfa.Ask(ctx, c.Challenge); err != nil {
		return nil, err
	}
	_, err = s.store.Update(ctx, func(tx *storage.Tx) error {
		tx = tx.Of(x.ns.Number)
		w, err := s.waiting(tx, c.request)
		if err != nil {
			return err
		}
		if err := c.Answered(tx, s.now()); err != nil {
			return err
		}
		if a, err = s.resume(tx, x, w); err != nil {
			return err
		}
		if err := s.introduce(tx, x, a); err != nil {
			return err
		}
		a, err = s.wrap(tx, x, a)
		return err
	})
	return a, err
}

// stepUp proves the second factors that a policy demands of a request. Codes
// alone will do: others are asked at logins only.
func (s *Server) stepUp(tx *storage.Tx, x *exchange) error {
	sent, err := mfa.Header(x.q.HTTP.Header.Values(api.HeaderMFA))
	if err != nil {
		return err
	}
	if len(sent) == 0 || x.holder == nil {
		return engine.Listed(403, "permission denied")
	}
	if tx.Mode() == storage.ReadOnly {
		return storage.ErrUpgrade // a code is used up
	}
	home, err := s.tokens.Home(tx, x.who)
	if err != nil {
		return err
	}
	rules, err := s.mfa.Demanded(home, x.verdict.MFAMethods)
	if err != nil {
		return err
	}
	c, err := s.mfa.Prove(home, mfa.Subject{EntityID: x.holder.ID, Address: x.q.RemoteAddr}, nil, rules, sent, s.now())
	if err == nil && c != nil {
		err = engine.Listed(403, "permission denied")
	}
	return err
}

// factorSpaces is what second factors know of namespaces.
type factorSpaces struct{ s *Server }

func (n factorSpaces) ID(tx *storage.Tx) (id, path string, err error) {
	return n.s.mounts.Spaces.ID(tx)
}

func (n factorSpaces) Above(tx *storage.Tx) ([]*storage.Tx, error) {
	if tx.Namespace() == 0 {
		return nil, nil
	}
	tree, err := n.s.mounts.Spaces.Tree(tx)
	if err != nil {
		return nil, err
	}
	at := tree.ByNumber(tx.Namespace())
	if at == nil {
		return nil, engine.Missing("namespace not found")
	}
	var above []*storage.Tx
	for path := at.Path; path != ""; {
		path = path[:strings.LastIndexByte(path[:len(path)-1], '/')+1]
		if up := tree.At(path); up != nil {
			above = append(above, tx.Of(up.Number))
		}
	}
	return above, nil
}

func (n factorSpaces) Below(tx *storage.Tx) ([]*storage.Tx, error) {
	tree, err := n.s.mounts.Spaces.Tree(tx)
	if err != nil {
		return nil, err
	}
	var all []*storage.Tx
	var add func(*mount.Namespace)
	add = func(at *mount.Namespace) {
		for _, b := range tree.Below(at.Path) {
			all = append(all, tx.Of(b.Number))
			add(b)
		}
	}
	if at := tree.ByNumber(tx.Namespace()); at != nil {
		add(at)
	}
	return all, nil
}

// factorRoutes are those of second factors, which identity/ serves.
func (s *Server) factorRoutes() engine.Routes[identity.Store] {
	return engine.Part[identity.Store](s.mfa, s.mfa.Routes())
}

// newFactors is the store of second factors over the server's identities.
func (s *Server) newFactors(o Options) *mfa.Store {
	return mfa.New(mfa.Options{Identities: s.identities, Spaces: factorSpaces{s}, Now: o.Clock, Client: o.Outgoing,
		Mount: func(tx *storage.Tx, accessor string) (bool, error) {
			table, err := s.mounts.Table(tx)
			if err != nil {
				return false, err
			}
			for _, l := range table.All() {
				if l.Accessor == accessor && class(l.Path) == "auth" {
					return true, nil
				}
			}
			return false, nil
		}})
}
