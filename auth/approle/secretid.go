package approle

import (
	"fmt"
	"strconv"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A secret is what is known of a secret-id besides itself.
type secret struct {
	Role       string            `json:"role"` // its Key
	Accessor   string            `json:"accessor"`
	Created    time.Time         `json:"created"`
	Expires    time.Time         `json:"expires,omitzero"` // zero is never
	TTL        time.Duration     `json:"ttl,omitempty"`
	NumUses    int               `json:"num_uses,omitempty"` // at the start; 0 is no limit
	Metadata   map[string]string `json:"metadata,omitempty"`
	CIDRs      []string          `json:"cidrs,omitempty"`
	TokenCIDRs []string          `json:"token_cidrs,omitempty"`
}

func secrets(v engine.View) storage.Table[secret] { return engine.Table[secret](v, "sid/") }

func usesPath(id string) string { return "uses/" + id }

func accessorPath(role, accessor string) string { return "acc/" + role + "/" + accessor }

func (s *secret) expired(now time.Time) bool { return !s.Expires.IsZero() && !now.Before(s.Expires) }

// find gives a secret-id of a role, shared, with the MAC it is stored under; nil
// when there is none that is good.
func find(v engine.View, key []byte, role, value string) (*secret, string, error) {
	id := mac(key, "secret-id", role, value)
	s, err := secrets(v).Peek(id)
	if err != nil || s == nil || s.expired(v.Now()) {
		return nil, id, err
	}
	return s, id, nil
}

// byAccessor is find for those who know the accessor.
func byAccessor(v engine.View, role, accessor string) (*secret, string, error) {
	id, err := v.Get(accessorPath(role, accessor))
	if err != nil || id == nil {
		return nil, "", err
	}
	s, err := secrets(v).Peek(string(id))
	if err != nil || s == nil || s.expired(v.Now()) {
		return nil, "", err
	}
	return s, string(id), nil
}

// left is how many logins a secret-id is good for; 0 is no limit.
func left(v engine.View, id string, s *secret) (int, error) {
	if s.NumUses == 0 {
		return 0, nil
	}
	b, err := v.Get(usesPath(id))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(b))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("uses of a secret-id are %q", b)
	}
	return n, nil
}

// spend takes one login off a secret-id, and removes it with the last.
func spend(tx engine.Tx, id string, s *secret) error {
	n, err := left(tx, id, s)
	switch {
	case err != nil || s.NumUses == 0:
		return err
	case n == 1:
		remove(tx, id, s)
	default:
		tx.Put(usesPath(id), strconv.AppendInt(nil, int64(n-1), 10))
	}
	return nil
}

// add stores a secret-id that is not there yet.
func add(tx engine.Tx, id string, s *secret) {
	secrets(tx).Put(id, s)
	tx.Put(accessorPath(s.Role, s.Accessor), []byte(id))
	if s.NumUses > 0 {
		tx.Put(usesPath(id), strconv.AppendInt(nil, int64(s.NumUses), 10))
	}
	if !s.Expires.IsZero() {
		tx.At(s.Expires, "expire", id)
	}
}

func remove(tx engine.Tx, id string, s *secret) {
	secrets(tx).Delete(id)
	tx.Delete(accessorPath(s.Role, s.Accessor))
	if s.NumUses > 0 {
		tx.Delete(usesPath(id))
	}
	if !s.Expires.IsZero() {
		tx.Cancel("expire", id)
	}
}

// expire removes a secret-id whose time is up. The due index rounds down to the
// millisecond.
func (e *Engine) expire(tx engine.Tx, id string) error {
	s, err := secrets(tx).Get(id)
	if err != nil || s == nil || s.Expires.IsZero() {
		return err
	}
	if tx.Now().Before(s.Expires.Truncate(time.Millisecond)) {
		tx.At(s.Expires, "expire", id)
		return nil
	}
	remove(tx, id, s)
	return nil
}

// page is how many secret-ids a job removes in one transaction.
const page = 1024

// sweep removes the secret-ids of a role that is gone.
func (e *Engine) sweep(tx engine.Tx, role string) error {
	n := 0
	for accessor, err := range tx.Children("acc/"+role, "") {
		if err != nil {
			return err
		}
		if n++; n > page {
			tx.At(tx.Now(), "sweep", role)
			return nil
		}
		id, err := tx.Get(accessorPath(role, accessor))
		if err != nil || id == nil {
			return err
		}
		s, err := secrets(tx).Get(string(id))
		if err != nil {
			return err
		}
		if s != nil {
			remove(tx, string(id), s)
		}
	}
	return nil
}

// tidy removes secret-ids that have expired, from the one after a MAC on. There
// are none unless the due index was lost, as by a restore.
func (e *Engine) tidy(tx engine.Tx, after string) error {
	n := 0
	for id, err := range tx.Children("sid", after) {
		if err != nil {
			return err
		}
		if n++; n > page {
			tx.At(tx.Now(), "tidy", after)
			return nil
		}
		after = id
		s, err := secrets(tx).Get(id)
		if err != nil {
			return err
		}
		if s != nil && s.expired(tx.Now()) {
			remove(tx, id, s)
		}
	}
	return nil
}
