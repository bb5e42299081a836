package sys

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
)

// tuneFields is what can be changed about a mount. Absent fields stay.
type tuneFields struct {
	DefaultTTL       *string                    `json:"default_lease_ttl" doc:"TTL of leases that ask for none; 0 is the system's."`
	MaxTTL           *string                    `json:"max_lease_ttl" doc:"Longest TTL; 0 is the system's."`
	Description      *string                    `json:"description" doc:"What people should know about the mount."`
	Options          *map[string]string         `json:"options" doc:"Options of the engine."`
	PluginVersion    *string                    `json:"plugin_version" doc:"Version of the engine."`
	Lockout          map[string]json.RawMessage `json:"user_lockout_config" doc:"When users who fail to log in are locked out."`
	ForceNoCache     *bool                      `json:"force_no_cache" doc:"Read around the cache."`
	RequestKeys      *[]string                  `json:"audit_non_hmac_request_keys" doc:"Keys of requests that the audit log shows."`
	ResponseKeys     *[]string                  `json:"audit_non_hmac_response_keys" doc:"Keys of answers that the audit log shows."`
	Visibility       *string                    `json:"listing_visibility" doc:"unauth shows the mount to everyone; hidden does not."`
	RequestHeaders   *[]string                  `json:"passthrough_request_headers" doc:"Headers that reach the engine."`
	ResponseHeaders  *[]string                  `json:"allowed_response_headers" doc:"Headers that the engine may set."`
	TokenType        *string                    `json:"token_type" doc:"Type of the tokens that an auth method makes."`
	TrimSlashes      *bool                      `json:"trim_request_trailing_slashes" doc:"Take a path with a slash behind it for one without."`
	ManagedKeys      *[]string                  `json:"allowed_managed_keys" doc:"Managed keys that the mount may use."`
	DelegatedAuth    *[]string                  `json:"delegated_auth_accessors" doc:"Auth mounts that the mount may delegate to."`
	IdentityTokenKey *string                    `json:"identity_token_key" doc:"Key that signs the plugin's identity tokens."`
}

// apply changes what needs no knowledge of the mount but its config.
func (f *tuneFields) apply(c *mount.Config) error {
	if f.Visibility != nil {
		if !slices.Contains([]string{"", "hidden", "unauth"}, *f.Visibility) {
			return engine.Bad("invalid listing_visibility %s", *f.Visibility)
		}
		c.ListingVisibility = *f.Visibility
	}
	if f.TokenType != nil {
		switch *f.TokenType {
		case "":
			c.TokenType = "default-service"
		case "default-service", "default-batch", "service", "batch":
			c.TokenType = *f.TokenType
		default:
			return engine.Bad("invalid value for 'token_type'")
		}
	}
	set(&c.ForceNoCache, f.ForceNoCache)
	set(&c.AuditNonHMACRequestKeys, f.RequestKeys)
	set(&c.AuditNonHMACResponseKeys, f.ResponseKeys)
	set(&c.PassthroughRequestHeaders, f.RequestHeaders)
	set(&c.AllowedResponseHeaders, f.ResponseHeaders)
	set(&c.TrimRequestTrailingSlashes, f.TrimSlashes)
	set(&c.AllowedManagedKeys, f.ManagedKeys)
	set(&c.DelegatedAuthAccessors, f.DelegatedAuth)
	set(&c.IdentityTokenKey, f.IdentityTokenKey)
	return nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s *System) tune(tx engine.Tx, t tableOf, path string, f tuneFields) error {
	path = t.prefix + path
	table, err := s.mountTable(tx)
	if err != nil {
		return err
	}
	l := table.At(path)
	switch {
	case l == nil:
		return engine.Bad("tune of path %q failed: no mount entry found", path)
	case slices.Contains([]string{"sys/", "cubbyhole/"}, path):
		return engine.Bad("cannot tune %q", path)
	}
	e := *l.Entry // the one in the table is shared
	if err := s.tuneTTLs(&e.Config, f); err != nil {
		return err
	}
	if err := tuneAuth(&e, f); err != nil {
		return err
	}
	if err := f.apply(&e.Config); err != nil {
		return err
	}
	set(&e.Description, f.Description)
	if f.PluginVersion != nil && *f.PluginVersion != "" && *f.PluginVersion != l.Engine.Info().Version {
		return engine.Bad("cannot select non-builtin version of plugin %s", e.Type)
	}
	if err := tuneOptions(tx, &e, f.Options); err != nil {
		return err
	}
	c := engine.CallOf(tx)
	return s.Mounts.Save(c.Whole, &e, func(e *mount.Entry) engine.Tx {
		at := l.Mount
		at.Options, at.Description = e.Options, e.Description
		return &engine.Call{Rows: c.Whole.In(e.Range()), Whole: c.Whole, Ctx: c.Ctx, By: c.By, At_: &at, Time: c.Time, Scheduler: c.Scheduler}
	})
}

func (s *System) tuneTTLs(c *mount.Config, f tuneFields) error {
	for _, one := range []struct {
		sent *string
		to   *int64
	}{{f.DefaultTTL, &c.DefaultLeaseTTL}, {f.MaxTTL, &c.MaxLeaseTTL}} {
		if one.sent == nil || *one.sent == "" {
			continue
		}
		if *one.sent == "system" {
			*one.to = 0
			continue
		}
		d, err := engine.ParseDuration(*one.sent)
		if err != nil {
			return engine.Bad("%s", err)
		}
		if d < 0 {
			return engine.Bad("a TTL of %s is negative", *one.sent)
		}
		*one.to = engine.Duration(d).Seconds()
	}
	ceiling, whose := c.MaxLeaseTTL, "backend"
	if ceiling == 0 {
		ceiling, whose = int64(s.Mounts.MaxTTL.Seconds()), "system"
	}
	if c.DefaultLeaseTTL > ceiling {
		return engine.Bad("%s max lease TTL of %d would be less than backend default lease TTL of %d", whose, ceiling, c.DefaultLeaseTTL)
	}
	return nil
}

// tuneAuth changes what only auth methods have.
func tuneAuth(e *mount.Entry, f tuneFields) error {
	if f.TokenType != nil {
		switch {
		case !strings.HasPrefix(e.Path, "auth/"):
			return engine.Bad("'token_type' can only be modified on auth mounts")
		case e.Type == "token":
			return engine.Bad("'token_type' cannot be set for 'token' or 'ns_token' auth mounts")
		}
	}
	if f.Lockout == nil {
		return nil
	}
	if !slices.Contains([]string{"userpass", "ldap", "approle"}, e.Type) {
		return engine.Bad("tuning of user lockout configuration for auth type %q not allowed", e.Type)
	}
	now := mount.Lockout{} // 0 is as configured
	if e.Config.UserLockout != nil {
		now = *e.Config.UserLockout
	}
	if err := tuneLockout(&now, f.Lockout); err != nil {
		return err
	}
	e.Config.UserLockout = &now
	return nil
}

func tuneLockout(to *mount.Lockout, raw map[string]json.RawMessage) error {
	if s, err := textOf(raw["lockout_threshold"]); err != nil {
		return err
	} else if s != "" {
		if to.Threshold, err = strconv.ParseUint(s, 10, 64); err != nil {
			return engine.Bad("unable to parse user lockout threshold: %s", err)
		}
	}
	for name, d := range map[string]*int64{"lockout_duration": &to.Duration, "lockout_counter_reset_duration": &to.CounterReset} {
		s, err := textOf(raw[name])
		if err != nil {
			return err
		}
		if s == "" {
			continue
		}
		v, err := engine.ParseDuration(s)
		if err != nil || v < 0 {
			return engine.Bad("unable to parse user %s: time: invalid duration %q", strings.ReplaceAll(name, "_", " "), s)
		}
		*d = engine.Duration(v).Seconds()
	}
	s, err := textOf(raw["lockout_disable"])
	if err != nil || s == "" {
		return err
	}
	if to.Disable, err = strconv.ParseBool(s); err != nil {
		return engine.Bad("unable to parse user lockout disable: %s", err)
	}
	return nil
}

// tuneOptions merges options into those the mount has: "" takes one away. The
// version of a kv only goes up.
func tuneOptions(tx engine.Tx, e *mount.Entry, sent *map[string]string) error {
	if sent == nil {
		return nil
	}
	options := make(map[string]string, len(e.Options)+len(*sent))
	for k, v := range e.Options {
		options[k] = v
	}
	for k, v := range *sent {
		if v == "" {
			delete(options, k)
			continue
		}
		options[k] = v
	}
	if e.Type == "kv" {
		before, after := kvVersion(e.Options), kvVersion(options)
		if after < before {
			return engine.Bad("cannot downgrade mount from version %d", before)
		}
		if after > before {
			tx.Warn("Upgrading mount from version %d to version %d. This mount will be unavailable for a brief period and will resume service shortly.", before, after)
		}
	}
	e.Options = options
	return nil
}

func kvVersion(options map[string]string) int {
	n, err := strconv.Atoi(options["version"])
	if err != nil {
		return 1
	}
	return n
}

// tuneView is what a mount's settings amount to.
type tuneView struct {
	DefaultTTL          int64             `json:"default_lease_ttl"` // seconds
	MaxTTL              int64             `json:"max_lease_ttl"`     // seconds
	Description         string            `json:"description"`
	ForceNoCache        bool              `json:"force_no_cache"`
	Options             map[string]string `json:"options,omitempty"`
	PluginVersion       string            `json:"plugin_version,omitempty"`
	RequestKeys         []string          `json:"audit_non_hmac_request_keys,omitempty"`
	ResponseKeys        []string          `json:"audit_non_hmac_response_keys,omitempty"`
	Visibility          string            `json:"listing_visibility,omitempty"`
	RequestHeaders      []string          `json:"passthrough_request_headers,omitempty"`
	ResponseHeaders     []string          `json:"allowed_response_headers,omitempty"`
	TokenType           string            `json:"token_type,omitempty"`
	TrimSlashes         bool              `json:"trim_request_trailing_slashes,omitempty"`
	ManagedKeys         []string          `json:"allowed_managed_keys,omitempty"`
	DelegatedAuth       []string          `json:"delegated_auth_accessors,omitempty"`
	IdentityTokenKey    string            `json:"identity_token_key,omitempty"`
	LockoutThreshold    *uint64           `json:"user_lockout_threshold,omitempty"`
	LockoutDuration     *int64            `json:"user_lockout_duration,omitempty"`               // seconds
	LockoutCounterReset *int64            `json:"user_lockout_counter_reset_duration,omitempty"` // seconds
	LockoutDisable      *bool             `json:"user_lockout_disable,omitempty"`
}

func (s *System) tuneViewOf(l *mount.Live) *tuneView {
	c := s.viewOf(l).Config
	v := &tuneView{
		DefaultTTL: int64(l.Mount.DefaultTTL.Seconds()), MaxTTL: int64(l.Mount.MaxTTL.Seconds()),
		Description: l.Description, ForceNoCache: c.ForceNoCache, Options: l.Options, PluginVersion: l.PluginVersion,
		RequestKeys: c.AuditNonHMACRequestKeys, ResponseKeys: c.AuditNonHMACResponseKeys, Visibility: c.ListingVisibility,
		RequestHeaders: c.PassthroughRequestHeaders, ResponseHeaders: c.AllowedResponseHeaders, TokenType: c.TokenType,
		TrimSlashes: c.TrimRequestTrailingSlashes, ManagedKeys: c.AllowedManagedKeys, DelegatedAuth: c.DelegatedAuthAccessors,
		IdentityTokenKey: c.IdentityTokenKey,
	}
	if u := c.UserLockout; u != nil {
		v.LockoutThreshold, v.LockoutDuration, v.LockoutCounterReset, v.LockoutDisable = &u.Threshold, &u.Duration, &u.CounterReset, &u.Disable
	}
	return v
}
