package autopilot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A cluster is what the transcripts tell of; it is looked at with "next".
//
//	config KEY=VALUE…   changes the configuration, which begins with the defaults
//	last N              the leader's last entry
//	server ID [leader] [voter] [stays] [match=N] [heard]  adds or replaces one;
//	                    heard is now, and without it as it was
//	gone ID             takes one away
//	at DURATION         the time since the beginning
//	next                asks, and shows state and plan
//	lead                another node has begun to lead: nothing is known from before
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{config: Default(), servers: map[string]Server{}, now: began}
		datadriven.RunTest(t, path, w.run)
	})
}

type world struct {
	config  Config
	servers map[string]Server
	now     time.Time
	last    uint64
	state   State
}

func (w *world) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "config":
		w.configure(t, d)
		if err := w.config.Validate(); err != nil {
			return "refused: " + err.Error()
		}
	case "last":
		if _, err := fmt.Sscan(d.CmdArgs[0].Key, &w.last); err != nil {
			t.Fatal(err)
		}
	case "server":
		w.server(t, d)
	case "gone":
		delete(w.servers, d.CmdArgs[0].Key)
	case "at":
		w.now = began.Add(duration(t, d.CmdArgs[0].Key))
	case "lead":
		w.state = State{}
	case "next":
		return w.next()
	default:
		t.Fatalf("%s: no command %s", d.Pos, d.Cmd)
	}
	return ""
}

func (w *world) configure(t *testing.T, d *datadriven.TestData) {
	for _, a := range d.CmdArgs {
		switch v := a.Vals[0]; a.Key {
		case "cleanup":
			w.config.CleanupDeadServers = v == "true"
		case "contact":
			w.config.LastContactThreshold = duration(t, v)
		case "dead":
			w.config.DeadServerLastContactThreshold = duration(t, v)
		case "stabilization":
			w.config.ServerStabilizationTime = duration(t, v)
		case "quorum":
			d.ScanArgs(t, "quorum", &w.config.MinQuorum)
		case "trailing":
			d.ScanArgs(t, "trailing", &w.config.MaxTrailingLogs)
		default:
			t.Fatalf("no setting %s", a.Key)
		}
	}
}

func (w *world) server(t *testing.T, d *datadriven.TestData) {
	id := d.CmdArgs[0].Key
	s := Server{ID: id, Match: w.last, Heard: w.servers[id].Heard}
	for _, a := range d.CmdArgs[1:] {
		switch a.Key {
		case "leader":
			s.Leader = true
		case "voter":
			s.Voter = true
		case "stays":
			s.Stays = true
		case "match":
			d.ScanArgs(t, "match", &s.Match)
		case "heard":
			s.Heard = w.now
		default:
			t.Fatalf("a server is not %s", a.Key)
		}
	}
	w.servers[id] = s
}

func (w *world) next() string {
	v := View{Now: w.now, Last: w.last}
	for _, id := range slices.Sorted(maps.Keys(w.servers)) {
		v.Servers = append(v.Servers, w.servers[id])
	}
	var p Plan
	w.state, p = Next(w.state, v, w.config)
	var b strings.Builder
	fmt.Fprintf(&b, "healthy %t, tolerance %d, leader %s, voters %v, learners %v\n", w.state.Healthy, w.state.Tolerance, w.state.Leader, w.state.Voters, w.state.Learners)
	for _, id := range slices.Sorted(maps.Keys(w.state.Servers)) {
		h := w.state.Servers[id]
		fmt.Fprintf(&b, "  %s healthy %t since %s, silent for %s\n", id, h.Healthy, h.Since.Sub(began), h.Silence)
	}
	for _, id := range p.Promote {
		fmt.Fprintf(&b, "promote %s\n", id)
	}
	for _, id := range p.Remove {
		fmt.Fprintf(&b, "remove %s\n", id)
	}
	return b.String()
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
