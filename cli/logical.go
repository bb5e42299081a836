package cli

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// read, write, patch, delete, list: the commands that take any path.

func bindRead(*flags) action {
	return func(c *call) error {
		if err := c.want(1, -1); err != nil {
			return err
		}
		q, err := c.query(1)
		if err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		if c.ui.format == "raw" {
			return c.raw(cl, client.Request{Method: http.MethodGet, Path: c.path(0), Query: q}, "Error reading %s: %w")
		}
		a, err := cl.Read(c.ctx, c.path(0), q)
		switch {
		case err != nil:
			return remote("Error reading %s: %w", c.path(0), err)
		case a == nil:
			return remote("No value found at %s", c.path(0))
		}
		return c.ui.secret(a)
	}
}

// raw prints a body as it came.
func (c *call) raw(cl *client.Client, q client.Request, failed string) error {
	r, err := cl.Do(c.ctx, q)
	if client.Status(err) == http.StatusNotFound {
		return remote("No value found at %s", q.Path)
	}
	if err != nil {
		return remote(failed, q.Path, err)
	}
	_, err = c.ui.stdout.Write(r.Body)
	return err
}

func bindWrite(f *flags) action {
	force := f.toggle("force", false, "Write even without data.")
	f.set.BoolVar(force, "f", false, "Short for -force.")
	return func(c *call) error {
		return c.send(*force, (*client.Client).Write)
	}
}

func bindPatch(f *flags) action {
	force := f.toggle("force", false, "Patch even without data.")
	f.set.BoolVar(force, "f", false, "Short for -force.")
	return func(c *call) error {
		return c.send(*force, (*client.Client).Patch)
	}
}

type sender func(cl *client.Client, ctx ctx, path string, body []byte) (*api.Answer, error)

// send writes or patches the data of the command line.
func (c *call) send(force bool, send sender) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	if len(c.args) == 1 && !force {
		return local("Must supply data or use -force")
	}
	data, err := c.payload(1)
	if err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	a, err := send(cl, c.ctx, c.path(0), rawBody(data))
	if err != nil {
		return remote("Error writing data to %s: %w", c.path(0), err)
	}
	return c.written(a, c.path(0))
}

// rawBody is the user's own JSON: null members stay.
func rawBody(o object) []byte {
	if len(o) == 0 {
		return []byte("{}")
	}
	return mustJSON(o)
}

// written prints the answer to a write, or that there was none.
func (c *call) written(a *api.Answer, path string) error {
	if a == nil {
		// The caller may have asked for a field to use; silence would hide the mistake.
		if c.ui.field != "" {
			return local("Field %q not present in secret", c.ui.field)
		}
		c.ui.success("Success! Data written to: %s", path)
		return nil
	}
	return c.ui.secret(a)
}

func bindDelete(*flags) action {
	return func(c *call) error {
		if err := c.want(1, -1); err != nil {
			return err
		}
		q, err := c.query(1)
		if err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		a, err := cl.Delete(c.ctx, c.path(0), q)
		if err != nil {
			return remote("Error deleting %s: %w", c.path(0), err)
		}
		return c.deleted(a, c.path(0))
	}
}

func (c *call) deleted(a *api.Answer, path string) error {
	if a == nil {
		c.ui.success("Success! Data deleted (if it existed) at: %s", path)
		return nil
	}
	return c.ui.secret(a)
}

func bindList(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		return c.list(cl, asFolder(c.path(0)))
	}
}

// asFolder ends a path in a slash, as names of folders do.
func asFolder(path string) string { return strings.TrimRight(path, "/") + "/" }

// list prints the names at a path.
func (c *call) list(cl *client.Client, path string) error {
	if c.ui.format == "raw" {
		return c.raw(cl, client.Request{Method: http.MethodGet, Path: path, Query: url.Values{"list": {"true"}}}, "Error listing %s: %w")
	}
	a, err := cl.List(c.ctx, path)
	if err != nil {
		return remote("Error listing %s: %w", path, err)
	}
	if a != nil && a.WrapInfo != nil {
		return c.ui.secret(a)
	}
	if len(dataOf(a).strings("keys")) == 0 {
		if !c.ui.isTable() {
			// A script that parses still gets an object, and the code says the rest.
			if err := c.ui.structured(object{}); err != nil {
				return err
			}
			return silent(exitServer)
		}
		return remote("No value found at %s", path)
	}
	return c.ui.names(a)
}
