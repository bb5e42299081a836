package cli

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// The kv commands that change versions: patch, delete, undelete, destroy, rollback.

func bindKVPatch(f *flags) action {
	mount := mountFlag(f)
	cas := f.number("cas", -1, "Patch only if this is the newest version.")
	method := f.text("method", "", "patch sends a merge patch, rw reads and writes back; patch falls back to rw when not given.")
	remove := f.list("remove-data", "`Key` to remove. May be repeated.")
	return func(c *call) error {
		if err := c.want(1, -1); err != nil {
			return err
		}
		if *method != "" && *method != "patch" && *method != "rw" {
			return local("Unsupported method provided to -method flag: %s", *method)
		}
		if *method == "rw" && f.isSet("remove-data") {
			return local("-remove-data works with -method=patch only")
		}
		data, err := c.payload(1)
		if err != nil {
			return err
		}
		for _, k := range *remove {
			data[k] = nil
		}
		if len(data) == 0 {
			return local("Must supply data")
		}
		cl, p, err := c.kv(*mount)
		if err != nil {
			return err
		}
		if !p.versioned {
			return remote("K/V engine mount must be version 2 for patch support")
		}
		if *method != "rw" {
			a, err := cl.Patch(c.ctx, p.at("data"), rawBody(kvBody(data, f, *cas)))
			if *method == "patch" || !patchRefused(err) || len(*remove) > 0 {
				return c.patched(p, a, err)
			}
			if client.Status(err) == http.StatusForbidden {
				c.ui.warn(`WARNING! The token lacks the "patch" capability; falling back to a read and a write.`)
			}
		}
		return c.readAndWrite(cl, p, data)
	}
}

// patchRefused says whether reading and writing back may work where a patch did not.
func patchRefused(err error) bool {
	s := client.Status(err)
	return s == http.StatusForbidden || s == http.StatusMethodNotAllowed
}

func (c *call) patched(p kvPlace, a *api.Answer, err error) error {
	if client.Status(err) == http.StatusNotFound || (a == nil && err == nil) {
		return remote("No value found at %s", p.at("data"))
	}
	return c.kvWritten(p, a, err)
}

// readAndWrite patches without the server's help. The version that was read is
// the check, so that nobody else's write is lost.
func (c *call) readAndWrite(cl *client.Client, p kvPlace, data object) error {
	a, err := live(cl).Read(c.ctx, p.at("data"), nil)
	if err != nil {
		return remote("Error doing pre-read at %s: %w", p.at("data"), err)
	}
	old := dataOf(a)
	if old.member("data") == nil {
		return remote("No value found at %s", p.at("data"))
	}
	merged := old.member("data")
	for k, v := range data {
		merged[k] = v
	}
	a, err = cl.Write(c.ctx, p.at("data"), rawBody(object{
		"data": map[string]any(merged), "options": map[string]any{"cas": old.member("metadata")["version"]},
	}))
	return c.kvWritten(p, a, err)
}

func bindKVDelete(f *flags) action {
	mount := mountFlag(f)
	versions := f.list("versions", "`Versions` to delete, such as 1,2; the newest when not given.")
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		cl, p, err := c.kv(*mount)
		if err != nil {
			return err
		}
		list := split(*versions)
		if !p.versioned && len(list) > 0 {
			return remote("K/V engine mount must be version 2 to delete versions")
		}
		path := p.at("data")
		if len(list) == 0 {
			a, err := cl.Delete(c.ctx, path, nil)
			if err != nil {
				return remote("Error deleting %s: %w", path, err)
			}
			return c.deleted(a, path)
		}
		a, err := cl.Write(c.ctx, p.at("delete"), body(object{"versions": list}))
		if err != nil {
			return remote("Error deleting %s: %w", p.at("delete"), err)
		}
		return c.deleted(a, path)
	}
}

func bindKVUndelete(f *flags) action { return bindVersions(f, "undelete") }
func bindKVDestroy(f *flags) action  { return bindVersions(f, "destroy") }

// bindVersions is a command whose whole meaning is a list of versions.
func bindVersions(f *flags, verb string) action {
	mount := mountFlag(f)
	versions := f.list("versions", "`Versions` to "+verb+", such as 1,2.")
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		list := split(*versions)
		if len(list) == 0 {
			return local(`No versions provided, use the "-versions" flag to specify the version to %s.`, verb)
		}
		cl, p, err := c.kv(*mount)
		if err != nil {
			return err
		}
		if !p.versioned {
			return remote("%s not supported on KV Version 1", verb)
		}
		a, err := cl.Write(c.ctx, p.at(verb), body(object{"versions": list}))
		if err != nil {
			return remote("Error writing data to %s: %w", p.at(verb), err)
		}
		return c.written(a, p.at(verb))
	}
}

func bindKVRollback(f *flags) action {
	mount := mountFlag(f)
	version := f.number("version", 0, "Version to bring back.")
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		if *version <= 0 {
			return local(`Must provide a positive version with "-version" flag`)
		}
		cl, p, err := c.kv(*mount)
		if err != nil {
			return err
		}
		if !p.versioned {
			return remote("K/V engine mount must be version 2 for rollback support")
		}
		newest, data, err := c.forRollback(live(cl), p, *version)
		if err != nil {
			return err
		}
		a, err := cl.Write(c.ctx, p.at("data"), rawBody(object{
			"data": map[string]any(data), "options": map[string]any{"cas": newest},
		}))
		return c.kvWritten(p, a, err)
	}
}

// forRollback reads the newest version's number and the wanted version's data.
func (c *call) forRollback(cl *client.Client, p kvPlace, version int) (newest any, data object, err error) {
	a, err := cl.Read(c.ctx, p.at("metadata"), nil)
	if err == nil && a == nil {
		err = errors.New("no such key")
	}
	if err != nil {
		return nil, nil, remote("Error doing pre-read at %s: %w", p.at("metadata"), err)
	}
	old, err := cl.Read(c.ctx, p.at("data"), url.Values{"version": {strconv.Itoa(version)}})
	if err != nil {
		return nil, nil, remote("Error doing pre-read at %s: %w", p.at("data"), err)
	}
	data = dataOf(old).member("data")
	if data == nil {
		return nil, nil, remote("Version %d of %s has no data: it was deleted, destroyed or never written", version, p.at("data"))
	}
	return dataOf(a)["current_version"], data, nil
}
