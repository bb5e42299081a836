package cli

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// secrets * and auth *: the two trees of mounts differ in their paths and words.

// A tree is one of the two.
type tree struct {
	at      string // of the server: sys/mounts/ or sys/auth/
	under   string // put in front of paths by sys/remount
	thing   string // "secrets engine"
	enabled string // what enable says, of the type and the path
	refused string // and when it is refused, of the type and the error
}

var (
	secretsTree = tree{"sys/mounts/", "", "secrets engine", "Success! Enabled the %s secrets engine at: %s", "Error enabling: %[2]w"}
	authTree    = tree{"sys/auth/", "auth/", "auth method", "Success! Enabled %s auth method at: %s", "Error enabling %s auth: %w"}
)

// mountFlags are a mount's settings. Only those that were given are sent.
type mountFlags struct {
	description, visibility, plugin, tokenType, identityKey *string
	defaultTTL, maxTTL                                      *time.Duration
	options                                                 map[string]string
	version                                                 *int
	lists                                                   map[string]*[]string
	lockout                                                 lockoutFlags
}

type lockoutFlags struct {
	threshold       *int
	duration, reset *time.Duration
	disable         *bool
}

func bindMountFlags(f *flags, auth bool) *mountFlags {
	m := &mountFlags{
		description: f.text("description", "", "What it is for."),
		defaultTTL:  f.duration("default-lease-ttl", "How `long` its leases and tokens live by default."),
		maxTTL:      f.duration("max-lease-ttl", "How `long` they live at most."),
		visibility:  f.text("listing-visibility", "", "unauth shows it to everybody, hidden does not."),
		plugin:      f.text("plugin-version", "", "Version of the plugin to run."),
		options:     f.pairs("options", "An option of the engine, `key=value`. May be repeated."),
		version:     f.number("version", 0, "Short for -options=version=N."),
		lists:       map[string]*[]string{},
	}
	for name, usage := range map[string]string{
		"audit-non-hmac-request-keys":  "`Key` of requests to leave readable in the audit log. May be repeated.",
		"audit-non-hmac-response-keys": "`Key` of answers to leave readable in the audit log. May be repeated.",
		"passthrough-request-headers":  "Request `header` to hand to the engine. May be repeated.",
		"allowed-response-headers":     "Answer `header` that the engine may set. May be repeated.",
		"allowed-managed-keys":         "`Name` of a managed key it may use. May be repeated.",
		"delegated-auth-accessors":     "`Accessor` of an auth method it may hand requests to. May be repeated.",
	} {
		m.lists[name] = f.list(name, usage)
	}
	if !auth {
		m.identityKey = f.text("identity-token-key", "", "`Name` of the key that signs its identity tokens.")
		return m
	}
	m.tokenType = f.text("token-type", "", "Type of its tokens: service, batch, default-service or default-batch.")
	m.lockout = lockoutFlags{
		threshold: f.number("user-lockout-threshold", 0, "Failed logins before a user is locked out."),
		duration:  f.duration("user-lockout-duration", "How `long` a user stays locked out."),
		reset:     f.duration("user-lockout-counter-reset-duration", "How `long` until failed logins are forgotten."),
		disable:   f.toggle("user-lockout-disable", false, "Lock nobody out."),
	}
	return m
}

// config is what was given, by the wire's names.
func (m *mountFlags) config(f *flags) object {
	o := object{
		"default_lease_ttl": orNil(seconds(*m.defaultTTL)), "max_lease_ttl": orNil(seconds(*m.maxTTL)),
		"listing_visibility": orNil(*m.visibility), "plugin_version": orNil(*m.plugin),
	}
	for name, list := range m.lists {
		if f.isSet(name) {
			o[underscored(name)] = split(*list)
		}
	}
	if m.identityKey != nil {
		o["identity_token_key"] = orNil(*m.identityKey)
		return o
	}
	o["token_type"] = orNil(*m.tokenType)
	l := object{
		"lockout_threshold":              orNil(*m.lockout.threshold),
		"lockout_duration":               orNil(seconds(*m.lockout.duration)),
		"lockout_counter_reset_duration": orNil(seconds(*m.lockout.reset)),
		"lockout_disable":                orNil(*m.lockout.disable),
	}
	maps.DeleteFunc(l, func(_ string, v any) bool { return v == nil })
	o["user_lockout_config"] = someOrNil(map[string]any(l), len(l))
	return o
}

func (m *mountFlags) engineOptions() any {
	if *m.version > 0 {
		m.options["version"] = fmt.Sprint(*m.version)
	}
	return someOrNil(m.options, len(m.options))
}

func bindEnable(f *flags, t tree) action {
	m := bindMountFlags(f, t.under != "")
	path := f.text("path", "", "`Path` to enable it at; the type's name when not given.")
	onlyHere := f.toggle("local", false, "Keep it on this cluster only.")
	wrap := f.toggle("seal-wrap", false, "Wrap its critical values with the seal.")
	entropy := f.toggle("external-entropy-access", false, "Let it draw from the external source of randomness.")
	noCache := f.toggle("force-no-cache", false, "Do not cache its values.")
	plugin := f.text("plugin-name", "", "`Name` of the plugin, when TYPE is plugin.")
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		kind := c.arg(0)
		if kind == "plugin" && *plugin != "" {
			kind = *plugin
		}
		at := asMount(*path)
		if at == "" {
			at = asMount(kind)
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		config := m.config(f)
		config["force_no_cache"] = orNil(*noCache)
		maps.DeleteFunc(config, func(_ string, v any) bool { return v == nil })
		_, err = post(c, cl, t.at+at[:len(at)-1], object{
			"type": kind, "description": orNil(*m.description), "local": orNil(*onlyHere), "seal_wrap": orNil(*wrap),
			"external_entropy_access": orNil(*entropy), "options": m.engineOptions(), "config": map[string]any(config),
		})
		if err != nil {
			return remote(t.refused, kind, err)
		}
		c.ui.success(t.enabled, kind, at)
		return nil
	}
}

func bindDisable(t tree) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		at := c.mount(0)
		if at == "" {
			return local("PATH is empty")
		}
		if _, err := cl.Delete(c.ctx, t.at+at[:len(at)-1], nil); err != nil {
			return remote("Error disabling %s at %s: %w", t.thing, at, err)
		}
		c.ui.success("Success! Disabled the %s (if it existed) at: %s", t.thing, at)
		return nil
	}
}

func bindTune(f *flags, t tree) action {
	m := bindMountFlags(f, t.under != "")
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		o := m.config(f)
		if f.isSet("description") {
			o["description"] = *m.description
		}
		o["options"] = m.engineOptions()
		if _, err := post(c, cl, t.at+c.mount(0)+"tune", o); err != nil {
			return remote("Error tuning %s %s: %w", t.thing, c.mount(0), err)
		}
		c.ui.success("Success! Tuned the %s at: %s", t.thing, c.mount(0))
		return nil
	}
}

func bindMove(t tree) action {
	return func(c *call) error {
		cl, err := c.clientFor(2, 2)
		if err != nil {
			return err
		}
		from, to := t.under+c.mount(0), t.under+c.mount(1)
		a, err := post(c, cl, "sys/remount", object{"from": from, "to": to})
		if err != nil {
			return remote("Error moving %s %s to %s: %w", t.thing, from, to, err)
		}
		id := dataOf(a).text("migration_id")
		if id == "" {
			c.ui.success("Success! Moved %s %s to: %s", t.thing, from, to)
			return nil
		}
		c.ui.success("Started moving %s %s to %s, with migration ID %s", t.thing, from, to, id)
		return c.awaitMove(cl, t, from, to, id)
	}
}

// awaitMove asks once a second until a move has ended.
func (c *call) awaitMove(cl *client.Client, t tree, from, to, id string) error {
	for {
		a, err := cl.Read(c.ctx, "sys/remount/status/"+id, nil)
		if err != nil {
			return remote("Error checking migration status: %w", err)
		}
		switch dataOf(a).member("migration_info")["status"] {
		case "success":
			c.ui.success("Success! Finished moving %s %s to %s, with migration ID %s", t.thing, from, to, id)
			return nil
		case "failure":
			return remote("Failure! Error encountered moving %s %s to %s, with migration ID %s", t.thing, from, to, id)
		}
		select {
		case <-time.After(time.Second):
		case <-c.ctx.Done():
			return local("Stopped waiting; the move goes on: %w", c.ctx.Err())
		}
	}
}

func bindSecretsEnable(f *flags) action { return bindEnable(f, secretsTree) }
func bindSecretsDisable(*flags) action  { return bindDisable(secretsTree) }
func bindSecretsTune(f *flags) action   { return bindTune(f, secretsTree) }
func bindSecretsMove(*flags) action     { return bindMove(secretsTree) }
func bindSecretsList(*flags) action     { return bindMountList(secretsTree) }
func bindAuthEnable(f *flags) action    { return bindEnable(f, authTree) }
func bindAuthDisable(*flags) action     { return bindDisable(authTree) }
func bindAuthTune(f *flags) action      { return bindTune(f, authTree) }
func bindAuthMove(*flags) action        { return bindMove(authTree) }
func bindAuthList(*flags) action        { return bindMountList(authTree) }

// sortedNames are an answer's members in order.
func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// decodeData reads an answer's data into a typed value.
func decodeData(a *api.Answer, into any) error {
	if a == nil || a.Data == nil {
		return remote("the server's answer holds no data")
	}
	if err := decode(a.Data, into); err != nil {
		return remote("read the server's answer: %w", err)
	}
	return nil
}
