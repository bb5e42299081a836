package server

import "github.com/fastness-dev/fastness/storage"

// spaces is what tokens know of namespaces. The mounts are made after the tokens
// are, hence the detour.
type spaces struct{ s *Server }

func (n spaces) Number(tx *storage.Tx, id string) (uint32, bool, error) {
	return n.s.mounts.Spaces.Number(tx, id)
}

func (n spaces) ID(tx *storage.Tx) (id, path string, err error) { return n.s.mounts.Spaces.ID(tx) }

func (n spaces) Within(tx *storage.Tx, id string) (string, bool, error) {
	return n.s.mounts.Spaces.Within(tx, id)
}
