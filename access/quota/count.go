package quota

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Leases is a lease-count quota: at most Max leases at a time, those of tokens
// included.
type Leases struct {
	Name  string `json:"name"`
	ID    uint64 `json:"id"` // of its count; drawn anew with another scope
	Scope `json:"scope"`
	Max   int64 `json:"max_leases"`
}

// KindLeases is the kind of a lease-count quota, as it is shown.
const KindLeases = "lease-count"

// counted is the row of storage.Quotas that holds all lease-count quotas: every
// lease that is made asks for them, and mostly there are none.
type counted struct {
	Quotas []*Leases `json:"quotas"`

	once  sync.Once
	index index[Leases]
}

func (c *counted) find(l *Lent) *Leases {
	c.once.Do(func() {
		for _, q := range c.Quotas {
			c.index.add(&q.Scope, q)
		}
	})
	if l.Role != "" {
		if w, _ := c.index.at(l.Namespace, l.Path); w != nil {
			if q := w.roles[l.Role]; q != nil {
				return q
			}
		}
	}
	return c.index.find(l.Namespace, l.Path)
}

func (c *counted) byID(id uint64) *Leases {
	for _, q := range c.Quotas {
		if q.ID == id {
			return q
		}
	}
	return nil
}

func (c *counted) byName(name string) int {
	return slices.IndexFunc(c.Quotas, func(q *Leases) bool { return q.Name == name })
}

func leaseQuotas(tx *storage.Tx) (*counted, error) {
	c, err := storage.In[counted](tx.In(storage.Quotas), "").Peek(rowLeases)
	if err != nil {
		return nil, fmt.Errorf("read lease-count quotas: %w", err)
	}
	return c, nil
}

// AllLeases are the lease-count quotas, in order of their names. They are not to
// be changed.
func AllLeases(tx *storage.Tx) ([]*Leases, error) {
	c, err := leaseQuotas(tx)
	if err != nil || c == nil {
		return nil, err
	}
	return c.Quotas, nil
}

// errUnchanged, of a function that was to change the quotas, leaves them alone:
// every lease that is being made has read them.
var errUnchanged = errors.New("nothing has changed")

// changeLeases has f change the lease-count quotas.
func changeLeases(tx *storage.Tx, f func(c *counted) error) error {
	table := storage.In[counted](tx.In(storage.Quotas), "")
	c, err := table.Get(rowLeases)
	if err != nil {
		return fmt.Errorf("read lease-count quotas: %w", err)
	}
	if c == nil {
		c = &counted{}
	}
	switch err := f(c); {
	case errors.Is(err, errUnchanged):
		return nil
	case err != nil:
		return err
	}
	if len(c.Quotas) == 0 {
		table.Delete(rowLeases)
		return nil
	}
	table.Put(rowLeases, c)
	return nil
}

// SetLeases stores a lease-count quota. No two may have the same scope. scopes
// are those whose leases lie in another quota than before, and are to be counted
// again.
func SetLeases(tx *storage.Tx, q *Leases) (scopes []Scope, err error) {
	err = changeLeases(tx, func(c *counted) error {
		for _, other := range c.Quotas {
			if other.Name != q.Name && other.same(&q.Scope) {
				return engine.Bad("quota rule with similar properties exists under the name %q", other.Name)
			}
		}
		i := c.byName(q.Name)
		if i < 0 {
			q.ID = drawID()
			c.Quotas = append(c.Quotas, q)
			slices.SortFunc(c.Quotas, func(a, b *Leases) int { return cmp.Compare(a.Name, b.Name) })
			scopes = []Scope{q.Scope}
			return nil
		}
		old := c.Quotas[i]
		c.Quotas[i] = q
		if old.same(&q.Scope) && old.Inheritable == q.Inheritable {
			q.ID = old.ID
			return resize(tx, old, q.Max)
		}
		q.ID = drawID()
		scopes = []Scope{old.Scope, q.Scope}
		uncount(tx, old.ID)
		return nil
	})
	return scopes, err
}

// DropLeases removes a lease-count quota.
func DropLeases(tx *storage.Tx, name string) (scopes []Scope, err error) {
	err = changeLeases(tx, func(c *counted) error {
		i := c.byName(name)
		if i < 0 {
			return errUnchanged
		}
		scopes = []Scope{c.Quotas[i].Scope}
		uncount(tx, c.Quotas[i].ID)
		c.Quotas = slices.Delete(c.Quotas, i, i+1)
		return nil
	})
	return scopes, err
}

// A Lent is a lease, as far as quotas go by it.
type Lent struct {
	Namespace string // path of the namespace
	Path      string // of the request that made it, in the namespace
	Role      string // of the login that gave the token, if it is one
}

// Took counts a lease that is being made, or refuses it. The id is of the quota
// that counts it, 0 if none does: it is to be kept with the lease, for Gave.
func Took(tx *storage.Tx, l Lent) (id uint64, err error) {
	c, err := leaseQuotas(tx)
	if err != nil || c == nil {
		return 0, err
	}
	q := c.find(&l)
	if q == nil {
		return 0, nil
	}
	switch err := (counter{tx, q}).take(); {
	case errors.Is(err, errFull):
		return 0, &Full{Quota: q.Name, told: &api.Error{Status: http.StatusTooManyRequests,
			Errors: []string{fmt.Sprintf("request path %q: lease count quota exceeded", l.Path)}}}
	case err != nil:
		return 0, err
	}
	return q.ID, nil
}

// Full says that a lease-count quota refused a lease.
type Full struct {
	Quota string // its name
	told  *api.Error
}

func (e *Full) Error() string { return e.told.Error() }

// Unwrap is what the client is told.
func (e *Full) Unwrap() error { return e.told }

// Gave counts a lease that has ended. id is what Took gave.
func Gave(tx *storage.Tx, id uint64) error {
	if id == 0 {
		return nil
	}
	c, err := leaseQuotas(tx)
	if err != nil || c == nil {
		return err
	}
	if q := c.byID(id); q != nil {
		return counter{tx, q}.give()
	}
	return nil // the quota is gone, and its count with it
}

// Again counts a lease that is there anew, after quotas were changed. was is the
// id that it has; the one it gets may be another. It is not refused: a quota that
// is beyond its maximum lets nothing new pass until it is below.
func Again(tx *storage.Tx, l Lent, was uint64) (id uint64, err error) {
	c, err := leaseQuotas(tx)
	if err != nil {
		return was, err
	}
	var q *Leases
	if c != nil {
		q = c.find(&l)
	}
	if q != nil && q.ID == was {
		return was, nil
	}
	if err := Gave(tx, was); err != nil || q == nil {
		return 0, err
	}
	return q.ID, counter{tx, q}.force()
}

// A counter counts the leases of a quota in rows of storage.Counts:
//
//	<id>/<shard>   how many more the shard may take; absent is its share of Max
//	<id>/over      how many there are beyond Max; absent is none
//
// What is free is spread, so that leases made at the same time seldom touch the
// same row, and a shard that has nothing left takes from another. While there is
// anything over, nothing is free.
type counter struct {
	tx *storage.Tx
	q  *Leases
}

const countShards = 16

var errFull = errors.New("the quota is exhausted")

func countRow(id uint64, shard int) string {
	return strconv.FormatUint(id, 36) + "/" + strconv.Itoa(shard)
}

func overRow(id uint64) string { return strconv.FormatUint(id, 36) + "/over" }

// share is what a shard has of n.
func share(n int64, shard int) int64 {
	if int64(shard) < n%countShards {
		return n/countShards + 1
	}
	return n / countShards
}

func (c counter) number(row string, absent int64) (int64, error) {
	b, err := c.tx.In(storage.Counts).Get(row)
	if err != nil {
		return 0, fmt.Errorf("read count of leases: %w", err)
	}
	if b == nil {
		return absent, nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("decode count of leases: %w", err)
	}
	return n, nil
}

func (c counter) free(shard int) (int64, error) {
	return c.number(countRow(c.q.ID, shard), share(c.q.Max, shard))
}

func (c counter) over() (int64, error) { return c.number(overRow(c.q.ID), 0) }

func (c counter) set(row string, n int64) {
	c.tx.In(storage.Counts).Put(row, strconv.AppendInt(nil, n, 10))
}

// take takes one of what is free.
func (c counter) take() error {
	first := rand.IntN(countShards) //nolint:gosec // which row is no secret
	for i := range countShards {
		shard := (first + i) % countShards
		free, err := c.free(shard)
		if err != nil {
			return err
		}
		if free <= 0 {
			continue
		}
		if i > 0 { // half of what is left here moves where it was looked for
			moved := (free - 1) / 2
			free -= moved
			c.set(countRow(c.q.ID, first), moved)
		}
		c.set(countRow(c.q.ID, shard), free-1)
		return nil
	}
	return errFull
}

// force takes one even if nothing is free.
func (c counter) force() error {
	err := c.take()
	if !errors.Is(err, errFull) {
		return err
	}
	over, err := c.over()
	if err == nil {
		c.set(overRow(c.q.ID), over+1)
	}
	return err
}

func (c counter) give() error {
	over, err := c.over()
	if err != nil {
		return err
	}
	if over > 0 {
		c.set(overRow(c.q.ID), over-1)
		return nil
	}
	shard := rand.IntN(countShards) //nolint:gosec // which row is no secret
	free, err := c.free(shard)
	if err == nil {
		c.set(countRow(c.q.ID, shard), free+1)
	}
	return err
}

// Held is how many leases a quota counts.
func Held(tx *storage.Tx, q *Leases) (int64, error) {
	c := counter{tx, q}
	n, err := c.over()
	if err != nil {
		return 0, err
	}
	n += q.Max
	for shard := range countShards {
		free, err := c.free(shard)
		if err != nil {
			return 0, err
		}
		n -= free
	}
	return n, nil
}

// resize gives a quota another maximum, whatever it counts already.
func resize(tx *storage.Tx, q *Leases, limit int64) error {
	n, err := Held(tx, q)
	if err != nil {
		return err
	}
	c := counter{tx, q}
	c.set(overRow(q.ID), max(n-limit, 0))
	for shard := range countShards {
		c.set(countRow(q.ID, shard), share(max(limit-n, 0), shard))
	}
	return nil
}

// uncount removes a count.
func uncount(tx *storage.Tx, id uint64) {
	rows := tx.In(storage.Counts)
	rows.Delete(overRow(id))
	for shard := range countShards {
		rows.Delete(countRow(id, shard))
	}
}
