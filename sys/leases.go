package sys

import (
	"time"

	"github.com/fastness-dev/fastness/lease"
)

// leases are the leases of this system.
func (s *System) leases() *lease.Store { return &lease.Store{Tokens: s.Tokens, Now: time.Now} }
