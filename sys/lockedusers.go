package sys

import (
	"cmp"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
)

type lockedUsersRequest struct {
	Accessor string `json:"mount_accessor" doc:"Of the mount whose users to list; all if empty."`
	Limit    int    `json:"limit" doc:"How many users to list at most; 0 is all."`
}

type lockedUsers struct {
	Spaces []lockedSpace `json:"by_namespace"`
	Total  int           `json:"total"`
}

type lockedSpace struct {
	ID     string        `json:"namespace_id"`
	Path   string        `json:"namespace_path"`
	Counts int           `json:"counts"`
	Mounts []lockedMount `json:"mount_accessors"`
}

type lockedMount struct {
	Accessor string   `json:"mount_accessor"`
	Counts   int      `json:"counts"`
	Users    []string `json:"alias_identifiers"`
}

// listLockedUsers tells who is locked out, in the request's namespace and those
// below it.
func (s *System) listLockedUsers(v engine.View, req lockedUsersRequest) (*lockedUsers, error) {
	if req.Limit < 0 {
		return nil, engine.Bad("'limit' cannot be negative")
	}
	tx := engine.CallOf(v).Whole
	tree, err := s.Mounts.Spaces.Tree(tx)
	if err != nil {
		return nil, err
	}
	a := &lockedUsers{Spaces: []lockedSpace{}}
	for _, n := range withBelow(tree, tree.ByNumber(tx.Namespace())) {
		left := 0
		if req.Limit > 0 {
			if left = req.Limit - a.Total; left == 0 {
				break
			}
		}
		space, err := s.lockedIn(tx.Of(n.Number), req.Accessor, left, v.Now())
		if err != nil {
			return nil, err
		}
		if space.ID, space.Path = n.ID, n.Path; space.Counts > 0 {
			a.Spaces = append(a.Spaces, space)
			a.Total += space.Counts
		}
	}
	return a, nil
}

// withBelow are a namespace and all below it, in order of their paths.
func withBelow(tree *mount.Tree, n *mount.Namespace) []*mount.Namespace {
	all := []*mount.Namespace{n}
	for _, b := range tree.Below(n.Path) {
		all = append(all, withBelow(tree, b)...)
	}
	return all
}

// lockedIn tells who is locked out at the mounts of one namespace: limit users
// at most, all if it is 0.
func (s *System) lockedIn(tx *storage.Tx, accessor string, limit int, now time.Time) (lockedSpace, error) {
	var space lockedSpace
	accessors, err := quota.LockedAt(tx)
	if err != nil {
		return space, err
	}
	table, err := s.Mounts.Table(tx)
	if err != nil {
		return space, err
	}
	for _, at := range accessors {
		gone := !slices.ContainsFunc(table.All(), func(l *mount.Live) bool { return l.Accessor == at })
		if gone || accessor != "" && at != accessor {
			continue
		}
		users, err := quota.Locked(tx, at, now)
		if err != nil {
			return space, err
		}
		if limit > 0 {
			users = users[:min(len(users), limit-space.Counts)]
		}
		if len(users) > 0 {
			space.Mounts = append(space.Mounts, lockedMount{at, len(users), users})
			space.Counts += len(users)
		}
	}
	slices.SortFunc(space.Mounts, func(a, b lockedMount) int { return cmp.Compare(b.Counts, a.Counts) })
	return space, nil
}

type lockedUser struct {
	Accessor string `path:"mount_accessor" doc:"Of the mount that the user logs in at."`
	Alias    string `path:"alias_identifier" doc:"Name that the mount knows the user by."`
}

// unlockUser lets a user try again. It says the same whether or not there is
// such a mount or user.
func (s *System) unlockUser(v engine.Tx, req lockedUser) (engine.None, error) {
	u := quota.User{Accessor: req.Accessor, Alias: req.Alias}
	return engine.None{}, quota.Unlock(engine.CallOf(v).Whole, u)
}

func lockedUserRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Read("locked-users", (*System).listLockedUsers).Doc("List the users who are locked out after they failed to log in."),
		engine.Write("locked-users/{mount_accessor}/unlock/{alias_identifier...}", (*System).unlockUser).Doc("Let a user log in again."),
	}
}
