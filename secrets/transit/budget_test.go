//go:build !race

// The race detector makes pools drop items at random, so budgets of
// allocations hold without it only.

package transit

import "testing"

func TestAllocations(t *testing.T) {
	for _, m := range bodies(t) {
		m.in(func(run func()) {
			if n := testing.AllocsPerRun(100, run); n > m.allocations {
				t.Errorf("%s allocates %v times, not %v", m.name, n, m.allocations)
			}
		})
	}
}
