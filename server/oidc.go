package server

import (
	"time"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/oidc"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// oidcPart is identity/oidc, which tells other applications who callers are.
func (s *Server) oidcPart(address string) identity.Part {
	return oidc.New(oidc.Options{Identities: s.identities, Address: address, AuthTime: s.authTime,
		NamespaceID: func(tx *storage.Tx) (string, error) {
			id, _, err := s.mounts.Spaces.ID(tx)
			return id, err
		}}).Part()
}

// authTime is when the caller of a request logged in: a token that was made of
// another is no login.
func (s *Server) authTime(v engine.View) (time.Time, error) {
	call := engine.CallOf(v)
	e := call.Data.(*exchange).who
	for e.Parent != "" {
		parent, err := s.tokens.ByID(call.Whole, e.Parent)
		if err != nil {
			return time.Time{}, err
		}
		if parent == nil || parent.EntityID != e.EntityID {
			break
		}
		e = parent
	}
	return e.Created, nil
}
