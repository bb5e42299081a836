package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/storage"
)

// An Op is what a request does to a path.
type Op byte

// The operations. POST and PUT are both OpWrite; whether that is a create or an
// update is known only after looking.
const (
	OpRead Op = iota
	OpList
	OpWrite
	OpDelete
	OpPatch
	numOps
)

func (o Op) String() string { return [...]string{"read", "list", "update", "delete", "patch"}[o] }

// A Place says where a route's function runs.
type Place byte

// The places.
const (
	AnyNode    Place = iota // reads the log; every node can
	ActiveNode              // writes the log
)

// RouteInfo is a route without its function: what help, OpenAPI, policy and
// forwarding go by.
type RouteInfo struct {
	Pattern  string
	Doc      string // one line
	Request  reflect.Type
	Response reflect.Type
	Mode     storage.Mode
	Place    Place
	Login    bool     // no token is asked for
	Grants   bool     // answers a Grant: a login
	Verifies bool     // Match.Verify is to be called before the transaction
	Lends    bool     // answers a Loan, which is made after the transaction
	Sudo     bool     // the token needs sudo on the path
	Flat     bool     // data is repeated at the top level of the envelope
	Bare     bool     // data is the whole body
	Quiet    bool     // not audited: health and the like
	Sealed   bool     // may run while the barrier is sealed
	Outside  bool     // acts outside of a transaction
	Uploads  bool     // reads the request's body itself, as it comes
	Unwraps  bool     // with Login: a token is asked for when another's is in the body
	Creates  bool     // tells create from update by looking
	RootOnly bool     // exists in the root namespace only
	only     []string // the parameters that it knows of Request's, if not all
	ops      []Op
	plan     *plan
}

// Ops are the operations that the route answers.
func (r *RouteInfo) Ops() []Op { return r.ops }

// Takes says whether a parameter of Request, in the body or the query, means
// something to the route: requests that routes share name those of others too.
func (r *RouteInfo) Takes(parameter string) bool {
	return r.only == nil || slices.Contains(r.only, parameter)
}

// A Route is one path of an engine and the function behind it.
type Route[E any] struct {
	Info   *RouteInfo
	run    func(*E, *Call) (*Answer, error)
	exists func(*E, *Call) (bool, error)
	who    func(*E, *Call) (Who, error)
	verify func(*E, *Call) (func(context.Context) any, error)
	lend   *lender[E]
}

// Doc says what the route is for, in one line.
func (r Route[E]) Doc(line string) Route[E] { r.Info.Doc = line; return r }

// Public marks a route that needs no token.
func (r Route[E]) Public() Route[E] { r.Info.Login = true; return r }

// Unwrapping marks a public route that acts on a wrapping token: the request's
// own, or one in its body, for which the caller needs a token of its own.
func (r Route[E]) Unwrapping() Route[E] { r.Info.Login, r.Info.Unwraps = true, true; return r }

// Sudo marks a route that needs the sudo capability besides its own.
func (r Route[E]) Sudo() Route[E] { r.Info.Sudo = true; return r }

// TopLevel repeats the data's keys beside the envelope's, as Vault's sys does.
func (r Route[E]) TopLevel() Route[E] { r.Info.Flat = true; return r }

// Bare answers the data without an envelope.
func (r Route[E]) Bare() Route[E] { r.Info.Bare = true; return r }

// Quiet leaves the route out of the audit log.
func (r Route[E]) Quiet() Route[E] { r.Info.Quiet = true; return r }

// WhileSealed lets the route run without the barrier's keys.
func (r Route[E]) WhileSealed() Route[E] { r.Info.Sealed = true; return r }

// OnActive marks a route that the active node answers although it only reads:
// it tells what that node alone knows.
func (r Route[E]) OnActive() Route[E] { r.Info.Place = ActiveNode; return r }

// OnThisNode marks a route that acts on the node that was asked, and on no other.
func (r Route[E]) OnThisNode() Route[E] { r.Info.Place = AnyNode; return r }

// RootNamespace hides the route in other namespaces.
func (r Route[E]) RootNamespace() Route[E] { r.Info.RootOnly = true; return r }

func route[E, Req, Resp any](pattern string, mode storage.Mode, ops []Op, run func(*E, *Call, Req) (Resp, error)) Route[E] {
	info := &RouteInfo{
		Pattern: pattern, Mode: mode, ops: ops,
		Request: reflect.TypeFor[Req](), Response: reflect.TypeFor[Resp](),
	}
	if mode == storage.ReadWrite {
		info.Place = ActiveNode
	}
	return Route[E]{Info: info, run: func(e *E, c *Call) (*Answer, error) {
		var req Req
		if err := c.decode(info.plan, reflect.ValueOf(&req).Elem(), decoding{}); err != nil {
			return nil, err
		}
		decoded := len(c.Warnings)
		resp, err := run(e, c, req)
		if err != nil {
			return nil, err
		}
		a := answerOf(any(resp))
		if a == nil {
			c.Warnings = c.Warnings[decoded:] // of parameters that say nothing, only an answer tells
		}
		return a, nil
	}}
}

// answerOf wraps what a function returned. nil and None say nothing.
func answerOf(resp any) *Answer {
	switch v := resp.(type) {
	case nil:
		return nil
	case None:
		return nil
	case *Answer:
		return v
	case *Raw:
		if v == nil {
			return nil
		}
		return &Answer{Raw: v}
	case json.RawMessage:
		if v == nil {
			return nil
		}
		return &Answer{Data: resp}
	}
	if v := reflect.ValueOf(resp); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	return &Answer{Data: resp}
}

// Read answers GET from a view. A nil answer is 404.
func Read[E, Req, Resp any](pattern string, f func(*E, View, Req) (Resp, error)) Route[E] {
	return route(pattern, storage.ReadOnly, []Op{OpRead}, func(e *E, c *Call, req Req) (Resp, error) {
		return f(e, reader{c}, req)
	})
}

// List answers LIST, and GET with list=true. No keys are 404.
func List[E, Req any](pattern string, f func(*E, View, Req) (Keys, error)) Route[E] {
	return route(pattern, storage.ReadOnly, []Op{OpList}, func(e *E, c *Call, req Req) (Keys, error) {
		return f(e, reader{c}, req)
	})
}

// Compute answers POST and PUT from a view: it works on what it was sent, and
// runs on every node.
func Compute[E, Req, Resp any](pattern string, f func(*E, View, Req) (Resp, error)) Route[E] {
	return route(pattern, storage.ReadOnly, []Op{OpWrite}, func(e *E, c *Call, req Req) (Resp, error) {
		return f(e, reader{c}, req)
	})
}

// ComputeOr is Compute for what now and then has to write: when compute answers
// ErrMustWrite, write runs in its place, in a transaction on the active node.
func ComputeOr[E, Req, Resp any](pattern string, compute func(*E, View, Req) (Resp, error), write func(*E, Tx, Req) (Resp, error)) Route[E] {
	return route(pattern, storage.ReadOnly, []Op{OpWrite}, func(e *E, c *Call, req Req) (Resp, error) {
		resp, err := compute(e, reader{c}, req)
		switch {
		case !errors.Is(err, ErrMustWrite):
			return resp, err
		case c.Whole.Mode() == storage.ReadOnly:
			return resp, storage.ErrUpgrade
		}
		return write(e, c, req)
	})
}

// Write answers POST and PUT in a transaction.
func Write[E, Req, Resp any](pattern string, f func(*E, Tx, Req) (Resp, error)) Route[E] {
	return route(pattern, storage.ReadWrite, []Op{OpWrite}, func(e *E, c *Call, req Req) (Resp, error) {
		return f(e, c, req)
	})
}

// Patch answers PATCH in a transaction.
func Patch[E, Req, Resp any](pattern string, f func(*E, Tx, Req) (Resp, error)) Route[E] {
	return route(pattern, storage.ReadWrite, []Op{OpPatch}, func(e *E, c *Call, req Req) (Resp, error) {
		return f(e, c, req)
	})
}

// Delete answers DELETE in a transaction.
func Delete[E, Req, Resp any](pattern string, f func(*E, Tx, Req) (Resp, error)) Route[E] {
	return route(pattern, storage.ReadWrite, []Op{OpDelete}, func(e *E, c *Call, req Req) (Resp, error) {
		return f(e, c, req)
	})
}

// Issue answers GET in a transaction: a read that leaves a trace.
func Issue[E, Req, Resp any](pattern string, f func(*E, Tx, Req) (Resp, error)) Route[E] {
	return route(pattern, storage.ReadWrite, []Op{OpRead}, func(e *E, c *Call, req Req) (Resp, error) {
		return f(e, c, req)
	})
}

// Outside is for the system itself: after the request was authorised and
// audited, f runs once, outside of any transaction, and may act on the world
// (unseal, open a file). It is not for engines.
func Outside[E, Req, Resp any](pattern string, op Op, f func(*E, context.Context, *Caller, Req) (Resp, error)) Route[E] {
	r := route(pattern, storage.ReadWrite, []Op{op}, func(e *E, c *Call, req Req) (Resp, error) {
		return f(e, c.Context(), c.Caller(), req)
	})
	r.Info.Outside = true
	return r
}

// An Upload is a body as it comes in: of any length, and not JSON.
type Upload struct {
	io.Reader
	Header http.Header
}

// Uploaded is Outside for a route whose body is a file. f reads it.
func Uploaded[E, Req, Resp any](pattern string, op Op, f func(*E, context.Context, *Caller, Req, Upload) (Resp, error)) Route[E] {
	r := route(pattern, storage.ReadWrite, []Op{op}, func(e *E, c *Call, req Req) (Resp, error) {
		return f(e, c.Context(), c.Caller(), req, c.Upload)
	})
	r.Info.Outside, r.Info.Uploads = true, true
	return r
}

// Exists tells create from update: Vault asks for the create capability when
// the thing is not there yet.
func Exists[E, Req any](r Route[E], f func(*E, View, Req) (bool, error)) Route[E] {
	r.Info.Creates = true
	info := r.Info
	r.exists = func(e *E, c *Call) (bool, error) {
		var req Req
		if err := c.decodePath(planOf(info.Request), reflect.ValueOf(&req).Elem()); err != nil {
			return false, err
		}
		return f(e, reader{c}, req)
	}
	return r
}

// A Match is a route found for a path.
type Match struct {
	Info     *RouteInfo
	captures captures
	in       routed
	route    int
}

// routed is an instance, as a Match needs it.
type routed interface {
	run(route int, c *Call) (*Answer, error)
	exists(route int, c *Call) (bool, error)
	who(route int, c *Call) (Who, error)
	verify(route int, c *Call) (func(context.Context) any, error)
	create(route int, ctx context.Context, l *Loan) (*Answer, error)
}

// Run runs the route's function.
func (m *Match) Run(c *Call) (*Answer, error) {
	c.captures = m.captures
	return m.in.run(m.route, c)
}

// Exists says whether the thing written to is there. It is true for routes
// that do not look, which makes every write an update.
func (m *Match) Exists(c *Call) (bool, error) {
	if !m.Info.Creates {
		return true, nil
	}
	c.captures = m.captures
	return m.in.exists(m.route, c)
}

// Who says whom a login is about; nobody when the route does not tell.
func (m *Match) Who(c *Call) (Who, error) {
	c.captures = m.captures
	return m.in.who(m.route, c)
}

// Verify looks up what a login is verified against. The function that it
// returns is to run once, outside of any transaction; what that returns belongs
// in the Verified of the call that the route runs with.
func (m *Match) Verify(c *Call) (func(context.Context) any, error) {
	c.captures = m.captures
	return m.in.verify(m.route, c)
}

// Capture returns the value captured under a name, or "".
func (m *Match) Capture(name string) string { return m.captures.get(name) }

func trimSlash(path string) string { return strings.TrimSuffix(path, "/") }
