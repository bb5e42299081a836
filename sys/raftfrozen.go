package sys

import (
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// Leases of a restored snapshot are frozen: the snapshot does not know what was
// renewed since it was taken, and would end what others still use. None ends by
// itself until an operator releases them; to revoke one by hand goes on working.

// rowRestored is in Core from a restore until the leases are released.
const rowRestored = "restored"

type restored struct {
	At time.Time `json:"at"` // when the snapshot was restored
}

// frozenFor is how long a frozen lease is put off at a time.
const frozenFor = 10 * time.Minute

// Frozen is the handler of leases whose time is up, as long as none may end.
func (s *System) Frozen(h schedule.Handler) schedule.Handler {
	return func(tx *storage.Tx, j schedule.Job) error {
		r, err := wasRestored(tx)
		if err != nil {
			return err
		}
		if r != nil {
			schedule.At(tx, s.Now().Add(frozenFor), j)
			return nil
		}
		return h(tx, j)
	}
}

func wasRestored(tx *storage.Tx) (*restored, error) {
	return storage.In[restored](tx.In(storage.Core), "").Get(rowRestored)
}

type frozenView struct {
	Frozen     bool       `json:"frozen"`
	RestoredAt *time.Time `json:"restored_at"`
}

// frozenLeases says whether leases are frozen, and since when.
func (s *System) frozenLeases(v engine.View, _ engine.None) (*frozenView, error) {
	r, err := wasRestored(engine.CallOf(v).Whole)
	if err != nil || r == nil {
		return &frozenView{}, err
	}
	return &frozenView{Frozen: true, RestoredAt: moment(r.At)}, nil
}

// releaseLeases lets them end. Those whose time is up do so within minutes.
func (s *System) releaseLeases(tx engine.Tx, _ engine.None) (engine.None, error) {
	whole := engine.CallOf(tx).Whole
	r, err := wasRestored(whole)
	if err == nil && r == nil {
		return engine.None{}, engine.Bad("no leases are frozen: none were restored from a snapshot since they were released last")
	}
	if err == nil {
		whole.In(storage.Core).Delete(rowRestored)
	}
	return engine.None{}, err
}
