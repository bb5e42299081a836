package engine

import "context"

// Joined makes the routes of a part of an engine routes of the engine itself:
// what a folder of its own owns is served at the engine's mount. Routes that
// lend cannot be joined.
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
