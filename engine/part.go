package engine

// Part has an engine serve the routes of a part of it: a subject that has a
// package of its own below one mount (identity/oidc in identity/). A part does
// not lend and lets nobody in.
func Part[E, P any](part *P, routes Routes[P]) Routes[E] {
	out := make(Routes[E], len(routes))
	for i := range routes {
		r := routes[i] // its functions are called later
		if r.lend != nil || r.who != nil {
			panic("engine: " + r.Info.Pattern + " of a part lends or is a login")
		}
		out[i] = Route[E]{Info: r.Info, run: func(_ *E, c *Call) (*Answer, error) { return r.run(part, c) }}
		if r.exists != nil {
			out[i].exists = func(_ *E, c *Call) (bool, error) { return r.exists(part, c) }
		}
	}
	return out
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
