package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fastness-dev/fastness/access/identity"
	"github.com/fastness-dev/fastness/access/mfa"
	"github.com/fastness-dev/fastness/access/password"
	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/audit"
	"github.com/fastness-dev/fastness/cubbyhole"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/lease"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// Options say what a Server is made of.
type Options struct {
	State    storage.State
	Log      storage.Log
	Fleet    *Fleet        // the other nodes; nil for one that is alone
	Staging  string        // directory for snapshots to restore; "" restores none
	Engines  []engine.Type // what can be mounted
	Settings sys.Settings
	Seals    *seal.Set // nil unseals by key shares only; Close closes it
	Logger   *slog.Logger
	LogLevel *slog.LevelVar
	LogTap   *LogTap          // what Logger writes through; nil lets nobody follow the log
	Clock    func() time.Time // nil is time.Now
	Lockouts Lockouts
	// Outgoing is what others are asked through: Duo, Okta, PingID. nil asks them
	// as http.DefaultClient does.
	Outgoing *http.Client
	// Telemetry says how metrics are named and which are told.
	Telemetry config.Telemetry
	// Seed adds mounts to a new cluster.
	Seed func(tx *storage.Tx, mounts *mount.Mounts) error
}

// A Server answers the API over one store.
type Server struct {
	store       *storage.Store
	barrier     *barrier.Barrier
	mounts      *mount.Mounts
	tokens      *token.Store
	leases      *lease.Store
	policies    *policy.Store
	denials     *policy.Denials
	audit       *audit.Broker
	wrapping    *cubbyhole.Wrapping
	limits      *quota.Limits
	lockouts    Lockouts
	sys         *sys.System
	fleet       *Fleet
	due         dueIndex
	inflight    inflight
	metrics     *metrics
	usagePeriod time.Duration // of counting what is in use; 0 is usagePeriod
	version     string        // API level
	logger      *slog.Logger
	level       *slog.LevelVar
	logs        *LogTap
	clock       func() time.Time

	sysInstance engine.Instance // for a sealed node, which has no mount table
	sysLive     *mount.Live

	identities *identity.Store // whose tokens they are
	mfa        *mfa.Store      // how they prove once more who they are

	upkeep sync.Mutex
	stop   context.CancelFunc // of the unsealed node's upkeep
	ended  sync.WaitGroup

	closing sync.WaitGroup // the audit devices of a node that was sealed
}

// New opens the store and returns a sealed server.
func New(o Options) (*Server, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LogLevel == nil {
		o.LogLevel = new(slog.LevelVar)
	}
	if o.LogTap == nil {
		o.LogTap = NewLogTap()
	}
	s := &Server{barrier: barrier.New(), policies: policy.NewStore(), denials: policy.NewDenials(rememberedDenials), logger: o.Logger, level: o.LogLevel, logs: o.LogTap, clock: o.Clock, version: o.Settings.Version}
	s.limits, s.lockouts = quota.NewLimits(), o.Lockouts
	s.fleet = o.Fleet
	s.metrics, s.usagePeriod = newMetrics(s, o.Telemetry), o.Telemetry.UsageGaugePeriod
	s.metrics.registry.MustRegister(newSealMetrics(o.Seals, o.Clock))
	s.audit = audit.NewBroker(o.Clock)
	s.tokens = token.New(token.Options{Barrier: s.barrier, Now: o.Clock, DefaultTTL: o.Settings.DefaultTTL, MaxTTL: o.Settings.MaxTTL,
		OnRevoke: s.revoked, Renewing: s.renewing, Namespaces: spaces{s},
		IdentityPolicies: s.identityPolicies, AliasEntity: s.aliasEntity,
		PolicyExists: func(tx *storage.Tx, name string) (bool, error) {
			p, err := s.policies.Get(tx, name)
			return p != nil, err
		}})
	s.identities = s.newIdentities()
	s.mfa = s.newFactors(o)
	s.leases = &lease.Store{Tokens: s.tokens, Loans: loans{s}, Now: o.Clock, Observe: s.metrics.observeLease}
	s.wrapping = &cubbyhole.Wrapping{Tokens: s.tokens}
	var err error
	s.store, err = storage.Open(storage.Options{State: o.State, Log: o.Log, Sealer: s.barrier, Logger: o.Logger, Staged: staged(o.Staging), Followed: s.followed})
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	// All that the log names is in the store by now: what is staged is left over.
	if o.Staging != "" {
		if err := os.RemoveAll(o.Staging); err != nil {
			return nil, errors.Join(fmt.Errorf("remove snapshots that are restored: %w", err), s.store.Close())
		}
	}
	s.sys = sys.New(&sys.System{Store: s.store, Barrier: s.barrier, Policies: s.policies, Denials: s.denials, Tokens: s.tokens, Leases: s.leases,
		Audit: s.audit, Wrapping: s.wrapping, Limits: s.limits, Logger: o.Logger, Settings: o.Settings,
		Identities: s.identities, Held: s.Held, Holders: holders{s}, Factors: s.mfa, ProveLogin: s.proveLogin, Approver: approver, Unsealed: s.unsealed, Sealing: s.sealing, Restoring: s.restoring, Staging: o.Staging, Now: o.Clock, Node: s, Seals: o.Seals})
	if s.fleet != nil {
		s.sys.Cluster = s.fleet
	}
	system := s.sys.Type()
	parts := []identity.Part{{Routes: s.factorRoutes()}, s.oidcPart(o.Settings.APIAddr)}
	types := append([]engine.Type{system, s.tokens.Type(), cubbyhole.Type(), s.identities.Type(parts...)}, o.Engines...)
	s.mounts = mount.New(types, o.Settings.DefaultTTL, o.Settings.MaxTTL)
	s.sys.Mounts = s.mounts
	if o.Seed != nil {
		s.sys.Seed = func(tx *storage.Tx) error { return o.Seed(tx, s.mounts) }
	}
	s.sysLive = &mount.Live{Entry: &mount.Entry{Path: "sys/", Type: "system"}, Engine: system, Mount: engine.Mount{Path: "sys/", Type: "system"}}
	if s.sysInstance, err = system.Open(s.sysLive.Mount); err != nil {
		return nil, err
	}
	return s, nil
}

// Store is where everything is kept, for who watches the server.
func (s *Server) Store() *storage.Store { return s.store }

// System is the engine of sys/, for who starts the server.
func (s *Server) System() *sys.System { return s.sys }

// Handler answers the API with the limits of one listener.
func (s *Server) Handler(limits wire.Limits) http.Handler {
	return s.handler(&door{limits: limits})
}

func (s *Server) handler(d *door) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		s.serve(w, r, d)
	})
}

// recovered turns a panic into a 500: one request's fault is not another's.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	if p := recover(); p != nil {
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		s.logger.Error("panic in a request", "path", r.URL.Path, "panic", fmt.Sprintf("%T", p), "stack", stack())
		wire.Fail(w, nil, fmt.Errorf("panic"))
	}
}

// Close seals the node and closes the store.
func (s *Server) Close() error {
	s.sys.Seal()
	s.closing.Wait()
	return errors.Join(s.store.Close(), s.sys.Seals.Close())
}

// Failed is closed when storage cannot go on; Err says why.
func (s *Server) Failed() <-chan struct{} { return s.store.Failed() }

// Err says why storage cannot go on.
func (s *Server) Err() error { return s.store.Err() }

// ReloadAudit reopens the files of audit devices.
func (s *Server) ReloadAudit() error { return s.audit.Reload() }

// unsealed begins what an unsealed node does by itself.
func (s *Server) unsealed(ctx context.Context) error {
	s.closing.Wait() // for the devices of the life before
	if err := s.sys.LoadAudit(ctx); err != nil {
		return fmt.Errorf("enable audit devices: %w", err)
	}
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	run, stop := context.WithCancel(context.Background())
	s.stop = stop
	handlers := s.tokens.Handlers()
	handlers[kindMount] = s.mountJob
	maps.Copy(handlers, s.identities.Handlers())
	handlers[sys.KindEnd] = s.sys.EndMount
	handlers[mount.KindDelete] = s.sys.FinishNamespace
	handlers[quota.KindLockout] = quota.Expire(s.clock)
	maps.Copy(handlers, s.mfa.Handlers())
	maps.Copy(handlers, s.leases.Handlers())
	handlers[lease.KindExpire] = s.sys.Frozen(handlers[lease.KindExpire])
	runner := &schedule.Runner{Store: s.store, Now: s.clock, Handlers: handlers, GiveUp: s.leases.GiveUp(),
		Together: map[string]bool{token.KindExpire: true, quota.KindLockout: true}, Workers: dueWorkers, PerMount: dueWorkers / 8, Logger: s.logger}
	if f := s.fleet; f != nil {
		f.unsealed()
	}
	s.ended.Go(func() {
		s.watch(run, func(leading context.Context) {
			var all sync.WaitGroup
			all.Go(func() { runner.Run(leading) })
			all.Go(func() { s.rotateKeys(leading) })
			all.Go(func() { s.fleet.pilotLoop(leading) })
			all.Wait()
		})
	})
	s.ended.Go(func() { s.countUsage(run) })
	return nil
}

// dueWorkers is how many jobs of the schedule run at a time; most of their time
// goes into waiting, for the disk or for what a mount has to reach.
const dueWorkers = 64

// restoring ends it before the rows are replaced. Audit devices stay: the request
// that restores is answered.
func (s *Server) restoring() {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	s.rest()
}

func (s *Server) rest() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
	if s.fleet != nil {
		s.fleet.log.Able(false)
	}
	s.ended.Wait()
	s.tokens.Forget()
	s.identities.Drop()
	s.denials.Drop()
	s.mfa.Drop()
}

// staged opens the snapshots that the log names.
func staged(dir string) func(string) (io.ReadCloser, error) {
	if dir == "" {
		return nil
	}
	return func(name string) (io.ReadCloser, error) { return os.Open(filepath.Join(dir, filepath.Base(name))) }
}

// sealing ends it.
func (s *Server) sealing() {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	s.rest()
	last := s.inflight.last()
	s.closing.Go(func() {
		s.inflight.drain(last, lastAnswers)
		if err := s.audit.Close(); err != nil {
			s.logger.Error("close audit devices", "error", err)
		}
	})
}

// lastAnswers is how long audit devices stay open for the answers of requests that
// the sealing overtook. What is answered later is answered with an error.
const lastAnswers = 5 * time.Second

// rotateKeys begins a new term of the keyring when the last is used up.
func (s *Server) rotateKeys(ctx context.Context) {
	for {
		if err := s.sys.RotateIfDue(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("rotate the keyring", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Minute):
		}
	}
}

// revoked removes what ends with a token.
func (s *Server) revoked(tx *storage.Tx, e *token.Entry) error {
	if err := s.leases.EndOwner(tx, e.ID); err != nil {
		return err
	}
	table, err := s.mounts.Table(tx)
	if err != nil {
		return err
	}
	hole := table.At("cubbyhole/")
	if hole == nil {
		return nil
	}
	return cubbyhole.Revoked(tx, e, hole.Range())
}

// kindMount is the kind of a job that belongs to a mount.
const kindMount = "mount"

// dueIndex puts the jobs of mounts in the due index. The id carries the job's
// name, so that a mount's engine finds its function.
type dueIndex struct{}

func (dueIndex) At(tx *storage.Tx, mount string, when time.Time, job, id string) {
	schedule.At(tx, when, schedule.Job{Kind: kindMount, Mount: mount, ID: job + "\x1f" + id})
}

func (dueIndex) Cancel(tx *storage.Tx, mount, job, id string) {
	schedule.Job{Kind: kindMount, Mount: mount, ID: job + "\x1f" + id}.Cancel(tx)
}

// mountJob runs a job of a mount; one of a mount that is gone is done.
func (s *Server) mountJob(tx *storage.Tx, j schedule.Job) error {
	table, err := s.mounts.Table(tx)
	if err != nil {
		return err
	}
	l := table.ByUUID(j.Mount)
	if l == nil {
		return nil
	}
	job, id, _ := strings.Cut(j.ID, "\x1f")
	return l.Instance.Job(&engine.Call{Whole: tx, Rows: tx.In(l.Range()), Ctx: tx.Context(), By: &engine.Caller{},
		At_: &l.Mount, Time: s.now(), Scheduler: s.due, Passwords: password.Store{}}, job, id)
}
