package raft

import (
	"context"
	"io"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// A Transport carries messages to other members. It knows where they are.
type Transport interface {
	// Send hands over a message without waiting. It may be lost, repeated or
	// overtaken by others.
	Send(m *raftpb.Message)
	// SendState carries a message that says that the rows follow, and the rows,
	// as write puts them out, until the other node has taken both
	// ([Log.ReceiveState]).
	SendState(ctx context.Context, m *raftpb.Message, write func(io.Writer) error) error
}

// A Role is what a member is to the log.
type Role string

// The roles.
const (
	Voter   Role = "voter"
	Learner Role = "nonvoter" // keeps the log and does not vote
)

// A Peer is a member as this node sees it.
type Peer struct {
	ID   uint64
	Role Role
	// Match is the last entry it is known to have, while this node leads.
	Match uint64
	// Heard is when it was last heard of, while this node leads; for itself, now.
	Heard time.Time
}

// An Adoption is what a node needs to become a member of a log that others hold.
type Adoption struct {
	Log string // id of the log
	ID  uint64 // of this node in it
}
