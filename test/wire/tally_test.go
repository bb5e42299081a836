package wire

import (
	"fmt"
	"maps"
	"slices"
)

// waits counts exchanges by what they wait for.
type waits map[string]int

func (w waits) sorted() []string { return slices.Sorted(maps.Keys(w)) }

// A tally counts exchanges by how they ended.
type tally struct {
	same    int // as recorded
	wording int // of these, with other words where no client looks
	differ  int // otherwise, on purpose
	peers   int // known to the peer alone, and not sent
	failed  int
	waits   waits
}

func (t tally) String() string {
	waiting := 0
	for _, n := range t.waits {
		waiting += n
	}
	return fmt.Sprintf("%d as recorded (%d in other words), %d differ on purpose, %d are the peer's alone, %d wait, %d fail",
		t.same, t.wording, t.differ, t.peers, waiting, t.failed)
}

func (t *tally) add(o tally) {
	t.same += o.same
	t.wording += o.wording
	t.differ += o.differ
	t.peers += o.peers
	t.failed += o.failed
	if t.waits == nil {
		t.waits = waits{}
	}
	for why, n := range o.waits {
		t.waits[why] += n
	}
}
