package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastness-dev/fastness/cluster"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/storage/raft/autopilot"
	"github.com/fastness-dev/fastness/sys"
)

// A Fleet is this node's place among several: who the others are, what is said
// between them, and how one joins. It is sys's cluster.
type Fleet struct {
	dir    string // of the node's certificate
	listen string // host:port of the cluster listener
	me     fleetNode
	logger *slog.Logger
	clock  func() time.Time
	net    *cluster.Net
	prover *cluster.Challenger
	stop   chan struct{}
	done   sync.WaitGroup

	// Set once the store is open.
	server *Server
	log    *raft.Log

	nodes atomic.Pointer[map[uint64]fleetNode]
	led   atomic.Uint64 // term that this node has taken up its leadership of
	since atomic.Pointer[time.Time]
	pilot atomic.Pointer[autopilot.State]

	mu       sync.Mutex
	identity *cluster.Identity
	joining  *joining
}

// A fleetNode is a node as the cluster knows it.
type fleetNode struct {
	ID       uint64 `json:"id"` // in the log
	NodeID   string `json:"node_id"`
	Cluster  string `json:"cluster"` // host:port
	API      string `json:"api"`     // URL
	Host     string `json:"host"`
	Version  string `json:"version"`
	NonVoter bool   `json:"non_voter,omitempty"`
}

// Bare rows of storage.Core, which a sealed node reads too.
const (
	rowNodes       = "nodes"
	rowAuthorities = "cluster-authorities" // certificates
)

// rowAuthority is the row of storage.System with the key of the authority.
const rowAuthority = "cluster-authority"

type authorityRow struct {
	Certificate []byte `json:"certificate"` // PEM
	Key         []byte `json:"key"`         // PEM
}

// NewFleet prepares this node's connections to others; nil when the configuration
// names no address for them.
func NewFleet(conf *config.Config, settings sys.Settings, logger *slog.Logger) (*Fleet, error) {
	if conf.Storage.Type != "raft" || conf.ClusterAddr == "" || conf.DisableClustering {
		return nil, nil
	}
	u, err := url.Parse(conf.ClusterURL())
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("cluster_addr must be a URL such as https://10.0.0.1:8201: it is %q", conf.ClusterAddr)
	}
	host, _ := os.Hostname() // for show only
	f := &Fleet{dir: conf.Storage.Path, listen: cmp.Or(conf.ClusterAddress(), u.Host), logger: logger, clock: time.Now, stop: make(chan struct{}),
		me: fleetNode{NodeID: conf.Storage.NodeID, Cluster: u.Host, API: settings.APIAddr, Host: host, Version: settings.Version, NonVoter: conf.Storage.NonVoter}}
	f.nodes.Store(&map[uint64]fleetNode{})
	if f.prover, err = cluster.NewChallenger(f.clock); err != nil {
		return nil, err
	}
	f.identity, err = cluster.LoadIdentity(f.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read this node's certificate for the cluster: %w", err)
	}
	f.net, err = cluster.New(cluster.Config{Identity: f.identity, Address: f.address, Member: f.member, Logger: logger,
		Forwarded: http.HandlerFunc(f.forwarded)})
	return f, err
}

func (f *Fleet) address(id uint64) (string, bool) {
	n, ok := (*f.nodes.Load())[id]
	return n.Cluster, ok
}

func (f *Fleet) member(id uint64) bool {
	_, ok := (*f.nodes.Load())[id]
	return ok
}

// attach gives it the log and the server, once they run, and opens its listener.
func (f *Fleet) attach(s *Server, log *raft.Log) error {
	f.server, f.log = s, log
	f.me.NodeID = log.Status().NodeID
	log.Able(false) // until it is unsealed
	err := s.store.View(context.Background(), func(tx *storage.Tx) error {
		b, err := tx.In(storage.Core).Get(rowNodes)
		if err == nil && b != nil {
			f.take(b)
		}
		return err
	})
	if err != nil {
		return err
	}
	f.net.Deliver(log)
	f.done.Go(f.serve)
	return nil
}

// listenPause is the time between two tries to open the cluster listener.
const listenPause = time.Second

// serve takes connections of other nodes. A node that is alone needs none, so that
// an address that is taken is told and tried again.
func (f *Fleet) serve() {
	for {
		l, err := net.Listen("tcp", f.listen)
		if err == nil {
			err = f.net.Serve(l)
		}
		select {
		case <-f.stop:
			return
		default:
		}
		f.logger.Error("the cluster listener is closed to other nodes, and is tried again: set cluster_address in the listener, or cluster_addr, to an address of this machine that is free", "address", f.listen, "error", err)
		select {
		case <-f.stop:
			return
		case <-time.After(listenPause):
		}
	}
}

// close ends all connections to other nodes.
func (f *Fleet) close() {
	if f != nil {
		close(f.stop)
		f.net.Close()
		f.done.Wait()
	}
}

// take takes over who is in the cluster, and cuts off who is no longer.
func (f *Fleet) take(b []byte) {
	var list []fleetNode
	if err := json.Unmarshal(b, &list); err != nil {
		f.logger.Error("read the nodes of the cluster", "error", err)
		return
	}
	next := make(map[uint64]fleetNode, len(list))
	for _, n := range list {
		next[n.ID] = n
	}
	before := *f.nodes.Swap(&next)
	for id := range before {
		if _, ok := next[id]; !ok {
			f.net.Drop(id)
		}
	}
}

// edit changes who is in the cluster.
func (f *Fleet) edit(ctx context.Context, change func(map[uint64]fleetNode)) error {
	var b []byte
	_, err := f.server.store.Update(ctx, func(tx *storage.Tx) error {
		rows := tx.In(storage.Core)
		was, err := rows.Get(rowNodes)
		if err != nil {
			return err
		}
		var list []fleetNode
		if was != nil {
			if err := json.Unmarshal(was, &list); err != nil {
				return fmt.Errorf("read the nodes of the cluster: %w", err)
			}
		}
		all := make(map[uint64]fleetNode, len(list)+1)
		for _, n := range list {
			all[n.ID] = n
		}
		change(all)
		list = slices.SortedFunc(maps.Values(all), func(a, b fleetNode) int { return cmp.Compare(a.NodeID, b.NodeID) })
		if b, err = json.Marshal(list); err != nil {
			return err
		}
		if string(b) != string(was) {
			rows.Put(rowNodes, b)
		}
		return nil
	})
	if err == nil {
		f.take(b)
	}
	return err
}

// byName finds a node by its node_id.
func (f *Fleet) byName(nodeID string) (fleetNode, raft.Peer, error) {
	for _, p := range f.log.Status().Peers {
		if n, ok := (*f.nodes.Load())[p.ID]; ok && n.NodeID == nodeID {
			return n, p, nil
		}
	}
	return fleetNode{}, raft.Peer{}, sys.ErrUnknownNode
}

// Standing says where this node stands.
func (f *Fleet) Standing() sys.Standing {
	is := f.log.Status()
	s := sys.Standing{NodeID: is.NodeID, Committed: is.Commit, Applied: is.Applied}
	if f.active() {
		s.Active = true
		if t := f.since.Load(); t != nil {
			s.Since = *t
		}
	}
	if leader, ok := (*f.nodes.Load())[is.Leader]; ok {
		s.LeaderAPI, s.LeaderCluster = leader.API, "https://"+leader.Cluster
	} else if s.Active {
		s.LeaderAPI, s.LeaderCluster = f.me.API, "https://"+f.me.Cluster
	}
	s.Removed = len(is.Peers) > 0 && !slices.ContainsFunc(is.Peers, func(p raft.Peer) bool { return p.ID == is.ID })
	return s
}

// active says whether this node leads, is unsealed, and has keys to write with.
func (f *Fleet) active() bool {
	term := f.log.Leads()
	return term != 0 && f.led.Load() == term && f.server.sys.Serving()
}

// Members lists who is in the cluster.
func (f *Fleet) Members(context.Context) ([]sys.Member, error) {
	is := f.log.Status()
	nodes := *f.nodes.Load()
	var all []sys.Member
	for _, p := range is.Peers {
		n := nodes[p.ID]
		if p.ID == is.ID {
			n = f.me
		}
		m := sys.Member{RaftID: p.ID, NodeID: cmp.Or(n.NodeID, fmt.Sprintf("%x", p.ID)), Host: n.Host, API: n.API, Cluster: "https://" + n.Cluster, Version: n.Version,
			Leader: p.ID == is.Leader, Voter: p.Role == raft.Voter, Stays: n.NonVoter, Match: p.Match, Term: is.Term, Heard: p.Heard}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b sys.Member) int { return cmp.Compare(a.NodeID, b.NodeID) })
	return all, nil
}

// Remove takes a node out for good.
func (f *Fleet) Remove(ctx context.Context, nodeID string) error {
	n, _, err := f.byName(nodeID)
	if err != nil {
		return err
	}
	if n.ID == f.log.ID() && len(f.log.Status().Peers) > 1 {
		if err := f.log.HandOver(ctx, 0); err != nil {
			return err
		}
		return fmt.Errorf("%w: it was this node that led, and it has handed over: try again", storage.ErrNotLeader)
	}
	if err := f.log.Remove(ctx, n.ID); err != nil && !errors.Is(err, raft.ErrNoMember) {
		return memberError(err)
	}
	return f.edit(ctx, func(all map[uint64]fleetNode) { delete(all, n.ID) })
}

func memberError(err error) error {
	if errors.Is(err, raft.ErrLastVoter) {
		return sys.ErrLastVoter
	}
	return err
}

// Promote makes a learner vote.
func (f *Fleet) Promote(ctx context.Context, nodeID string) error {
	n, p, err := f.byName(nodeID)
	switch {
	case err != nil:
		return err
	case p.Role == raft.Voter:
		return sys.ErrNotLearner
	}
	return f.log.Add(ctx, n.ID, raft.Voter)
}

// Demote makes a voter a learner.
func (f *Fleet) Demote(ctx context.Context, nodeID string) error {
	n, p, err := f.byName(nodeID)
	switch {
	case err != nil:
		return err
	case p.Role != raft.Voter:
		return sys.ErrNotVoter
	}
	return memberError(f.log.Add(ctx, n.ID, raft.Learner))
}

// StepDown hands leadership over, where there is somebody to take it.
func (f *Fleet) StepDown(ctx context.Context) error {
	voters := 0
	for _, p := range f.log.Status().Peers {
		if p.Role == raft.Voter {
			voters++
		}
	}
	if voters < 2 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	return f.log.HandOver(ctx, 0)
}

// handOverTime is how long a node waits for another to lead.
const handOverTime = 5 * time.Second

// Autopilot is what the loop on the leader found out last.
func (f *Fleet) Autopilot(ctx context.Context) (autopilot.State, error) {
	if f.pilot.Load() == nil && f.active() { // it has just begun to lead
		if err := f.pilotOnce(ctx); err != nil {
			return autopilot.State{}, err
		}
	}
	if s := f.pilot.Load(); s != nil {
		return *s, nil
	}
	return autopilot.State{}, nil
}

// pilotOnce looks after the members, on the leader.
func (f *Fleet) pilotOnce(ctx context.Context) error {
	members, err := f.Members(ctx)
	if err != nil {
		return err
	}
	var conf autopilot.Config
	err = f.server.store.View(ctx, func(tx *storage.Tx) (err error) { conf, err = sys.AutopilotConfig(tx); return err })
	if err != nil {
		return err
	}
	view := autopilot.View{Now: f.clock(), Last: f.log.Status().LastIndex}
	for _, m := range members {
		view.Servers = append(view.Servers, autopilot.Server{ID: m.NodeID, Leader: m.Leader, Voter: m.Voter, Stays: m.Stays, Match: m.Match, Heard: m.Heard})
	}
	var before autopilot.State
	if s := f.pilot.Load(); s != nil {
		before = *s
	}
	now, plan := autopilot.Next(before, view, conf)
	f.pilot.Store(&now)
	for _, id := range plan.Promote {
		if err := f.Promote(ctx, id); err != nil {
			return fmt.Errorf("let node %s vote: %w", id, err)
		}
		f.logger.Info("a node votes from now on: it has caught up", "node", id)
	}
	for _, id := range plan.Remove {
		if err := f.Remove(ctx, id); err != nil {
			return fmt.Errorf("remove node %s, which is gone: %w", id, err)
		}
		f.logger.Warn("a node was removed: it was not heard of for too long", "node", id)
	}
	return nil
}

// unsealed notes that this node may lead, and that it does if it has begun to.
func (f *Fleet) unsealed() {
	if term := f.log.Leads(); term != 0 && f.server.barrier.Leading() {
		now := f.clock()
		f.since.Store(&now)
		f.led.Store(term)
	}
	f.log.Able(true)
}

// followed takes over what another node has written, before it can be seen.
func (s *Server) followed(path string, value []byte) {
	switch path {
	case sys.KeyringRow:
		if err := s.barrier.Reload(value); err != nil && !errors.Is(err, storage.ErrSealed) {
			s.logger.Error("take over the keyring of the cluster", "error", err)
		}
	case rowNodes:
		if s.fleet != nil {
			s.fleet.take(value)
		}
	}
}

// transport is what carries the log's messages; nil on a node that is alone.
func (f *Fleet) transport() raft.Transport {
	if f == nil {
		return nil
	}
	return f.net
}
