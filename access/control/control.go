// Package control keeps requests that wait for the consent of others: a policy's
// control group says whose.
//
// It promises that a request is let through once, only as it was made and only
// after everyone who has to has agreed to it, and that nobody agrees to a
// request of their own.
package control

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Pending request waits under the storage id of the wrapping token that its
// caller was given in place of an answer.
type Pending struct {
	Op         engine.Op       `json:"op"`
	Path       string          `json:"path"`
	Body       json.RawMessage `json:"body,omitempty"`
	Query      url.Values      `json:"query,omitempty"`
	Token      string          `json:"token"`  // storage id of the caller's
	Entity     string          `json:"entity"` // id of the caller's
	EntityName string          `json:"entity_name"`
	Factors    []policy.Factor `json:"factors"`
	Created    time.Time       `json:"created"`
	Agreed     []Agreement     `json:"agreed,omitempty"`
}

// An Agreement is one entity's consent.
type Agreement struct {
	Entity     string   `json:"entity_id"`
	EntityName string   `json:"entity_name"`
	Factors    []string `json:"factors"` // those that it counts for
}

// An Approver is who consents.
type Approver struct {
	Entity, EntityName string
	Groups             []policy.Group // all that it is in, inherited ones included
}

// Factors are the consents that an operation needs of some control groups, and
// the shortest time that any of them gives for that (0 is none).
func Factors(groups []*policy.ControlGroup, needs policy.Caps) (list []policy.Factor, ttl time.Duration) {
	for i, g := range groups {
		if g.TTL > 0 && (ttl == 0 || g.TTL < ttl) {
			ttl = g.TTL
		}
		for _, f := range g.Factors {
			if f.Controlled == 0 || f.Controlled.Has(needs) {
				f.Name = fmt.Sprintf("%d/%s", i, f.Name) // two groups may name factors alike
				list = append(list, f)
			}
		}
	}
	return list, ttl
}

func rows(tx *storage.Tx) storage.Table[Pending] {
	return storage.In[Pending](tx.In(storage.Controls), "request/")
}

// Put keeps a request under a wrapping token.
func Put(tx *storage.Tx, tokenID string, p *Pending) { rows(tx).Put(tokenID, p) }

// Get returns the request that waits under a wrapping token, or nil.
func Get(tx *storage.Tx, tokenID string) (*Pending, error) { return rows(tx).Get(tokenID) }

// Delete forgets a request.
func Delete(tx *storage.Tx, tokenID string) { rows(tx).Delete(tokenID) }

// Approved says whether nobody's consent is missing.
func (p *Pending) Approved() bool {
	for _, f := range p.Factors {
		n := 0
		for _, a := range p.Agreed {
			if slices.Contains(a.Factors, f.Name) {
				n++
			}
		}
		if n < max(f.Approvals, 1) {
			return false
		}
	}
	return true
}

// Agree adds a consent. It is permission denied for the caller themselves, and
// for who is in none of the groups that are asked. Agreeing again is no more.
func (p *Pending) Agree(who Approver) error {
	if who.Entity == "" || who.Entity == p.Entity {
		return engine.Denied()
	}
	a := Agreement{Entity: who.Entity, EntityName: who.EntityName}
	for _, f := range p.Factors {
		if slices.ContainsFunc(who.Groups, func(g policy.Group) bool {
			return slices.Contains(f.GroupIDs, g.ID) || slices.Contains(f.GroupNames, g.Name)
		}) {
			a.Factors = append(a.Factors, f.Name)
		}
	}
	if a.Factors == nil {
		return engine.Denied()
	}
	p.Agreed = slices.DeleteFunc(p.Agreed, func(old Agreement) bool { return old.Entity == a.Entity })
	p.Agreed = append(p.Agreed, a)
	return nil
}

// Config is what sys/config/control-group holds.
type Config struct {
	MaxTTL engine.Duration `json:"max_ttl" doc:"How long a request waits at most; 0 is 24 hours."`
}

// DefaultTTL is how long a request waits where nothing says otherwise.
const DefaultTTL = 24 * time.Hour

func configs(tx *storage.Tx) storage.Table[Config] {
	return storage.In[Config](tx.In(storage.Controls), "")
}

// Settings are the namespace's; nil is none.
func Settings(tx *storage.Tx) (*Config, error) { return configs(tx).Get("config") }

// SetSettings sets the namespace's; nil removes them.
func SetSettings(tx *storage.Tx, c *Config) {
	if c == nil {
		configs(tx).Delete("config")
		return
	}
	configs(tx).Put("config", c)
}

// Waits is how long a request may wait, given what its control groups say.
func Waits(tx *storage.Tx, asked time.Duration) (time.Duration, error) {
	c, err := Settings(tx)
	if err != nil {
		return 0, err
	}
	most := DefaultTTL
	if c != nil && c.MaxTTL > 0 {
		most = time.Duration(c.MaxTTL)
	}
	if asked > 0 && asked < most {
		return asked, nil
	}
	return most, nil
}
