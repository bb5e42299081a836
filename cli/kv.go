package cli

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// The kv commands take "secret/app" or "-mount=secret app" and ask the server
// whether the mount keeps versions, since the paths behind them differ.

// A kvPlace is a key, or a folder, in a mount.
type kvPlace struct {
	mount     string // ends in a slash
	key       string
	versioned bool
}

// at is the place's path: under kind in a versioned mount, plain otherwise.
func (p kvPlace) at(kind string) string {
	if !p.versioned {
		return p.mount + p.key
	}
	return p.mount + kind + "/" + p.key
}

func mountFlag(f *flags) *string {
	return f.text("mount", "", "`Path` of the mount; the key is then relative to it.")
}

// kv finds the client and the place that a kv command is about.
func (c *call) kv(mount string) (*client.Client, kvPlace, error) {
	cl, err := c.client()
	if err != nil {
		return nil, kvPlace{}, err
	}
	key := c.path(0)
	whole := key
	if mount != "" {
		whole = asMount(mount)
	}
	p, err := preflight(c, live(cl), whole)
	if err != nil {
		return nil, p, remote("%w", err)
	}
	if mount != "" {
		p.mount, p.key = whole, key
		return cl, p, nil
	}
	p.key = strings.TrimPrefix(key, p.mount)
	if strings.TrimSuffix(key, "/")+"/" == p.mount {
		p.key = ""
	}
	return cl, p, nil
}

// preflight asks what is mounted over a path.
func preflight(c *call, cl *client.Client, path string) (kvPlace, error) {
	a, err := cl.Read(c.ctx, "sys/internal/ui/mounts/"+strings.TrimSuffix(path, "/"), nil)
	if client.Status(err) == http.StatusNotFound || (err == nil && a == nil) {
		// A server that has no such path is older than versions.
		mount, _, _ := strings.Cut(path, "/")
		return kvPlace{mount: mount + "/"}, nil
	}
	if err != nil {
		return kvPlace{}, err
	}
	d := dataOf(a)
	return kvPlace{mount: asMount(d.text("path")), versioned: d.member("options").text("version") == "2"}, nil
}

func bindKVGet(f *flags) action {
	mount := mountFlag(f)
	version := f.number("version", 0, "Version to read; the newest when not given.")
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		cl, p, err := c.kv(*mount)
		if err != nil {
			return err
		}
		var q url.Values
		if p.versioned && *version > 0 {
			q = url.Values{"version": {strconv.Itoa(*version)}}
		}
		if c.ui.format == "raw" {
			return c.raw(cl, client.Request{Method: http.MethodGet, Path: p.at("data"), Query: q}, "Error reading %s: %w")
		}
		a, err := cl.Read(c.ctx, p.at("data"), q)
		switch {
		case err != nil:
			return remote("Error reading %s: %w", p.at("data"), err)
		case a == nil:
			return remote("No value found at %s", p.at("data"))
		}
		return c.showKV(p, a)
	}
}

// showKV prints one key's answer.
func (c *call) showKV(p kvPlace, a *api.Answer) error {
	data := dataOf(a)
	if c.ui.field != "" && a.WrapInfo == nil && p.versioned {
		if data.member("data") == nil {
			return remote("No data found at %s", p.at("data"))
		}
		return c.ui.fieldIn(data.member("data"))
	}
	if c.ui.field != "" || a.WrapInfo != nil || !c.ui.isTable() {
		return c.ui.secret(a)
	}
	c.ui.warnings(a.Warnings)
	if p.versioned {
		c.kvPath("Secret Path", p.at("data"))
		if m := data.member("metadata"); m != nil {
			c.kvSection("Metadata", m)
		}
		data = data.member("data")
		if data != nil {
			c.ui.out("")
		}
	}
	if data != nil {
		c.kvSection("Data", data)
	}
	return nil
}

func (c *call) kvPath(title, path string) {
	c.ui.out(padded(title, len(path)) + "\n" + path + "\n")
}

func (c *call) kvSection(title string, o object) {
	c.ui.heading(title, o)
	c.ui.data(o)
}

func bindKVPut(f *flags) action {
	mount := mountFlag(f)
	cas := f.number("cas", -1, "Write only if this is the newest version; 0 means there is none.")
	return func(c *call) error {
		if err := c.want(1, -1); err != nil {
			return err
		}
		if len(c.args) == 1 {
			return local("Must supply data")
		}
		data, err := c.payload(1)
		if err != nil {
			return err
		}
		cl, p, err := c.kv(*mount)
		if err != nil {
			return err
		}
		if !p.versioned {
			a, err := cl.Write(c.ctx, p.at(""), rawBody(data))
			return c.kvWritten(p, a, err)
		}
		a, err := cl.Write(c.ctx, p.at("data"), rawBody(kvBody(data, f, *cas)))
		return c.kvWritten(p, a, err)
	}
}

// kvBody is a version's data with its check-and-set, if one was asked for.
func kvBody(data object, f *flags, cas int) object {
	o := object{"data": map[string]any(data), "options": map[string]any{}}
	if f.isSet("cas") && cas >= 0 {
		o["options"] = map[string]any{"cas": cas}
	}
	return o
}

// kvWritten prints what a write of a version gave.
func (c *call) kvWritten(p kvPlace, a *api.Answer, err error) error {
	if err != nil {
		return remote("Error writing data to %s: %w", p.at("data"), err)
	}
	if a == nil || c.ui.field != "" || a.WrapInfo != nil || !c.ui.isTable() || !p.versioned {
		return c.written(a, p.at("data"))
	}
	c.ui.warnings(a.Warnings)
	c.kvPath("Secret Path", p.at("data"))
	c.kvSection("Metadata", dataOf(a))
	return nil
}

func bindKVList(f *flags) action {
	mount := mountFlag(f)
	return func(c *call) error {
		least := 1
		if *mount != "" {
			least = 0
		}
		if len(c.args) > 1 || len(c.args) < least {
			return c.want(least, 1)
		}
		cl, p, err := c.kv(*mount)
		if err != nil {
			return err
		}
		return c.list(cl, asFolder(p.at("metadata")))
	}
}

func bindKVEnableVersioning(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		_, err = cl.Write(c.ctx, "sys/mounts/"+c.mount(0)+"tune", body(object{"options": map[string]any{"version": "2"}}))
		if err != nil {
			return remote("Error tuning secrets engine %s: %w", c.mount(0), err)
		}
		c.ui.success("Success! Tuned the secrets engine at: %s", c.mount(0))
		return nil
	}
}
