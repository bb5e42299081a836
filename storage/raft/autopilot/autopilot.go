// Package autopilot decides which servers of a cluster are healthy, which of
// them may begin to vote, and which are gone for good.
//
// It is a function of what the leader sees, of a configuration and of the time:
// it holds no clock and changes nothing. Whoever leads calls [Next] now and then
// with what it returned before, and does what it says.
//
// It promises never to name a voter for removal when that would leave fewer than
// the configured minimum, or when half of the voters or more would go at once:
// so many are a network that is cut, not machines that are dead.
package autopilot

import (
	"maps"
	"slices"
	"time"
)

// A Server is a member of the cluster as its leader sees it.
type Server struct {
	ID     string // node_id
	Leader bool
	Voter  bool
	// Stays says that it asked never to vote.
	Stays bool
	// Match is the last entry that it is known to have.
	Match uint64
	// Heard is when it was last heard of; zero is not since this node leads.
	Heard time.Time
}

// A View is what the leader sees at one time.
type View struct {
	Now     time.Time
	Last    uint64 // the leader's last entry
	Servers []Server
}

// Health is how one server does.
type Health struct {
	Healthy bool `json:"healthy"`
	// Since is when it became so.
	Since time.Time `json:"since"`
	// Seen is when the leader saw it first: a server that was not heard of since
	// then has been silent since then, and not for ever.
	Seen time.Time `json:"seen"`
	// Silence is how long ago it was last heard of.
	Silence time.Duration `json:"silence"`
}

// A State is what was found out.
type State struct {
	Healthy   bool // all servers are
	Tolerance int  // how many healthy voters may fail and leave a quorum
	Leader    string
	Voters    []string // sorted
	Learners  []string // sorted
	Servers   map[string]Health
}

// A Plan is what to do. All of it may be done at once.
type Plan struct {
	Promote []string // learners that may vote
	Remove  []string // servers that are gone
}

// Next finds out how the servers do and what is to be done. before is what it
// returned the last time, and the zero State when this node has begun to lead.
func Next(before State, v View, c Config) (State, Plan) {
	now := State{Healthy: true, Servers: map[string]Health{}}
	for _, s := range v.Servers {
		h := health(before.Servers[s.ID], s, v, c)
		now.Servers[s.ID] = h
		now.Healthy = now.Healthy && h.Healthy
		if s.Leader {
			now.Leader = s.ID
		}
		if s.Voter {
			now.Voters = append(now.Voters, s.ID)
		} else {
			now.Learners = append(now.Learners, s.ID)
		}
	}
	slices.Sort(now.Voters)
	slices.Sort(now.Learners)
	now.Tolerance = now.tolerance()
	return now, now.plan(v, c)
}

func health(before Health, s Server, v View, c Config) Health {
	h := Health{Seen: before.Seen, Since: before.Since}
	if h.Seen.IsZero() {
		h.Seen, h.Since = v.Now, v.Now
	}
	heard := s.Heard
	if heard.IsZero() {
		heard = h.Seen
	}
	// Of two clocks that were read one after the other, the later may be behind.
	h.Silence = max(0, v.Now.Sub(heard))
	near := s.Match >= v.Last || v.Last-s.Match <= c.MaxTrailingLogs
	h.Healthy = s.Leader || !s.Heard.IsZero() && h.Silence <= c.LastContactThreshold && near
	if s.Leader {
		h.Silence = 0
	}
	if h.Healthy != before.Healthy && !before.Seen.IsZero() {
		h.Since = v.Now
	}
	return h
}

func (s State) tolerance() int {
	healthy := 0
	for _, id := range s.Voters {
		if s.Servers[id].Healthy {
			healthy++
		}
	}
	return max(0, healthy-quorum(len(s.Voters)))
}

func quorum(voters int) int { return voters/2 + 1 }

func (s State) plan(v View, c Config) (p Plan) {
	at := map[string]Server{}
	for _, m := range v.Servers {
		at[m.ID] = m
	}
	for _, id := range s.Learners {
		h := s.Servers[id]
		if !at[id].Stays && h.Healthy && v.Now.Sub(h.Since) >= c.ServerStabilizationTime {
			p.Promote = append(p.Promote, id)
		}
	}
	if c.CleanupDeadServers {
		p.Remove = s.dead(at, c)
	}
	return p
}

// dead are the servers to remove, sorted. A learner's going costs no quorum.
func (s State) dead(at map[string]Server, c Config) (gone []string) {
	var voters []string
	for _, id := range slices.Sorted(maps.Keys(s.Servers)) {
		switch {
		case at[id].Leader || s.Servers[id].Silence < c.DeadServerLastContactThreshold:
		case at[id].Voter:
			voters = append(voters, id)
		default:
			gone = append(gone, id)
		}
	}
	left := len(s.Voters) - len(voters)
	if left < quorum(len(s.Voters)) || left < c.MinQuorum {
		return gone
	}
	gone = append(gone, voters...)
	slices.Sort(gone)
	return gone
}
