package barrier

import (
	"fmt"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// The bounds of a RotateConfig, as Vault has them. The upper is 90 % of 2^32.
const (
	MinRotateOperations = 1_000_000
	MaxRotateOperations = 3_865_470_566
	MinRotateInterval   = 24 * time.Hour
)

// A RotateConfig says when a term ends by itself.
type RotateConfig struct {
	Enabled bool
	// MaxOperations is how many encryptions a term may count.
	MaxOperations uint64
	// Interval is how long a term may last; 0 is for ever.
	Interval time.Duration
}

// DefaultRotateConfig is that of a new keyring.
func DefaultRotateConfig() RotateConfig {
	return RotateConfig{Enabled: true, MaxOperations: MaxRotateOperations}
}

// Validate says what is wrong, in Vault's words.
func (c RotateConfig) Validate() error {
	if c.MaxOperations < MinRotateOperations || c.MaxOperations > MaxRotateOperations {
		return fmt.Errorf("max_operations must be in the range [%d,%d]", MinRotateOperations, MaxRotateOperations)
	}
	if c.Interval != 0 && c.Interval < MinRotateInterval {
		return fmt.Errorf("interval must be greater or equal to %s", MinRotateInterval)
	}
	return nil
}

// A KeyStatus describes the term in use.
type KeyStatus struct {
	Term uint32
	// InstallTime is when the term began.
	InstallTime time.Time
	// Encryptions is an estimate of those under all keys of the term: exact
	// for this process, as of the last stored change for others.
	Encryptions uint64
}

// KeyStatus returns the zero value and [storage.ErrSealed] while sealed.
func (b *Barrier) KeyStatus() (KeyStatus, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.state.Load()
	if st == nil {
		return KeyStatus{}, storage.ErrSealed
	}
	status := KeyStatus{Term: st.ring.term, InstallTime: st.ring.since, Encryptions: st.ring.retired}
	for _, k := range st.list() {
		if k.Term == status.Term {
			status.Encryptions += k.Encryptions
		}
	}
	return status, nil
}

// A KeyInfo describes a data key.
type KeyInfo struct {
	ID          uint32
	Term        uint32
	Installed   time.Time
	Encryptions uint64
}

// Keys returns the data keys, oldest first; the last one is in use.
func (b *Barrier) Keys() ([]KeyInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.state.Load()
	if st == nil {
		return nil, storage.ErrSealed
	}
	return st.list(), nil
}

func (st *state) list() []KeyInfo {
	infos := make([]KeyInfo, len(st.ring.keys))
	for i := range st.ring.keys {
		e := &st.ring.keys[i]
		infos[i] = KeyInfo{
			ID: e.id, Term: e.term, Installed: e.installed,
			Encryptions: max(e.encryptions, st.keys[e.id].encryptions()),
		}
	}
	return infos
}

// Unsaved is how many encryptions a crash would leave uncounted: those since
// the last stored change. It is 0 while sealed.
func (b *Barrier) Unsaved() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.state.Load()
	if st == nil {
		return 0
	}
	var unsaved uint64
	for i, k := range st.list() {
		unsaved += k.Encryptions - st.ring.keys[i].encryptions
	}
	return unsaved
}

// RotateConfig returns the zero value and [storage.ErrSealed] while sealed.
func (b *Barrier) RotateConfig() (RotateConfig, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.state.Load()
	if st == nil {
		return RotateConfig{}, storage.ErrSealed
	}
	return st.ring.rotate, nil
}

// RotationDue says whether the term should end by now. It is false while
// sealed.
func (b *Barrier) RotationDue(now time.Time) bool {
	status, err := b.KeyStatus()
	if err != nil {
		return false
	}
	config, err := b.RotateConfig()
	if err != nil || !config.Enabled {
		return false
	}
	aged := config.Interval > 0 && now.Sub(status.InstallTime) >= config.Interval
	return aged || status.Encryptions >= config.MaxOperations
}
