package sys

import (
	"context"
	"errors"
	"time"

	"github.com/fastness-dev/fastness/storage/raft/autopilot"
	"github.com/fastness-dev/fastness/storage/seal"
)

// Errors of a Cluster that its callers tell apart. All are the asker's fault.
var (
	ErrLastVoter   = errors.New("need at least one voter in configuration: the last one cannot be removed or demoted")
	ErrNotLearner  = errors.New("server is not a non-voter")
	ErrNotVoter    = errors.New("server is not a voter")
	ErrUnknownNode = errors.New("no node of this name is in the cluster")
	ErrChallenge   = errors.New("invalid answer given") // also for one whose challenge has passed
)

// A Cluster is what sys asks of all nodes together. Its methods are safe for
// concurrent use. Those below the first line work on the active node only;
// their routes are marked so.
type Cluster interface {
	// Standing says where this node stands. It works while the node is sealed,
	// waits for nobody, and is cheap enough for every check of its health.
	Standing() Standing
	// Members lists who is in the cluster, in order of their names. What only a
	// leader knows of the others is left at zero on the rest.
	Members(ctx context.Context) ([]Member, error)
	// Join has a node that has nothing ask a cluster to be let in. It returns
	// when the cluster has answered; then Joining is what its operator must
	// open, with shares or, where that opens by itself, at once.
	Join(ctx context.Context, q JoinRequest) error
	// Joining is the seal of the cluster that this node has asked to join and
	// whose rows it does not have yet; nil otherwise.
	Joining() *seal.Config
	// Enter completes Join with the key of that seal. It returns when the node is
	// a member and has the rows. A wrong key is barrier.ErrWrongKey.
	Enter(ctx context.Context, sealKey []byte) error

	// Challenge gives a number to who wants to join. It keeps nothing.
	Challenge(ctx context.Context, nodeID string) (*Challenge, error)
	// Admit lets in who has answered; else ErrChallenge.
	Admit(ctx context.Context, p Proof) (*Admission, error)
	// Remove takes a node out for good: ErrUnknownNode, ErrLastVoter.
	Remove(ctx context.Context, nodeID string) error
	// Promote makes a learner vote: ErrUnknownNode, ErrNotLearner.
	Promote(ctx context.Context, nodeID string) error
	// Demote makes a voter a learner: ErrUnknownNode, ErrNotVoter, ErrLastVoter.
	Demote(ctx context.Context, nodeID string) error
	// StepDown hands leadership over. With nobody to hand it to, nothing happens.
	StepDown(ctx context.Context) error
	// Autopilot is what the loop on the leader found out last.
	Autopilot(ctx context.Context) (autopilot.State, error)
}

// A Standing is where one node stands.
type Standing struct {
	NodeID string
	// Active says that it leads and is unsealed; Since when.
	Active bool
	Since  time.Time
	// LeaderAPI and LeaderCluster are the addresses of the node that leads; ""
	// while there is none.
	LeaderAPI     string
	LeaderCluster string
	// Removed says that the cluster has taken this node out.
	Removed bool
	// Committed and Applied are indexes of the log.
	Committed uint64
	Applied   uint64
}

// A Member is a node of the cluster.
type Member struct {
	RaftID  uint64
	NodeID  string
	Host    string
	API     string // URL
	Cluster string // URL, https
	Version string // API level
	Leader  bool
	Voter   bool
	// Stays says that it asked never to vote.
	Stays bool
	// Match and Term are of the last entry it is known to have, Heard is when it
	// was last heard of; only the leader knows them.
	Match uint64
	Term  uint64
	Heard time.Time
}

// A JoinRequest says which cluster to ask, and how.
type JoinRequest struct {
	Leaders []Leaders // asked in this order
	// NonVoter asks never to vote.
	NonVoter bool
	// Retry goes on asking until one answers or ctx ends.
	Retry bool
}

// Leaders are the API of a node that may let others in.
type Leaders struct {
	Address    string // URL
	ServerName string // expected in its certificate; "" is that of the URL
	CACert     string // PEM; "" trusts what the system does
	ClientCert string // PEM
	ClientKey  string // PEM
}

// A Challenge is what a joiner has to answer.
type Challenge struct {
	Challenge []byte
	// RootKey is the root key as the seal has wrapped it: who opens the seal
	// proves with it that it may join.
	RootKey []byte
	Seal    *seal.Config
}

// A Proof is a joiner's answer, with what it says of itself.
type Proof struct {
	NodeID    string
	Challenge []byte
	Answer    []byte
	Cluster   string // host:port of its cluster listener
	API       string // URL
	Host      string
	Version   string
	PublicKey []byte // PKIX in DER
	NonVoter  bool
}

// An Admission is what a node gets that was let in. Reply is made and read by the
// two nodes; Seal proves that who made it holds the root key too.
type Admission struct {
	Reply []byte
	Seal  []byte
}
