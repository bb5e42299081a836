package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// encoder builds lines for one device. It is reused, and one goroutine may use
// it at a time.
type encoder struct {
	buf    []byte
	hasher *Hasher
	format
	names []string // scratch for sorting map keys
	seen  []hashed // what this entry's lines have hashed: tokens and accessors recur
}

// hashed is where the hash of a string stands in the buffer.
type hashed struct {
	text     string
	from, to int
}

// format is how a device's options shape its lines.
type format struct {
	prefix        string
	raw           bool // log_raw: nothing is hashed
	plainAccessor bool // hmac_accessor is off
	elideLists    bool
}

// entry appends the entry's lines.
func (e *encoder) entry(k Kind, x *Entry) error {
	defer func() { clear(e.seen) }()
	e.seen = e.seen[:0]
	if k != KindExchange {
		return e.line(k, x, x.Error)
	}
	if err := e.line(KindRequest, x, x.Refused); err != nil {
		return err
	}
	return e.line(KindResponse, x, x.Error)
}

// line appends one line, new line included.
func (e *encoder) line(k Kind, x *Entry, failure string) error {
	e.buf = append(e.buf, e.prefix...)
	e.buf = append(e.buf, '{')
	e.moment("time", x.Time.UTC(), time.RFC3339Nano)
	e.text("type", k.String())
	e.auth(&x.Auth)
	if err := e.request(x); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if k == KindResponse && x.Response != nil {
		if err := e.response(x); err != nil {
			return fmt.Errorf("response: %w", err)
		}
	}
	e.text("error", failure)
	if k == KindRequest {
		e.text("forwarded_from", x.ForwardedFrom)
	} else {
		e.flag("forwarded", x.ForwardedFrom != "")
	}
	e.buf = append(e.buf, '}', '\n')
	return nil
}

func (e *encoder) auth(a *Auth) {
	e.open("auth")
	e.secret("client_token", a.ClientToken)
	e.accessor("accessor", a.Accessor)
	e.text("display_name", a.DisplayName)
	e.texts("policies", a.Policies)
	e.texts("token_policies", a.TokenPolicies)
	e.texts("identity_policies", a.IdentityPolicies)
	if len(a.ExternalNamespacePolicies) > 0 {
		e.open("external_namespace_policies")
		for _, ns := range sortedKeys(e, a.ExternalNamespacePolicies) {
			e.userKey(ns)
			e.list(a.ExternalNamespacePolicies[ns])
		}
		e.close()
	}
	e.flag("no_default_policy", a.NoDefaultPolicy)
	e.policyResults(a.PolicyResults)
	if len(a.Metadata) > 0 {
		e.open("metadata")
		for _, name := range sortedKeys(e, a.Metadata) {
			e.userKey(name)
			e.buf = appendText(e.buf, a.Metadata[name])
		}
		e.close()
	}
	e.number("num_uses", int64(a.NumUses))
	e.number("remaining_uses", int64(a.RemainingUses))
	e.text("entity_id", a.EntityID)
	e.flag("entity_created", a.EntityCreated)
	if a.TokenType == "" {
		e.text("token_type", "default")
	} else {
		e.text("token_type", a.TokenType)
	}
	e.number("token_ttl", int64(a.TokenTTL/time.Second))
	e.moment("token_issue_time", a.TokenIssueTime, time.RFC3339)
	e.close()
}

func (e *encoder) policyResults(p *PolicyResults) {
	if p == nil {
		return
	}
	e.open("policy_results")
	e.key("allowed")
	e.buf = strconv.AppendBool(e.buf, p.Allowed)
	if len(p.GrantingPolicies) > 0 {
		e.key("granting_policies")
		for i := range p.GrantingPolicies {
			g := &p.GrantingPolicies[i]
			e.buf = append(e.buf, "[,"[min(i, 1)], '{')
			e.text("name", g.Name)
			e.text("namespace_id", g.NamespaceID)
			e.text("namespace_path", g.NamespacePath)
			e.text("type", g.Type)
			e.close()
		}
		e.buf = append(e.buf, ']')
	}
	e.close()
}

func (e *encoder) request(x *Entry) error {
	r := &x.Request
	e.open("request")
	e.text("id", r.ID)
	e.text("client_id", r.ClientID)
	e.text("replication_cluster", r.ReplicationCluster)
	e.text("operation", r.Operation)
	e.text("mount_point", r.MountPoint)
	e.text("mount_type", r.MountType)
	e.text("mount_accessor", r.MountAccessor)
	e.text("mount_running_version", r.MountRunningVersion)
	e.text("mount_running_sha256", r.MountRunningSHA256)
	e.text("mount_class", r.MountClass)
	e.flag("mount_is_external_plugin", r.MountIsExternalPlugin)
	e.secret("client_token", r.ClientToken)
	e.accessor("client_token_accessor", r.ClientTokenAccessor)
	e.open("namespace")
	if r.NamespaceID == "" {
		e.text("id", "root")
	} else {
		e.text("id", r.NamespaceID)
	}
	e.text("path", r.NamespacePath)
	e.close()
	e.text("path", r.Path)
	if err := e.data(r.Data, r.PlainKeys, false); err != nil {
		return err
	}
	e.flag("policy_override", r.PolicyOverride)
	e.text("remote_address", r.RemoteAddress)
	e.number("remote_port", int64(r.RemotePort))
	e.number("wrap_ttl", int64(r.WrapTTL/time.Second))
	e.headers(x.keep, r.Headers)
	e.text("client_certificate_serial_number", r.CertificateSerial)
	e.text("request_uri", r.URI)
	e.close()
	return nil
}

func (e *encoder) response(x *Entry) error {
	r := x.Response
	e.open("response")
	if r.Auth != nil {
		e.auth(r.Auth)
	}
	e.text("mount_point", r.MountPoint)
	e.text("mount_type", r.MountType)
	e.text("mount_accessor", r.MountAccessor)
	e.text("mount_running_plugin_version", r.MountRunningVersion)
	e.text("mount_running_sha256", r.MountRunningSHA256)
	e.text("mount_class", r.MountClass)
	e.flag("mount_is_external_plugin", r.MountIsExternalPlugin)
	if r.LeaseID != "" {
		e.open("secret")
		e.text("lease_id", r.LeaseID)
		e.close()
	}
	if err := e.data(r.Data, r.PlainKeys, e.elideLists && x.Request.Operation == "list"); err != nil {
		return err
	}
	e.texts("warnings", r.Warnings)
	e.text("redirect", r.Redirect)
	if w := r.WrapInfo; w != nil {
		e.open("wrap_info")
		e.number("ttl", int64(w.TTL/time.Second))
		e.secret("token", w.Token)
		e.accessor("accessor", w.Accessor)
		e.moment("creation_time", w.CreationTime.UTC(), time.RFC3339Nano)
		e.text("creation_path", w.CreationPath)
		e.accessor("wrapped_accessor", w.WrappedAccessor)
		e.close()
	}
	e.headers(x.keep, r.Headers)
	e.close()
	return nil
}

// data copies a user's JSON through the scanner.
func (e *encoder) data(data json.RawMessage, plain []string, elide bool) (err error) {
	if len(data) == 0 {
		return nil
	}
	before := len(e.buf)
	e.key("data")
	start := len(e.buf)
	s := Scan{Hasher: e.hasher, Plain: plain, ElideLists: elide}
	if e.raw {
		s.Hasher = nil
	}
	if e.buf, err = s.Append(e.buf, data); err != nil {
		return err
	}
	if v := string(e.buf[start:min(start+5, len(e.buf))]); v == "{}" || v == "null" {
		e.buf = e.buf[:before]
	}
	return nil
}

func (e *encoder) headers(keep *headerRules, h map[string][]string) {
	if keep == nil || len(h) == 0 {
		return
	}
	first := true
	for _, rule := range *keep {
		values := h[rule.canonical]
		if len(values) == 0 {
			continue
		}
		if first {
			e.open("headers")
			first = false
		}
		e.userKey(rule.name)
		for i, v := range values {
			e.buf = append(e.buf, "[,"[min(i, 1)])
			if rule.hmac {
				e.hash(v)
			} else {
				e.buf = appendText(e.buf, v)
			}
		}
		e.buf = append(e.buf, ']')
	}
	if !first {
		e.close()
	}
}

// sortedKeys lists a map's keys in an order that does not change from line to
// line. The list is good until the next call.
func sortedKeys[V any](e *encoder, m map[string]V) []string {
	e.names = e.names[:0]
	for name := range m {
		e.names = append(e.names, name)
	}
	slices.Sort(e.names)
	return e.names
}
