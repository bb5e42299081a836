package cli

import (
	"strings"

	"github.com/fastness-dev/fastness/client"
)

func namespacePath(c *call) string { return "sys/namespaces/" + strings.Trim(c.arg(0), "/") }

func bindNamespaceList(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		a, err := cl.List(c.ctx, "sys/namespaces")
		if err != nil {
			return remote("Error listing namespaces: %w", err)
		}
		if a == nil {
			return remote("No namespaces found")
		}
		if c.flags.isSet("detailed") {
			return c.ui.structured(dataOf(a).member("key_info"))
		}
		return c.list(cl, "sys/namespaces")
	}
}

func bindNamespaceLookup(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		a, err := cl.Read(c.ctx, namespacePath(c), nil)
		if err != nil {
			return remote("Error looking up namespace: %w", err)
		}
		if a == nil {
			return remote("Namespace not found")
		}
		return c.ui.secret(a)
	}
}

func bindNamespaceCreate(f *flags) action {
	custom := f.pairs("custom-metadata", "A note on the namespace, `key=value`. May be repeated.")
	return func(c *call) error {
		return c.sendNamespace("creating", object{"custom_metadata": custom}, (*client.Client).Write)
	}
}

func bindNamespacePatch(f *flags) action {
	custom := f.pairs("custom-metadata", "A note on the namespace, `key=value`. May be repeated.")
	remove := f.list("remove-custom-metadata", "`Key` of a note to remove. May be repeated.")
	return func(c *call) error {
		notes := object{}
		for k, v := range custom {
			notes[k] = v
		}
		for _, k := range *remove {
			notes[k] = nil
		}
		return c.sendNamespace("patching", object{"custom_metadata": notes}, (*client.Client).Patch)
	}
}

func (c *call) sendNamespace(doing string, o object, send sender) error {
	cl, err := c.clientFor(1, 1)
	if err != nil {
		return err
	}
	a, err := send(cl, c.ctx, namespacePath(c), rawBody(o))
	if err != nil {
		return remote("Error "+doing+" namespace: %w", err)
	}
	return c.ui.secret(a)
}

func bindNamespaceDelete(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		a, err := cl.Delete(c.ctx, namespacePath(c), nil)
		if err != nil {
			return remote("Error deleting namespace: %w", err)
		}
		if a != nil {
			c.ui.warnings(a.Warnings)
		}
		c.ui.success("Success! Namespace deleted at: %s/", strings.Trim(c.arg(0), "/"))
		return nil
	}
}

func bindNamespaceLock(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		a, err := put(c, cl, "sys/namespaces/api-lock/lock/"+strings.Trim(c.arg(0), "/"), nil)
		if err != nil {
			return remote("Error locking namespace: %w", err)
		}
		return c.ui.secret(a)
	}
}

func bindNamespaceUnlock(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		var o object
		if key := c.flags.set.Lookup("unlock-key"); key != nil && key.Value.String() != "" {
			o = object{"unlock_key": key.Value.String()}
		}
		path := strings.Trim(c.arg(0), "/")
		if _, err := put(c, cl, "sys/namespaces/api-lock/unlock/"+path, o); err != nil {
			return remote("Error unlocking namespace: %w", err)
		}
		c.ui.success("Success! Namespace unlocked: %s/", path)
		return nil
	}
}
