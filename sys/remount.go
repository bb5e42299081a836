package sys

import (
	"strings"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/engine"
)

type remountRequest struct {
	From string `json:"from" doc:"Path of the mount."`
	To   string `json:"to" doc:"Path that it is to have."`
}

type migrationID struct {
	ID string `json:"migration_id"`
}

// A migration is a move of a mount, as its status is kept.
type migration struct {
	Source string `json:"source_mount"`
	Target string `json:"target_mount"`
	Status string `json:"status"`
}

type migrationStatus struct {
	ID   string     `json:"migration_id"`
	Info *migration `json:"migration_info"`
}

// remount moves a mount. It is done when it is answered: what the mount stores
// goes by its number, not by its path. What was lent under the old path ends.
func (s *System) remount(tx engine.Tx, req remountRequest) (*migrationID, error) {
	if req.From == "" || req.To == "" {
		return nil, engine.Bad("both 'from' and 'to' path must be specified as a string")
	}
	from, to := strings.Trim(req.From, "/")+"/", strings.Trim(req.To, "/")+"/"
	if strings.ContainsAny(to, " \t") || strings.ContainsFunc(to, unprintable) {
		return nil, engine.Bad("'to' path cannot contain whitespace")
	}
	if fixed(from) {
		return nil, engine.Bad("cannot remount %q", from)
	}
	fromAuth, toAuth := strings.HasPrefix(from, "auth/"), strings.HasPrefix(to, "auth/")
	if fromAuth != toAuth || fixed(to) || to == "auth/" {
		return nil, engine.Bad("cannot remount to destination %s", to)
	}
	face := secretTable
	if fromAuth {
		face = authTable
	}
	if err := face.checkPath(strings.TrimPrefix(to, face.prefix)); err != nil {
		return nil, err
	}
	table, err := s.mountTable(tx)
	if err != nil {
		return nil, err
	}
	l := table.At(from)
	switch {
	case l == nil:
		return nil, engine.Bad("no matching mount at %q", from)
	case table.At(to) != nil:
		return nil, engine.Bad("path already in use at %q", to)
	}
	whole := engine.CallOf(tx).Whole
	if err := s.Leases.RevokePrefix(whole, from, false); err != nil {
		return nil, err
	}
	if err := s.Mounts.Move(whole, l.Entry, to); err != nil {
		return nil, err
	}
	if err := s.quotasMoved(whole, from, to); err != nil {
		return nil, err
	}
	id := uuid.NewString()
	engine.Table[migration](tx, "remount/").Put(id, &migration{from, to, "success"})
	tx.Warn("Mount move has been queued. Progress will be reported in Vault's server log, tagged with the returned migration_id")
	return &migrationID{id}, nil
}

type migrationPath struct {
	ID string `path:"migration_id" doc:"The id that the move was answered with."`
}

func (s *System) remountStatus(v engine.View, req migrationPath) (*migrationStatus, error) {
	m, err := engine.Table[migration](v, "remount/").Get(req.ID)
	if err != nil || m == nil {
		return nil, err
	}
	return &migrationStatus{req.ID, m}, nil
}

func remountRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Write("remount", (*System).remount).Sudo().TopLevel().Doc("Move a mount to another path."),
		engine.Read("remount/status/{migration_id}", (*System).remountStatus).Doc("Say how a move stands."),
	}
}
