package mount

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// epoch is a time at which everything is due.
var epoch = time.Unix(0, 0)

// KindDelete is the job that goes on deleting a namespace, whose UUID is its id,
// with where to go on behind it.
const KindDelete = "namespace"

// All gives the namespaces, and those that are being deleted.
func (t *Tree) All() []*Namespace {
	return slices.AppendSeq(slices.Clone(t.doomed), maps.Values(t.byNumber))
}

// Deleting gives the namespaces below one that are being deleted.
func (t *Tree) Deleting(below string) []*Namespace {
	var list []*Namespace
	for _, n := range t.doomed {
		if n.Path != below && strings.HasPrefix(n.Path, below) {
			list = append(list, n)
		}
	}
	return list
}

// Delete dooms a namespace: from this transaction on nobody finds it or any of
// its tokens, and the schedule removes what it holds.
func (s *Namespaces) Delete(tx *storage.Tx, n *Namespace) error {
	t, err := s.Tree(tx)
	if err != nil {
		return err
	}
	if len(t.Below(n.Path)) > 0 {
		return engine.Bad("unable to delete namespace containing child namespaces")
	}
	doomed := *n
	doomed.Doomed = true
	s.put(tx, &doomed)
	schedule.At(tx.Of(0), epoch, schedule.Job{Kind: KindDelete, ID: n.UUID})
	return nil
}

// Force has what a doomed namespace waits for tried once more, and then forgotten.
func (s *Namespaces) Force(tx *storage.Tx, n *Namespace) {
	forced := *n
	forced.Forced = true
	s.put(tx, &forced)
	schedule.At(tx.Of(0), epoch, schedule.Job{Kind: KindDelete, ID: n.UUID})
}

// A Rest says how to go on with a namespace that is being deleted. The zero Rest is
// that nothing is left.
type Rest struct {
	After string    // where to go on
	Again time.Time // not before; zero is at once
}

// Finish goes on removing what a doomed namespace held. empty is asked first, in
// the namespace: it ends what must be ended outside, and says what is left.
func (s *Namespaces) Finish(tx *storage.Tx, j schedule.Job, empty func(tx *storage.Tx, n *Namespace, after string) (Rest, error)) error {
	id, after, _ := strings.Cut(j.ID, "\x1f")
	table := storage.In[Namespace](tx.In(storage.Namespaces), "entry/")
	n, err := table.Get(id)
	if err != nil || n == nil || !n.Doomed {
		return err
	}
	rest, err := empty(tx.Of(n.Number), n, after)
	if err != nil {
		return err
	}
	if rest.After == "" {
		tx.DropNamespace(n.Number)
		table.Delete(id)
		return nil
	}
	next := schedule.Job{Kind: KindDelete, ID: id + "\x1f" + rest.After}
	if rest.Again.IsZero() {
		rest.Again = epoch
	} else {
		next.Attempts = j.Attempts + 1
	}
	schedule.At(tx.Of(0), rest.Again, next)
	return nil
}
