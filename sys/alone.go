package sys

import (
	"context"
	"net/http"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage/raft/autopilot"
	"github.com/fastness-dev/fastness/storage/seal"
)

// alone is the cluster of one node that no other can join.
type alone struct{ s *System }

func (a alone) Standing() Standing {
	index := a.s.Store.Index()
	return Standing{NodeID: a.s.Settings.NodeID, Active: a.s.Serving(), Since: a.s.started, Committed: index, Applied: index,
		LeaderAPI: a.s.Settings.APIAddr, LeaderCluster: a.s.Settings.ClusterAddr}
}

func (a alone) Members(context.Context) ([]Member, error) {
	return []Member{{RaftID: 1, NodeID: a.s.Settings.NodeID, Host: hostname(), API: a.s.Settings.APIAddr, Cluster: a.s.Settings.ClusterAddr,
		Version: a.s.Settings.Version, Leader: true, Voter: true, Match: a.s.Store.Index()}}, nil
}

func (a alone) Join(context.Context, JoinRequest) error          { return cannotJoin() }
func (a alone) Enter(context.Context, []byte) error              { return cannotJoin() }
func (a alone) Joining() *seal.Config                            { return nil }
func (a alone) StepDown(context.Context) error                   { return nil }
func (a alone) Admit(context.Context, Proof) (*Admission, error) { return nil, ErrChallenge }

func cannotJoin() error {
	return engine.Status(http.StatusNotImplemented, "this build runs one node")
}

func (a alone) Challenge(context.Context, string) (*Challenge, error) { return nil, cannotJoin() }

func (a alone) known(nodeID string) error {
	if nodeID != a.s.Settings.NodeID {
		return ErrUnknownNode
	}
	return nil
}

func (a alone) Remove(_ context.Context, nodeID string) error {
	if err := a.known(nodeID); err != nil {
		return err
	}
	return ErrLastVoter
}

func (a alone) Promote(_ context.Context, nodeID string) error {
	if err := a.known(nodeID); err != nil {
		return err
	}
	return ErrNotLearner
}

func (a alone) Demote(_ context.Context, nodeID string) error {
	return a.Remove(context.Background(), nodeID)
}

func (a alone) Autopilot(context.Context) (autopilot.State, error) {
	id := a.s.Settings.NodeID
	return autopilot.State{Healthy: true, Leader: id, Voters: []string{id},
		Servers: map[string]autopilot.Health{id: {Healthy: true, Since: a.s.started, Seen: a.s.started}}}, nil
}
