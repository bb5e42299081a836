package cli

import (
	"net/http"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// token create, lookup, renew, revoke, capabilities.

func bindTokenCreate(f *flags) action {
	var (
		id        = f.text("id", "", "`Value` of the token; chosen by the server when not given.")
		display   = f.text("display-name", "", "`Name` for the audit log.")
		ttl       = f.duration("ttl", "How `long` the token lives.")
		maxTTL    = f.duration("explicit-max-ttl", "How `long` it can live at most, however often renewed.")
		period    = f.duration("period", "Makes it periodic: each renewal gives it this `long`.")
		renewable = f.toggle("renewable", true, "Whether it can be renewed.")
		orphan    = f.toggle("orphan", false, "Make it outlive the token that creates it.")
		noDefault = f.toggle("no-default-policy", false, "Leave out the default policy.")
		uses      = f.number("use-limit", 0, "How many requests it is good for; 0 is no limit.")
		role      = f.text("role", "", "`Role` to create it by.")
		kind      = f.text("type", "service", "service or batch.")
		meta      = f.pairs("metadata", "A note on the token, `key=value`. May be repeated.")
		policies  = f.list("policy", "`Name` of a policy. May be repeated.")
		alias     = f.text("entity-alias", "", "`Name` of the entity alias to tie it to; needs -role.")
	)
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		path := "auth/token/create"
		switch {
		case *role != "":
			path += "/" + *role
		case *orphan:
			path += "-orphan"
		}
		o := object{
			"id": orNil(*id), "display_name": orNil(*display), "ttl": orNil(seconds(*ttl)),
			"explicit_max_ttl": orNil(seconds(*maxTTL)), "period": orNil(seconds(*period)),
			"no_parent": orNil(*orphan), "no_default_policy": orNil(*noDefault), "num_uses": orNil(*uses),
			"renewable": *renewable, "type": *kind, "meta": someOrNil(meta, len(meta)),
			"policies": someOrNil(*policies, len(*policies)), "entity_alias": orNil(*alias),
		}
		a, err := cl.Answer(c.ctx, client.Request{Method: http.MethodPost, Path: path, Body: body(o)})
		if err == nil && a == nil {
			return remote("Error creating token: the server gave none")
		}
		if err != nil {
			return remote("Error creating token: %w", err)
		}
		return c.ui.secret(a)
	}
}

func bindTokenLookup(f *flags) action {
	accessor := f.toggle("accessor", false, "The argument is an accessor.")
	return func(c *call) error {
		if err := c.onToken(*accessor); err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		var a *api.Answer
		switch {
		case *accessor:
			a, err = post(c, cl, "auth/token/lookup-accessor", object{"accessor": c.arg(0)})
		case c.arg(0) != "":
			a, err = post(c, cl, "auth/token/lookup", object{"token": c.arg(0)})
		default:
			a, err = cl.Read(c.ctx, "auth/token/lookup-self", nil)
		}
		return c.tokenAnswer(a, err, "Error looking up token: %w")
	}
}

func bindTokenRenew(f *flags) action {
	accessor := f.toggle("accessor", false, "The argument is an accessor.")
	increment := f.duration("increment", "How `long` it should last from now; the server may give less.")
	f.set.Var((*durationValue)(increment), "i", "Short for -increment.")
	return func(c *call) error {
		if err := c.onToken(*accessor); err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		o := object{"increment": orNil(seconds(*increment))}
		path := "auth/token/renew-self"
		switch {
		case *accessor:
			o["accessor"], path = c.arg(0), "auth/token/renew-accessor"
		case c.arg(0) != "":
			o["token"], path = c.arg(0), "auth/token/renew"
		}
		a, err := put(c, cl, path, o)
		return c.tokenAnswer(a, err, "Error renewing token: %w")
	}
}

// onToken checks arguments: a token is optional, an accessor is not.
func (c *call) onToken(accessor bool) error {
	if accessor {
		return c.want(1, 1)
	}
	if len(c.args) > 1 {
		return local("Too many arguments (expected 0 or 1, got %d)", len(c.args))
	}
	return nil
}

func (c *call) tokenAnswer(a *api.Answer, err error, failed string) error {
	if err != nil {
		return remote(failed, err)
	}
	if a == nil {
		return remote("Error: the server knows no such token")
	}
	return c.ui.secret(a)
}

func bindTokenRevoke(f *flags) action {
	accessor := f.toggle("accessor", false, "The argument is an accessor.")
	self := f.toggle("self", false, "Revoke the token in use.")
	mode := f.text("mode", "", "orphan keeps its children; path revokes all made by a mount (its `path` is the argument).")
	return func(c *call) error {
		if *self && len(c.args) > 0 {
			return local("Too many arguments with -self (expected 0, got %d)", len(c.args))
		}
		if !*self {
			if err := c.want(1, 1); err != nil {
				return err
			}
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		path, o := "auth/token/revoke", object{"token": c.arg(0)}
		switch {
		case (*self || *accessor) && *mode != "":
			return local("-mode goes with neither -self nor -accessor")
		case *self && *accessor:
			return local("-self and -accessor exclude each other")
		case *self:
			path, o = "auth/token/revoke-self", nil
		case *accessor:
			path, o = "auth/token/revoke-accessor", object{"accessor": c.arg(0)}
		case *mode == "orphan":
			path = "auth/token/revoke-orphan"
		case *mode == "path":
			path, o = "sys/revoke-prefix/"+c.path(0), nil
		case *mode != "":
			return local("Invalid mode: %s", *mode)
		}
		if _, err := put(c, cl, path, o); err != nil {
			return remote("Error revoking token: %w", err)
		}
		c.ui.success("Success! Revoked token (if it existed)")
		return nil
	}
}

func bindTokenCapabilities(f *flags) action {
	accessor := f.toggle("accessor", false, "The first argument is an accessor.")
	return func(c *call) error {
		least := 1
		if *accessor {
			least = 2
		}
		cl, err := c.clientFor(least, 2)
		if err != nil {
			return err
		}
		at, o := "sys/capabilities-self", object{"paths": []string{c.path(len(c.args) - 1)}}
		switch {
		case *accessor:
			at, o["accessor"] = "sys/capabilities-accessor", c.arg(0)
		case len(c.args) == 2:
			at, o["token"] = "sys/capabilities", c.arg(0)
		}
		a, err := post(c, cl, at, o)
		if err != nil {
			return remote("Error listing capabilities: %w", err)
		}
		d := dataOf(a)
		caps := d.strings(c.path(len(c.args) - 1))
		if len(caps) == 0 {
			caps = d.strings("capabilities")
		}
		slices.Sort(caps)
		if !c.ui.isTable() {
			return c.ui.structured(caps)
		}
		c.ui.out(strings.Join(caps, ", "))
		return nil
	}
}

// put and post send an object of our own making; nil sends no body.
func put(c *call, cl *client.Client, path string, o object) (*api.Answer, error) {
	return sendAs(c, cl, http.MethodPut, path, o)
}

func post(c *call, cl *client.Client, path string, o object) (*api.Answer, error) {
	return sendAs(c, cl, http.MethodPost, path, o)
}

func sendAs(c *call, cl *client.Client, method, path string, o object) (*api.Answer, error) {
	q := client.Request{Method: method, Path: path}
	if o != nil {
		q.Body = body(o)
	}
	return cl.Answer(c.ctx, q)
}
