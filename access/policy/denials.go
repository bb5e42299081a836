package policy

import (
	"slices"
	"sync"
	"time"
)

// A Denial is a request that a policy refused, as a node remembers it. It holds
// no parameter's value and no token.
type Denial struct {
	ID        string    `json:"id"` // of the decision and of the request
	Time      time.Time `json:"time"`
	Accessor  string    `json:"accessor"` // of the token; "" for a batch token
	EntityID  string    `json:"entity_id,omitempty"`
	Operation string    `json:"operation"`
	Path      string    `json:"path"` // as the policies of the token see it
	Explanation
	// Home is the id of the namespace whose policies decided, "" for root. Only
	// there, and above, may the denial be seen.
	Home string `json:"-"`
}

// Denials are the last denials of a node, in memory. Its methods are safe for
// concurrent use.
type Denials struct {
	mu   sync.Mutex
	ring []Denial
	next int            // where the next one goes, when the ring is full
	at   map[string]int // by id
	most int
}

// longest is how much of a text is remembered: a path or the name of a parameter
// may be as long as a request.
const longest = 2048

// mostSources is how many places of policies are remembered of one denial.
const mostSources = 16

// NewDenials remembers up to most.
func NewDenials(most int) *Denials { return &Denials{at: make(map[string]int), most: most} }

// Add remembers a denial and forgets the oldest, if need be.
func (d *Denials) Add(n Denial) {
	for _, text := range []*string{&n.Path, &n.Because, &n.Remedy, &n.Note, &n.Rule} {
		if len(*text) > longest {
			*text = (*text)[:longest] + "…"
		}
	}
	n.Policies = slices.Clone(n.Policies[:min(len(n.Policies), mostSources)])
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ring) < d.most {
		d.at[n.ID] = len(d.ring)
		d.ring = append(d.ring, n)
		return
	}
	delete(d.at, d.ring[d.next].ID)
	d.ring[d.next], d.at[n.ID] = n, d.next
	d.next = (d.next + 1) % d.most
}

// Get returns the denial with an id.
func (d *Denials) Get(id string) (Denial, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.at[id]
	if !ok {
		return Denial{}, false
	}
	return d.ring[i], true
}

// Recent lists all that are remembered, the newest first.
func (d *Denials) Recent() []Denial {
	d.mu.Lock()
	list := slices.Concat(d.ring[d.next:], d.ring[:d.next])
	d.mu.Unlock()
	slices.Reverse(list)
	return list
}

// Drop forgets all.
func (d *Denials) Drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ring, d.next = nil, 0
	clear(d.at)
}
