package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/cluster"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/wire"
)

// errAnswered says that the answer is with the client already: another node's.
var errAnswered = errors.New("answered by another node")

// leaderTime is how long a request waits for a node that leads.
const leaderTime = 20 * time.Second

// answer serves a request on one of several nodes. What reads is answered here,
// by rows that show all that was acknowledged anywhere; the leader does the rest.
func (f *Fleet) answer(ctx context.Context, w http.ResponseWriter, x *exchange) (*wire.Reply, error) {
	route := f.server.sysRoute(x)
	if route.Sealed && route.Place == engine.AnyNode { // of this node, with or without a leader
		return f.server.answerHere(ctx, w, x)
	}
	if !route.Uploads { // a file is of any size, and is not sent on
		x.kept = keepBody(w, x)
	}
	if x.door.forwarded && !f.active() {
		return f.forward(ctx, w, x)
	}
	bounded, cancel := context.WithTimeout(ctx, leaderTime)
	defer cancel()
	if err := f.server.store.Fresh(bounded); err != nil {
		return nil, noLeader(err)
	}
	if route.Uploads {
		rep, err := f.server.answerHere(ctx, w, x)
		if errors.Is(err, storage.ErrNotLeader) {
			err = engine.Status(http.StatusServiceUnavailable, "this node does not lead, and files are not sent on: ask the node that sys/leader names")
		}
		return rep, err
	}
	if !f.active() {
		elsewhere, err := f.elsewhere(ctx, x)
		if err != nil {
			return nil, err
		}
		if elsewhere {
			return f.forward(ctx, w, x)
		}
	}
	rep, err := f.server.answerHere(ctx, w, x)
	if errors.Is(err, storage.ErrNotLeader) || errors.Is(err, barrier.ErrNoLeadership) {
		return f.forward(ctx, w, x) // nothing was done
	}
	return rep, err
}

func noLeader(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return engine.Status(http.StatusServiceUnavailable, "no node leads the cluster, or this one cannot reach it: see sys/leader and operator raft list-peers on the others")
	}
	return err
}

// sysRoute is the route of a request to sys in the root namespace, found without
// any rows; the zero route for all others.
func (s *Server) sysRoute(x *exchange) engine.RouteInfo {
	rest, ok := strings.CutPrefix(x.q.Path, "sys/")
	if !ok || x.q.Namespace != "" {
		return engine.RouteInfo{}
	}
	m, err := s.sysInstance.Find(x.q.Op, rest)
	if err != nil {
		return engine.RouteInfo{}
	}
	return *m.Info
}

// elsewhere says whether only the leader can answer.
func (f *Fleet) elsewhere(ctx context.Context, x *exchange) (bool, error) {
	err := f.server.store.View(ctx, func(tx *storage.Tx) error {
		_, err := f.server.find(tx, x)
		return err
	})
	if err != nil || x.noRoute != nil {
		return false, err
	}
	return x.match.Info.Place == engine.ActiveNode || x.q.WrapTTL > 0, nil
}

// forward has the node that leads answer, whichever that comes to be.
func (f *Fleet) forward(ctx context.Context, w http.ResponseWriter, x *exchange) (*wire.Reply, error) {
	if x.door.forwarded {
		cluster.AnswerNotLeader(w)
		return nil, errAnswered
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTime)
	defer cancel()
	door, err := x.door.describe()
	if err != nil {
		return nil, err
	}
	for {
		news := f.log.Changed()
		if f.active() {
			r := x.q.HTTP
			r.Body = io.NopCloser(x.kept.again())
			f.server.serve(w, r, x.door)
			return nil, errAnswered
		}
		if to := f.log.Leader(); to != 0 && to != f.log.ID() {
			done, err := f.forwardTo(ctx, w, x, to, door)
			if done {
				return nil, err
			}
		}
		select {
		case <-news:
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, noLeader(context.DeadlineExceeded)
		}
	}
}

// forwardTo asks one node. What it may have begun is not asked for again, unless
// it only reads.
func (f *Fleet) forwardTo(ctx context.Context, w http.ResponseWriter, x *exchange, to uint64, door string) (done bool, err error) {
	resp, err := f.net.Forward(ctx, to, x.q.HTTP, x.kept.again(), cluster.Origin{Door: door})
	var broken cluster.ErrBroken
	switch {
	case err == nil:
	case errors.As(err, &broken) && broken.Sent && x.q.Op != engine.OpRead && x.q.Op != engine.OpList:
		return true, engine.Status(http.StatusServiceUnavailable, "the connection to the node that leads broke, and whether the request was served is not known: look before repeating it")
	default:
		return false, nil
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(flushing{w}, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // the client must not take it for a whole answer
	}
	return true, errAnswered
}

// flushing passes on what it is given at once: an answer may be a stream.
type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	if err == nil {
		_ = http.NewResponseController(f.w).Flush() // what cannot be flushed comes later
	}
	return n, err
}

// A keptBody is a request's body, which may have to be read more than once.
type keptBody struct {
	read bytes.Buffer
	rest io.ReadCloser
}

func keepBody(w http.ResponseWriter, x *exchange) *keptBody {
	k := &keptBody{rest: http.NoBody}
	if x.q.HTTP.Body != nil {
		k.rest = http.MaxBytesReader(w, x.q.HTTP.Body, x.door.limits.Body())
		x.q.HTTP.Body = k
	}
	return k
}

func (k *keptBody) Read(b []byte) (int, error) {
	n, err := k.rest.Read(b)
	k.read.Write(b[:n])
	return n, err
}

func (k *keptBody) Close() error { return k.rest.Close() }

// again is the body from its beginning.
func (k *keptBody) again() io.Reader {
	return io.MultiReader(bytes.NewReader(bytes.Clone(k.read.Bytes())), k)
}

// forwarded serves what came to another node.
func (f *Fleet) forwarded(w http.ResponseWriter, r *http.Request) {
	defer f.server.recovered(w, r)
	o, ok := cluster.OriginOf(r)
	d, err := doorOf(o.Door)
	if !ok || err != nil {
		http.Error(w, "it does not say how it came", http.StatusBadRequest)
		return
	}
	f.server.serve(w, r, d)
}

// A doorOnWire is a door as one node describes it to another.
type doorOnWire struct {
	Limits    wire.Limits
	Open      map[string]bool
	Pprof     bool
	Chroot    string
	Addresses bool
	Cluster   bool
	Version   bool
}

func (d *door) describe() (string, error) {
	b, err := json.Marshal(doorOnWire{d.limits, d.open, d.pprof, d.chroot, d.redactAddresses, d.redactClusterName, d.redactVersion})
	return string(b), err
}

func doorOf(text string) (*door, error) {
	var d doorOnWire
	err := json.Unmarshal([]byte(text), &d)
	return &door{limits: d.Limits, open: d.Open, pprof: d.Pprof, chroot: d.Chroot, forwarded: true,
		redactAddresses: d.Addresses, redactClusterName: d.Cluster, redactVersion: d.Version}, err
}
