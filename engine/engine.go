// Package engine is what a mount is made of: a [Spec] is a table of typed
// functions, and the signature of a function says what it takes, what it
// answers, whether it may write, and therefore where it may run. Decoding,
// validation, help, OpenAPI, capabilities and forwarding follow from the table.
//
// It promises an engine that a function declared with [Read] or [List] cannot
// write (it is handed a type without the methods), that a function declared
// with [Write] commits as one transaction or not at all and may be run again on
// a conflict, and that no function sees storage outside its own mount.
//
// It is not a framework for HTTP: package wire owns verbs and envelopes.
package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/storage"
)

// A Kind says where an engine may be mounted.
type Kind string

// The kinds of engine.
const (
	Secret Kind = "secret" // anywhere
	Auth   Kind = "auth"   // under auth/
	System Kind = "system" // sys/, auth/token/, cubbyhole/, identity/: once, by the server
)

// A Caller is who asks, as far as an engine needs to know.
type Caller struct {
	TokenID     string // storage id of the token; it cannot be used as a token
	Accessor    string
	DisplayName string
	EntityID    string
	Policies    []string // all that apply, sorted
	Root        bool
	Address     string // IP of the client
	Namespace   string // path, "" is the root namespace
}

// A Mount is the mount that an engine instance serves.
type Mount struct {
	Path        string // with trailing slash
	Accessor    string
	UUID        string
	Type        string
	Options     map[string]string
	DefaultTTL  time.Duration // resolved against the system's default
	MaxTTL      time.Duration
	Description string
}

// A View reads the state of one mount at one index of the log.
type View interface {
	storage.View
	Context() context.Context
	// Caller says who asks. It is the zero Caller in a job.
	Caller() *Caller
	// Mount is the mount that is served, as of this transaction.
	Mount() *Mount
	// Now is the time of the request, the same throughout a transaction.
	Now() time.Time
	// Warn adds a sentence to the answer's warnings.
	Warn(format string, args ...any)
	// Password draws a password by the password policy with a name, or by the
	// usual one if it is "". A name that there is not is the caller's fault.
	Password(policy string) (string, error)
}

// Passwords draws passwords by the policies that a transaction sees.
type Passwords interface {
	Password(tx *storage.Tx, policy string) (string, error)
}

// A Tx also writes; what it writes commits with the token, lease and answer.
type Tx interface {
	View
	storage.Writer
	// At runs Jobs[job] with the id at the given time or soon after, on the
	// active node, in a transaction of its own. It replaces an earlier time.
	At(when time.Time, job, id string)
	// Cancel takes At back.
	Cancel(job, id string)
}

// None is the request of a route without parameters, or the answer of one that
// says nothing (204).
type None struct{}

// Raw answers with bytes of its own: a certificate, a metrics page.
type Raw struct {
	Status      int // 0 is 200
	ContentType string
	Body        []byte
	// Stream, if there is one, writes the body instead, after the answer is on
	// record. What it writes is sent at once; it ends when the request's context
	// does.
	Stream func(io.Writer) error
}

// An Answer is for functions that answer more than data. Functions whose whole
// answer is data return their own type instead.
type Answer struct {
	Data          any // encoded with encoding/json; json.RawMessage goes through
	Auth          *api.Auth
	Wrap          *api.WrapInfo
	LeaseDuration time.Duration // shown as lease_duration; no lease is made
	Status        int           // 0 is 200
	Header        http.Header   // besides the usual ones, and in their place
	Raw           *Raw
	Stored        []byte // a stored answer, replayed as it was (unwrap)
	Grant         *Grant // of a login; the server makes Auth of it
	Accessor      string // of a credential in Data, noted beside a token that wraps the answer
	Loan          *Loan  // of a route that lends; the server has it made
	Lease         *Lease // of something lent
	// After, if set, is run after the transaction has committed and before the
	// answer is sent: it waits for what the schedule does. Its error is
	// answered in place of the rest.
	After func(context.Context) error
}

// A Lease is what an answer says of the lease of what it hands out.
type Lease struct {
	ID        string
	Duration  time.Duration
	Renewable bool
}

// Keys is the answer of a List. Empty is 404, as Vault answers.
type Keys struct {
	Keys []string       `json:"keys"`
	Info map[string]any `json:"key_info,omitempty"`
}

// List makes Keys.
func KeysOf(names []string) Keys { return Keys{Keys: names} }

// A Spec is the whole declaration of an engine whose instances are *E.
type Spec[E any] struct {
	Name    string // the type a mount is made with: "kv"
	Kind    Kind
	Match   map[string]string // options that choose this spec among those of one name
	Version string            // of the engine, as plugin_version shows it
	Help    string            // one line
	Open    func(Mount) (*E, error)
	Routes  Routes[E]
	Jobs    Jobs[E]
	// Renew, of an auth method, says what a token that it gave is like now, or
	// refuses its renewal with an error. Without it, the terms stay as they
	// were.
	Renew func(e *E, v View, r Renewal) (*Grant, error)
	// Check validates a mount's options before it is made or tuned.
	Check func(options map[string]string) error
	// Upgrade is run, once, when a mount changes to this spec from another of
	// its name (kv version 1 to 2).
	Upgrade func(tx Tx, from Info) error
}

// Routes are the paths of an engine.
type Routes[E any] []Route[E]

// Jobs are what an engine does later, by name.
type Jobs[E any] map[string]func(e *E, tx Tx, id string) error

// Info says what a Type is.
type Info struct {
	Name    string
	Kind    Kind
	Match   map[string]string
	Version string
	Help    string
	Routes  []*RouteInfo
}

// A Type is a Spec with its E forgotten: what catalog, mount and openapi hold.
type Type interface {
	Info() *Info
	Open(Mount) (Instance, error)
	CheckOptions(map[string]string) error
	Upgrade(tx Tx, from Info) error
}

// An Instance is an opened engine.
type Instance interface {
	// Find matches a path below the mount and an operation to a route.
	Find(op Op, path string) (Match, error)
	// Job runs one job.
	Job(tx Tx, job, id string) error
	// Renew asks an auth method about a token that it gave. A nil Grant leaves
	// the token's terms as they were.
	Renew(c *Call, r Renewal) (*Grant, error)
	// Undo ends something lent, if it is there.
	Undo(c *Call, l *Loan) error
	// Extend tells something lent that it lasts until a time.
	Extend(c *Call, l *Loan, until time.Time) error
}

// Type compiles the spec. It panics when two routes claim one path or a
// request type cannot be decoded: a mistake in the program.
func (s *Spec[E]) Type() Type {
	t := &compiled[E]{spec: s, info: &Info{Name: s.Name, Kind: s.Kind, Match: s.Match, Version: s.Version, Help: s.Help}}
	for i := range s.Routes {
		r := &s.Routes[i]
		r.Info.plan = planOf(r.Info.Request)
		t.info.Routes = append(t.info.Routes, r.Info)
		if err := t.tree.add(r.Info.Pattern, r.Info.ops, i); err != nil {
			panic(fmt.Sprintf("engine %s: %v", s.Name, err))
		}
	}
	return t
}

type compiled[E any] struct {
	spec *Spec[E]
	info *Info
	tree tree
}

func (t *compiled[E]) Info() *Info { return t.info }

func (t *compiled[E]) CheckOptions(o map[string]string) error {
	if t.spec.Check == nil {
		return nil
	}
	return t.spec.Check(o)
}

func (t *compiled[E]) Upgrade(tx Tx, from Info) error {
	if t.spec.Upgrade == nil {
		return nil
	}
	return t.spec.Upgrade(tx, from)
}

func (t *compiled[E]) Open(m Mount) (Instance, error) {
	e := new(E)
	if t.spec.Open != nil {
		var err error
		if e, err = t.spec.Open(m); err != nil {
			return nil, fmt.Errorf("open %s at %s: %w", t.spec.Name, m.Path, err)
		}
	}
	return &instance[E]{t, e}, nil
}

type instance[E any] struct {
	*compiled[E]
	e *E
}

func (in *instance[E]) Job(tx Tx, job, id string) error {
	f := in.spec.Jobs[job]
	if f == nil {
		return fmt.Errorf("engine %s has no job %q", in.spec.Name, job)
	}
	return f(in.e, tx, id)
}

func (in *instance[E]) Renew(c *Call, r Renewal) (*Grant, error) {
	if in.spec.Renew == nil {
		return nil, nil
	}
	return in.spec.Renew(in.e, reader{c}, r)
}

// Find matches a path and an operation. It returns ErrNoRoute when nothing
// matches the path and ErrNoOperation when something does, but not this op.
func (in *instance[E]) Find(op Op, path string) (Match, error) {
	m := Match{in: in}
	i, known := in.tree.find(op, path, &m.captures)
	switch {
	case i >= 0:
		m.Info, m.route = in.spec.Routes[i].Info, i
		return m, nil
	case known:
		return Match{}, ErrNoOperation
	}
	return Match{}, ErrNoRoute
}

func (in *instance[E]) run(route int, c *Call) (*Answer, error) {
	return in.spec.Routes[route].run(in.e, c)
}

func (in *instance[E]) exists(route int, c *Call) (bool, error) {
	return in.spec.Routes[route].exists(in.e, c)
}

func (in *instance[E]) who(route int, c *Call) (Who, error) {
	if f := in.spec.Routes[route].who; f != nil {
		return f(in.e, c)
	}
	return Who{}, nil
}

func (in *instance[E]) verify(route int, c *Call) (func(context.Context) any, error) {
	return in.spec.Routes[route].verify(in.e, c)
}
