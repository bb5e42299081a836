package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// Terms are for how long something is lent. Zero values leave it to the mount
// and the system.
type Terms struct {
	TTL          time.Duration
	MaxTTL       time.Duration
	NotRenewable bool
}

// A Loan is something lent: what a lending route planned, on its way to being
// made, and later ended. Data is what the route's functions need to know of it;
// it is kept sealed with the lease.
type Loan struct {
	Kind  string // pattern of the route
	Data  json.RawMessage
	Terms Terms
}

// A lender is the later half of a lending route.
type lender[E any] struct {
	create func(*E, context.Context, *Loan) (*Answer, error)
	undo   func(*E, *Call, *Loan) error
	extend func(*E, *Call, *Loan, time.Time) error // nil when a renewal needs nothing outside
}

// Lend answers GET and POST with something that is made outside and ends with
// its lease. Three functions share nothing but data:
//
//   - plan chooses what to make, and on which terms, from a view;
//   - create makes it, without storage. It may complete the data;
//   - undo ends it, or finds that it is not there: also after a create that
//     failed halfway, or of which nobody knows whether it happened. It may run
//     more than once.
//
// Between plan and create a row is committed that has undo run in a while, so
// nothing that was made is ever forgotten.
func Lend[E, Req, Data, Resp any](pattern string,
	plan func(*E, View, Req) (*Data, Terms, error),
	create func(*E, context.Context, *Data) (Resp, error),
	undo func(*E, Tx, *Data) error,
) Route[E] {
	r := route(pattern, storage.ReadWrite, []Op{OpRead, OpWrite}, func(e *E, c *Call, req Req) (*Answer, error) {
		data, terms, err := plan(e, reader{c}, req)
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(data)
		if err != nil {
			return nil, fmt.Errorf("encode loan: %w", err)
		}
		return &Answer{Loan: &Loan{Kind: pattern, Data: b, Terms: terms}}, nil
	})
	r.Info.Lends, r.Info.Response = true, reflect.TypeFor[Resp]()
	r.lend = &lender[E]{
		create: func(e *E, ctx context.Context, l *Loan) (*Answer, error) {
			data := new(Data)
			if err := json.Unmarshal(l.Data, data); err != nil {
				return nil, fmt.Errorf("decode loan: %w", err)
			}
			resp, err := create(e, ctx, data)
			if err != nil {
				return nil, err
			}
			if l.Data, err = json.Marshal(data); err != nil {
				return nil, fmt.Errorf("encode loan: %w", err)
			}
			return answerOf(any(resp)), nil
		},
		undo: func(e *E, c *Call, l *Loan) error {
			data := new(Data)
			if err := json.Unmarshal(l.Data, data); err != nil {
				return fmt.Errorf("decode loan: %w", err)
			}
			return undo(e, c, data)
		},
	}
	return r
}

// Extended has f run when a lease of the route is renewed, before the renewal
// counts: what was lent may have to be told when it ends. It may run more than
// once.
func Extended[E, Data any](r Route[E], f func(e *E, v View, data *Data, until time.Time) error) Route[E] {
	r.lend.extend = func(e *E, c *Call, l *Loan, until time.Time) error {
		data := new(Data)
		if err := json.Unmarshal(l.Data, data); err != nil {
			return fmt.Errorf("decode loan: %w", err)
		}
		return f(e, reader{c}, data, until)
	}
	return r
}

// Create makes what was planned. It is called outside of any transaction.
func (m *Match) Create(ctx context.Context, l *Loan) (*Answer, error) {
	return m.in.create(m.route, ctx, l)
}

func (in *instance[E]) create(route int, ctx context.Context, l *Loan) (*Answer, error) {
	return in.spec.Routes[route].lend.create(in.e, ctx, l)
}

func (in *instance[E]) lender(kind string) (*lender[E], error) {
	for i := range in.spec.Routes {
		if r := &in.spec.Routes[i]; r.lend != nil && r.Info.Pattern == kind {
			return r.lend, nil
		}
	}
	return nil, fmt.Errorf("engine %s lends nothing of kind %q", in.spec.Name, kind)
}

// Undo ends a loan.
func (in *instance[E]) Undo(c *Call, l *Loan) error {
	lend, err := in.lender(l.Kind)
	if err != nil {
		return err
	}
	return lend.undo(in.e, c, l)
}

// Extend tells what was lent that it lasts longer.
func (in *instance[E]) Extend(c *Call, l *Loan, until time.Time) error {
	lend, err := in.lender(l.Kind)
	if err != nil || lend.extend == nil {
		return err
	}
	return lend.extend(in.e, c, l, until)
}
