package cli

import (
	"maps"
	"slices"
	"strconv"

	"github.com/fastness-dev/fastness/client"
)

// kv metadata get, put, patch, delete.

// metadataPlace is the place of a command that only versioned mounts know.
func (c *call) metadataPlace(mount string) (*client.Client, kvPlace, error) {
	if err := c.want(1, 1); err != nil {
		return nil, kvPlace{}, err
	}
	cl, p, err := c.kv(mount)
	if err == nil && !p.versioned {
		err = remote("Metadata not supported on KV Version 1")
	}
	return cl, p, err
}

func bindKVMetadataGet(f *flags) action {
	mount := mountFlag(f)
	return func(c *call) error {
		cl, p, err := c.metadataPlace(*mount)
		if err != nil {
			return err
		}
		path := p.at("metadata")
		a, err := cl.Read(c.ctx, path, nil)
		switch {
		case err != nil:
			return remote("Error reading %s: %w", path, err)
		case a == nil:
			return remote("No value found at %s", path)
		}
		if c.ui.field != "" || a.WrapInfo != nil || !c.ui.isTable() {
			return c.ui.secret(a)
		}
		c.ui.warnings(a.Warnings)
		c.kvPath("Metadata Path", path)
		c.showMetadata(dataOf(a))
		return nil
	}
}

// showMetadata prints a key's settings and then each version in turn.
func (c *call) showMetadata(o object) {
	versions := o.member("versions")
	delete(o, "versions")
	c.kvSection("Metadata", o)
	byNumber := func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	}
	for _, v := range slices.SortedFunc(maps.Keys(versions), byNumber) {
		c.ui.out("")
		c.kvSection("Version "+v, versions.member(v))
	}
}

// metadataFlags are a key's settings. Only those that were given are sent.
type metadataFlags struct {
	mount       *string
	maxVersions *int
	casRequired *bool
	deleteAfter *string
	custom      map[string]string
	remove      *[]string
}

func bindMetadataFlags(f *flags) *metadataFlags {
	return &metadataFlags{
		mount:       mountFlag(f),
		maxVersions: f.number("max-versions", 0, "How many versions to keep; 0 takes the mount's setting."),
		casRequired: f.toggle("cas-required", false, "Refuse writes without -cas."),
		deleteAfter: f.text("delete-version-after", "", "How `long` a version lives, such as 720h."),
		custom:      f.pairs("custom-metadata", "A note on the key, `key=value`. May be repeated."),
	}
}

func (m *metadataFlags) body(f *flags) object {
	o := object{}
	if f.isSet("max-versions") {
		o["max_versions"] = *m.maxVersions
	}
	if f.isSet("cas-required") {
		o["cas_required"] = *m.casRequired
	}
	if f.isSet("delete-version-after") {
		o["delete_version_after"] = *m.deleteAfter
	}
	custom := map[string]any{}
	for k, v := range m.custom {
		custom[k] = v
	}
	if m.remove != nil {
		for _, k := range *m.remove {
			custom[k] = nil
		}
	}
	if len(custom) > 0 {
		o["custom_metadata"] = custom
	}
	return o
}

func bindKVMetadataPut(f *flags) action {
	m := bindMetadataFlags(f)
	return func(c *call) error { return c.sendMetadata(m, (*client.Client).Write) }
}

func bindKVMetadataPatch(f *flags) action {
	m := bindMetadataFlags(f)
	m.remove = f.list("remove-custom-metadata", "`Key` of a note to remove. May be repeated.")
	return func(c *call) error { return c.sendMetadata(m, (*client.Client).Patch) }
}

func (c *call) sendMetadata(m *metadataFlags, send sender) error {
	cl, p, err := c.metadataPlace(*m.mount)
	if err != nil {
		return err
	}
	path := p.at("metadata")
	a, err := send(cl, c.ctx, path, rawBody(m.body(c.flags)))
	if err != nil {
		return remote("Error writing data to %s: %w", path, err)
	}
	return c.written(a, path)
}

func bindKVMetadataDelete(f *flags) action {
	mount := mountFlag(f)
	return func(c *call) error {
		cl, p, err := c.metadataPlace(*mount)
		if err != nil {
			return err
		}
		path := p.at("metadata")
		if _, err := cl.Delete(c.ctx, path, nil); err != nil {
			return remote("Error deleting %s: %w", path, err)
		}
		c.ui.success("Success! Data deleted (if it existed) at: %s", path)
		return nil
	}
}
