package quota

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// Rows of storage.Quotas.
const (
	rowConfig = "config"
	rowsRate  = "rate/" // by name
)

// Kinds of quotas, as their type is shown.
const (
	KindRate = "rate-limit"
)

// scoped is a quota of some kind.
type scoped[T any] interface {
	*T
	scope() *Scope
}

func (r *Rate) scope() *Scope { return &r.Scope }

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
	if err := alone(rates(tx), r.Name, &r.Scope); err != nil {
		return err
	}
	r.ID = drawID()
	rates(tx).Put(r.Name, r)
	return nil
}

// DropRate removes a rate limit.
func DropRate(tx *storage.Tx, name string) { rates(tx).Delete(name) }

func drawID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // does not fail
	return binary.BigEndian.Uint64(b[:])
}

// alone refuses a scope that another quota of the kind has.
func alone[T any, P scoped[T]](table storage.Table[T], name string, s *Scope) error {
	names, err := table.Names("", "")
	if err != nil {
		return err
	}
	for _, n := range names {
		if n == name {
			continue
		}
		q, err := table.Get(n)
		if err != nil {
			return err
		}
		if P(q).scope().same(s) {
			return engine.Bad("quota rule with similar properties exists under the name %q", n)
		}
	}
	return nil
}

// Moved has the quotas of a mount follow it to another path, as it is seen from
// the namespace that tx sees. An empty path is none: the mount is gone, and its
// quotas with it.
func Moved(tx *storage.Tx, namespace, from, to string) error {
	return move[Rate](rates(tx), func(s *Scope) (keep, changed bool) {
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
	return move[Rate](rates(tx), func(s *Scope) (keep, changed bool) {
		gone := s.Namespace == namespace
		return !gone, gone
	})
}

func move[T any, P scoped[T]](table storage.Table[T], f func(*Scope) (keep, changed bool)) error {
	names, err := table.Names("", "")
	if err != nil {
		return fmt.Errorf("list quotas: %w", err)
	}
	for _, n := range names {
		q, err := table.Get(n)
		if err != nil {
			return fmt.Errorf("read quota: %w", err)
		}
		switch keep, changed := f(P(q).scope()); {
		case !keep:
			table.Delete(n)
		case changed:
			table.Put(n, q)
		}
	}
	return nil
}
