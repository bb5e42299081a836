package sys

import (
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// A namespace that is deleted is gone for everybody at once, but its rows stay
// until all that it lent has been undone. What cannot be is shown at
// sys/namespace-deletions, which Vault does not have, to those in a namespace
// above; they can also have it forgotten there.

// deletedAlready answers a deletion of what is not there.
func (s *System) deletedAlready(v engine.Tx, path string) (*engine.Answer, error) {
	ends, err := s.deleting(v)
	if err != nil {
		return nil, err
	}
	for _, n := range ends {
		if n.Path == engine.CallOf(v).By.Namespace+strings.Trim(path, "/")+"/" {
			v.Warn("the namespace is being deleted; sys/namespace-deletions/%s tells what it waits for", n.UUID)
			return &engine.Answer{Data: deletion{"in-progress"}}, nil
		}
	}
	v.Warn("requested namespace does not exist")
	return nil, nil
}

// deleting are the namespaces below that of the request which are being deleted.
func (s *System) deleting(v engine.View) ([]*mount.Namespace, error) {
	tx := engine.CallOf(v).Whole
	tree, err := s.Mounts.Spaces.Tree(tx)
	if err != nil {
		return nil, err
	}
	return tree.Deleting(tree.ByNumber(tx.Namespace()).Path), nil
}

type deletionInfo struct {
	ID          string `json:"id"`
	Path        string `json:"path"`
	Irrevocable int    `json:"irrevocable_leases"` // what it waits for, and could not be undone so far
	Forced      bool   `json:"forced"`
}

type deletionView struct {
	deletionInfo
	UUID   string        `json:"uuid"`
	Leases []irrevocable `json:"leases"`
}

// deletionOf tells what a namespace waits for, with up to n leases by name.
func (s *System) deletionOf(tx *storage.Tx, n *mount.Namespace, limit int) (*deletionView, error) {
	list, byMount, err := s.Leases.Irrevocable(tx.Of(n.Number), limit)
	if err != nil {
		return nil, err
	}
	d := &deletionView{UUID: n.UUID, deletionInfo: deletionInfo{ID: n.ID, Path: n.Path, Irrevocable: sum(byMount), Forced: n.Forced}, Leases: []irrevocable{}}
	for _, l := range list {
		d.Leases = append(d.Leases, irrevocable{l.ID, l.Mount, l.Failure})
	}
	return d, nil
}

func (s *System) listDeletions(v engine.View, _ engine.None) (engine.Keys, error) {
	ends, err := s.deleting(v)
	k := engine.Keys{Info: map[string]any{}}
	for _, n := range ends {
		d, err := s.deletionOf(engine.CallOf(v).Whole, n, 0)
		if err != nil {
			return k, err
		}
		k.Keys = append(k.Keys, n.UUID)
		k.Info[n.UUID] = d.deletionInfo
	}
	return k, err
}

type deletionID struct {
	UUID string `path:"uuid" doc:"UUID of the namespace."`
}

// deletionAt finds a namespace that is being deleted; nil when there is none.
func (s *System) deletionAt(v engine.View, uuid string) (*mount.Namespace, error) {
	ends, err := s.deleting(v)
	for _, n := range ends {
		if n.UUID == uuid {
			return n, err
		}
	}
	return nil, err
}

func (s *System) readDeletion(v engine.View, req deletionID) (*deletionView, error) {
	n, err := s.deletionAt(v, req.UUID)
	if err != nil || n == nil {
		return nil, err
	}
	return s.deletionOf(engine.CallOf(v).Whole, n, listedLeases)
}

func (s *System) forceDeletion(v engine.Tx, req deletionID) (engine.None, error) {
	n, err := s.deletionAt(v, req.UUID)
	if err == nil && n == nil {
		err = engine.Missing("no namespace with this uuid is being deleted")
	}
	if err != nil {
		return engine.None{}, err
	}
	s.Mounts.Spaces.Force(engine.CallOf(v).Whole, n)
	return engine.None{}, nil
}

// longestWait is how long a namespace that is being deleted is left alone at most.
const longestWait = time.Minute

// FinishNamespace goes on deleting a namespace: what it lent is undone first,
// and everything else ends with its rows.
func (s *System) FinishNamespace(tx *storage.Tx, j schedule.Job) error {
	return s.Mounts.Spaces.Finish(tx, j, func(tx *storage.Tx, n *mount.Namespace, after string) (r mount.Rest, err error) {
		var wait bool
		if r.After, wait, err = s.Leases.Empty(tx, after, n.Forced); wait {
			r.Again = s.Leases.Now().Add(min(endPause<<min(j.Attempts, 8), longestWait))
		}
		return r, err
	})
}

func deletionRoutes() engine.Routes[System] {
	const at = "namespace-deletions"
	return engine.Routes[System]{
		engine.List(at, (*System).listDeletions).Doc("List the namespaces below that are being deleted."),
		engine.Read(at+"/{uuid}", (*System).readDeletion).Sudo().Doc("Show what a namespace that is being deleted waits for."),
		engine.Write(at+"/{uuid}/force", (*System).forceDeletion).Sudo().Doc("Forget what a namespace that is being deleted cannot undo."),
	}
}
