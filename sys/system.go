// Package sys is /v1/sys as an engine: what an operator sees and does. It also
// owns the life of the seal: initialising, unsealing, sealing, and the
// ceremonies that need key shares.
//
// It promises that a cluster is initialised in one entry of the log or not at
// all, and that a node that is sealed holds no key of the barrier.
package sys

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/access/control"
	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/mfa"
	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/audit"
	"github.com/fastness-dev/fastness/cubbyhole"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/seal"
)

// A System is the instance behind sys/. The server fills its parts in before
// the first request.
type System struct {
	Store    *storage.Store
	Barrier  *barrier.Barrier
	Mounts   *mount.Mounts
	Policies *policy.Store
	Denials  *policy.Denials // of this node
	Tokens   *token.Store
	Leases   *lease.Store
	Audit    *audit.Broker
	Wrapping *cubbyhole.Wrapping
	Limits   *quota.Limits // nil limits no rates
	Logger   *slog.Logger
	Settings Settings

	// Identities, if set, lose their aliases with the mounts of those.
	Identities *identity.Store
	// Held says what the holder of a token may do; nil goes by the policies of
	// the token alone.
	Held func(tx *storage.Tx, e *token.Entry) (*policy.Held, error)
	// Holders finds who holds policies besides tokens; nil is nobody.
	Holders Holders
	Factors *mfa.Store
	// ProveLogin goes on with a login that waits for its second factor.
	ProveLogin func(tx engine.Tx, proof MFAProof) (*engine.Answer, error)
	// Unsealed is called after the keys are in memory and before the unseal is
	// answered; Sealing before they are dropped.
	Unsealed func(ctx context.Context) error
	Sealing  func()
	// Restoring is called before all rows are replaced by those of a snapshot;
	// Unsealed after it, unless the node is sealed then.
	Restoring func()
	// Staging is the directory for snapshots that are being restored; "" restores
	// none.
	Staging string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Seed adds to a new cluster what the server wants there (dev mounts). It
	// runs in the transaction that initialises.
	Seed func(tx *storage.Tx) error
	// Approver is the caller of a request, as one who may agree to another's.
	Approver func(*engine.Call) (control.Approver, error)
	// Cluster is all nodes together. nil makes a node with a log one that is
	// alone, and is what a node without has.
	Cluster Cluster
	// Node answers for the parts of sys that are the server's own.
	Node Node
	// Seals are those that open by themselves; nil unseals by shares only.
	Seals *seal.Set

	mu          sync.Mutex  // of the ceremonies and of changes to the seal
	serving     atomic.Bool // see Serving
	unseal      *seal.Ceremony
	rootAttempt *rootAttempt // nil when no root token is being made
	rekey       *rekey       // nil when the seal key is not being replaced
	started     time.Time
	byHand      atomic.Bool   // sealed by hand: seals must not open it by themselves
	turned      chan struct{} // see turn
	tend        tend          // belongs to TendSeals
}

// Settings are what the configuration says and sys shows.
type Settings struct {
	Version         string // API level, as Vault's clients parse it
	FastnessVersion string
	BuildDate       string
	StorageType     string
	NodeID          string // of this node in its cluster
	ClusterName     string
	APIAddr         string
	ClusterAddr     string
	RawEnabled      bool
	DefaultTTL      time.Duration
	MaxTTL          time.Duration
	LogLevel        string
	NoPrometheus    bool // sys/metrics tells nothing in Prometheus' format
	AuditPrefixes   bool // an audit device may be enabled with a prefix
	Sanitized       any  // the configuration without its secrets
	UnauthRekey     bool // rekey and generate-root need no token, as Vault 1.x has it
	RootToken       string
}

// A Node is what sys asks of the server that runs it.
type Node interface {
	// InFlight lists the requests that are being answered.
	InFlight() map[string]InFlight
	// LogLevels gives and sets the level of the logger.
	LogLevel() string
	SetLogLevel(level string) error
	// FollowLog writes lines of the log of a level and above, in text or "json",
	// until ctx or the server ends. A bad level is the caller's error, told
	// before anything is written.
	FollowLog(ctx context.Context, level, format string) (func(io.Writer) error, error)
	// Metrics writes the metrics page in Prometheus' text format.
	Metrics() ([]byte, error)
}

// InFlight is one request being answered.
type InFlight struct {
	StartTime        time.Time `json:"start_time"`
	ClientRemoteAddr string    `json:"client_remote_address"`
	RequestPath      string    `json:"request_path"`
	RequestMethod    string    `json:"request_method"`
	ClientID         string    `json:"client_id"`
}

// New makes a sealed system of its parts, and returns it.
func New(s *System) *System {
	s.started = time.Now()
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Cluster == nil && s.Settings.StorageType == "raft" {
		s.Cluster = alone{s}
	}
	if s.Denials == nil {
		s.Denials = policy.NewDenials(1)
	}
	s.unseal = seal.NewCeremony(1, uuid.NewString)
	s.turned = make(chan struct{}, 1)
	return s
}

// Type is the engine of sys/ for this system.
func (s *System) Type() engine.Type {
	return (&engine.Spec[System]{
		Name: "system", Kind: engine.System, Version: s.Builtin(),
		Help:   "The server itself: seal, mounts, policies, audit.",
		Open:   func(engine.Mount) (*System, error) { return s, nil },
		Routes: s.guarded(routes()),
	}).Type()
}

// Builtin is the version of what comes with the server, as plugins show theirs.
func (s *System) Builtin() string { return "v" + s.Settings.Version + "+builtin.vault" }

// routes joins the tables that stand in the files of their subjects.
func routes() engine.Routes[System] {
	var all engine.Routes[System]
	for _, part := range parts {
		all = append(all, part()...)
	}
	return all
}
