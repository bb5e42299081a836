package crash

import (
	"context"
	"fmt"
	"testing"

	"github.com/fastness-dev/fastness/test/clients/target"
)

// overwritten is one v2 secret through its versions. Version n holds n, so
// that the version and the payload of a write can be held against each other.
// It keeps few enough versions that metadata still counts them all.
type overwritten struct {
	writer    int
	life      int // a new path before the server drops old versions
	acked     int // the last version that was acknowledged
	attempted int // the last that was sent: acked, or one more
	reported  int // overwrites acknowledged and already in the tally
	total     int // overwrites acknowledged
}

// keptVersions is how many versions a secret keeps when nobody says otherwise.
const keptVersions = 10

func newHot() []overwritten {
	hot := make([]overwritten, writers)
	for i := range hot {
		hot[i].writer = i
	}
	return hot
}

func (o *overwritten) write() write {
	return write{engine: v2, path: fmt.Sprintf("hot/w%d/%d", o.writer, o.life), n: o.attempted}
}

func (o *overwritten) put(ctx context.Context, s *target.Server) error {
	if o.acked == keptVersions {
		o.life++
		o.acked, o.attempted = 0, 0
	}
	o.attempted = o.acked + 1
	if err := o.write().put(ctx, s); err != nil {
		return err
	}
	o.acked = o.attempted
	o.total++
	return nil
}

// check wants the secret at the last acknowledged version or at the one in
// flight, payload and metadata of the same one. What it finds is where the
// next round goes on.
func (o *overwritten) check(ctx context.Context, t *testing.T, s *target.Server, sum *tally) {
	t.Helper()
	w := o.write()
	got, err := w.read(ctx, s)
	if got == nil {
		got = &found{}
	}
	switch {
	case err != nil:
		t.Errorf("%s: %v", w.url(), err)
	case got.version < o.acked:
		t.Errorf("%s: version %d was acknowledged, found version %d", w.url(), o.acked, got.version)
	case got.version > o.attempted || got.N != got.version || got.Twice != 2*got.version:
		t.Errorf("%s: version %d was the last one sent, found %+v", w.url(), o.attempted, *got)
	}
	sum.Overwrites += o.total - o.reported
	o.reported = o.total
	if o.attempted > o.acked {
		sum.Unacked++
		if got.version == o.attempted {
			sum.HotKept++
		}
	}
	o.acked, o.attempted = got.version, got.version
}
