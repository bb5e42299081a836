package server

import (
	"iter"
	"net/http"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// rememberedDenials is how many refusals by policy a node can explain.
const rememberedDenials = 1024

// deny refuses a request by policy. The caller is not told why.
func (x *exchange) deny() error {
	x.denied = true
	return engine.Listed(http.StatusForbidden, "permission denied")
}

// remember keeps a refusal by policy for those who may ask about it, and tells
// the caller under which id. That is the request's own, by which it stands in
// the audit log.
func (s *Server) remember(w http.ResponseWriter, x *exchange, err error) {
	if !x.denied || wire.Refusal(err).Status != http.StatusForbidden {
		return
	}
	n := policy.Denial{ID: x.q.ID, Time: s.now().UTC(), Accessor: x.who.Accessor, EntityID: x.who.EntityID,
		Operation: x.op.String(), Path: x.verdict.Path(), Explanation: x.verdict.Explanation(), Home: x.who.NamespaceID}
	switch {
	case x.verdict.Reason == 0: // no policy was asked
		n.Path, n.Reason = x.asked, "other_namespace"
		n.Because = "denied: the token belongs to a namespace that does not contain the one of the request"
	case n.Allowed:
		n.Allowed, n.Reason = false, "consent"
		n.Because = "denied: the rule gives it only after a second factor, or with the consent of others"
	}
	s.denials.Add(n)
	w.Header().Set(api.HeaderDecision, x.q.ID)
}

// holders are the entities, as questions about policies see them.
type holders struct{ s *Server }

func (h holders) Holder(tx *storage.Tx, idOrName string) (*sys.Holder, error) {
	found, err := h.s.identities.Named(tx, idOrName)
	if err != nil || found == nil {
		return nil, err
	}
	return holderOf(found), nil
}

func (h holders) Holders(tx *storage.Tx) iter.Seq2[*sys.Holder, error] {
	return func(yield func(*sys.Holder, error) bool) {
		for found, err := range h.s.identities.All(tx) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(holderOf(found), nil) {
				return
			}
		}
	}
}

func holderOf(h *identity.Holder) *sys.Holder {
	return &sys.Holder{ID: h.ID, Name: h.Subject.Entity.Name, Policies: h.Policies, Subject: h.Subject, Disabled: h.Disabled}
}
