package quota

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// Rows of storage.Quotas.
const (
	rowConfig = "config"
	rowsRate  = "rate/"  // by name
	rowLeases = "leases" // all lease-count quotas
)

// KindRate is the kind of a rate limit, as it is shown.
const KindRate = "rate-limit"

// Settings are what holds for all rate limits, as of a transaction.
func Settings(tx *storage.Tx) (*Config, error) {
	c, err := storage.In[Config](tx.In(storage.Quotas), "").Get(rowConfig)
	if err != nil {
		return nil, fmt.Errorf("read quota configuration: %w", err)
	}
	if c == nil {
		c = &Config{Exempt: DefaultExempt()}
	}
	return c, nil
}

// SetSettings replaces them.
func SetSettings(tx *storage.Tx, c *Config) {
	storage.In[Config](tx.In(storage.Quotas), "").Put(rowConfig, c)
}

func rates(tx *storage.Tx) storage.Table[Rate] {
	return storage.In[Rate](tx.In(storage.Quotas), rowsRate)
}

// RateNames lists the rate limits.
func RateNames(tx *storage.Tx) ([]string, error) { return rates(tx).Names("", "") }

// RateOf gives the rate limit of a name, or nil.
func RateOf(tx *storage.Tx, name string) (*Rate, error) { return rates(tx).Get(name) }

// SetRate stores a rate limit. No two may have the same scope.
func SetRate(tx *storage.Tx, r *Rate) error {
	table := rates(tx)
	names, err := table.Names("", "")
	if err != nil {
		return err
	}
	for _, n := range names {
		other, err := table.Get(n)
		if err != nil {
			return err
		}
		if n != r.Name && other.same(&r.Scope) {
			return engine.Bad("quota rule with similar properties exists under the name %q", n)
		}
	}
	r.ID = drawID()
	table.Put(r.Name, r)
	return nil
}

// DropRate removes a rate limit.
func DropRate(tx *storage.Tx, name string) { rates(tx).Delete(name) }

func drawID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // does not fail
	return binary.BigEndian.Uint64(b[:])
}

// Moved has the quotas of a mount follow it to another path, as it is seen from
// the namespace that tx sees. An empty path is none: the mount is gone, and its
// quotas with it.
func Moved(tx *storage.Tx, namespace, from, to string) error {
	return move(tx, func(s *Scope) (keep, changed bool) {
		if s.Namespace != namespace || s.Mount != from {
			return true, false
		}
		s.Mount, s.Path = to, namespace+to+s.tail()
		return to != "", true
	})
}

// tail is what stands behind the mount in the path of a scope.
func (s *Scope) tail() string {
	if s.Glob {
		return s.Rest + "*"
	}
	return s.Rest
}

// Left removes the quotas of a namespace that is gone.
func Left(tx *storage.Tx, namespace string) error {
	return move(tx, func(s *Scope) (keep, changed bool) {
		gone := s.Namespace == namespace
		return !gone, gone
	})
}

// move changes the scopes of all quotas. A quota that f does not keep is removed.
func move(tx *storage.Tx, f func(*Scope) (keep, changed bool)) error {
	table := rates(tx)
	names, err := table.Names("", "")
	if err != nil {
		return fmt.Errorf("list quotas: %w", err)
	}
	for _, n := range names {
		r, err := table.Get(n)
		if err != nil {
			return fmt.Errorf("read quota: %w", err)
		}
		switch keep, changed := f(&r.Scope); {
		case !keep:
			table.Delete(n)
		case changed:
			table.Put(n, r)
		}
	}
	return changeLeases(tx, func(c *counted) error {
		some := false
		c.Quotas = slices.DeleteFunc(c.Quotas, func(q *Leases) bool {
			keep, changed := f(&q.Scope)
			if some = some || changed; !keep {
				uncount(tx, q.ID)
			}
			return !keep
		})
		if !some {
			return errUnchanged
		}
		return nil
	})
}
