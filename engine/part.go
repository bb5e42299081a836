package engine

import "context"

// Part has an engine serve the routes of a part of it: a subject that has a
// package of its own below one mount (identity/oidc in identity/).
func Part[E, P any](part *P, routes Routes[P]) Routes[E] {
	return Joined(routes, func(*E) *P { return part })
}

// Joined is Part where the engine knows its part only later. Routes that lend
// cannot be joined.
func Joined[E, P any](routes Routes[P], part func(*E) *P) Routes[E] {
	joined := make(Routes[E], 0, len(routes))
	for _, r := range routes {
		if r.lend != nil {
			panic("engine: route " + r.Info.Pattern + " lends and cannot be joined")
		}
		j := Route[E]{Info: r.Info, run: func(e *E, c *Call) (*Answer, error) { return r.run(part(e), c) }}
		if r.exists != nil {
			j.exists = func(e *E, c *Call) (bool, error) { return r.exists(part(e), c) }
		}
		if r.who != nil {
			j.who = func(e *E, c *Call) (Who, error) { return r.who(part(e), c) }
		}
		if r.verify != nil {
			j.verify = func(e *E, c *Call) (func(context.Context) any, error) { return r.verify(part(e), c) }
		}
		joined = append(joined, j)
	}
	return joined
}

// PartJobs is Part for what is done later. The names of jobs are the engine's:
// no two parts may have one in common.
func PartJobs[E, P any](part *P, jobs Jobs[P]) Jobs[E] {
	out := make(Jobs[E], len(jobs))
	for name, f := range jobs {
		out[name] = func(_ *E, tx Tx, id string) error { return f(part, tx, id) }
	}
	return out
}
