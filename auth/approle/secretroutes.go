package approle

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

func secretRoutes() engine.Routes[Engine] {
	const at = "role/{role_name}/"
	return engine.Routes[Engine]{
		engine.List(at+"secret-id", (*Engine).listAccessors).Doc("List the accessors of a role's secret-ids."),
		engine.Write(at+"secret-id", (*Engine).issue).Doc("Make a secret-id."),
		engine.Write(at+"custom-secret-id", (*Engine).issueCustom).Doc("Make a secret-id of a given value."),
		engine.Compute(at+"secret-id/lookup", (*Engine).lookup).Doc("Show what is known of a secret-id."),
		engine.Write(at+"secret-id/destroy", (*Engine).destroy).Doc("Destroy a secret-id."),
		engine.Delete(at+"secret-id/destroy", (*Engine).destroy).Doc("Destroy a secret-id."),
		engine.Compute(at+"secret-id-accessor/lookup", (*Engine).lookupAccessor).Doc("Show what is known of the secret-id of an accessor."),
		engine.Write(at+"secret-id-accessor/destroy", (*Engine).destroyAccessor).Doc("Destroy the secret-id of an accessor."),
		engine.Delete(at+"secret-id-accessor/destroy", (*Engine).destroyAccessor).Doc("Destroy the secret-id of an accessor."),
		engine.Write("tidy/secret-id", (*Engine).startTidy).Doc("Remove what is left of secret-ids that have expired."),
	}
}

type roleRequest struct {
	Role string `path:"role_name" doc:"Name of the role."`
}

// of gives the role of a request, shared.
func of(v engine.View, name string) (*role, error) {
	r, err := named(v, name)
	if err == nil && r == nil {
		err = engine.Missing(noRole(name))
	}
	return r, err
}

func noRole(name string) string { return `role "` + name + `" does not exist` }

func (e *Engine) listAccessors(v engine.View, req roleRequest) (engine.Keys, error) {
	r, err := named(v, req.Role)
	switch {
	case err != nil:
		return engine.Keys{}, err
	case r == nil:
		return engine.Keys{}, engine.Bad("%s", noRole(req.Role))
	}
	var keys []string
	for accessor, err := range v.Children("acc/"+r.Key, "") {
		if err != nil {
			return engine.Keys{}, err
		}
		keys = append(keys, accessor)
	}
	return engine.KeysOf(keys), nil
}

type issueRequest struct {
	Role       string           `path:"role_name" doc:"Name of the role."`
	Metadata   json.RawMessage  `json:"metadata" doc:"Goes into the metadata of tokens: an object of texts, or its JSON as a text."`
	CIDRs      []string         `json:"cidr_list" doc:"Networks that logins with it must come from."`
	TokenCIDRs []string         `json:"token_bound_cidrs" doc:"Networks that tokens got with it can be used from."`
	NumUses    *int             `json:"num_uses" doc:"How many logins it is good for; the role's number if not given."`
	TTL        *engine.Duration `json:"ttl" doc:"How long it is good for; the role's time if not given."`
}

type customRequest struct {
	issueRequest
	SecretID string `json:"secret_id" secret:"true" doc:"The secret-id itself."`
}

type issued struct {
	SecretID string          `json:"secret_id"`
	Accessor string          `json:"secret_id_accessor"`
	NumUses  int             `json:"secret_id_num_uses"`
	TTL      engine.Duration `json:"secret_id_ttl"`
}

func (e *Engine) issue(tx engine.Tx, req issueRequest) (*engine.Answer, error) {
	id, err := newID()
	if err != nil {
		return nil, err
	}
	return e.make(tx, req, id)
}

func (e *Engine) issueCustom(tx engine.Tx, req customRequest) (*engine.Answer, error) {
	switch {
	case req.SecretID == "":
		return nil, engine.Bad("missing secret_id")
	case len(req.SecretID) > maxID:
		return nil, engine.Bad("secret_id is longer than %d bytes", maxID)
	}
	return e.make(tx, req.issueRequest, req.SecretID)
}

// make stores a secret-id of a role.
func (e *Engine) make(tx engine.Tx, req issueRequest, value string) (*engine.Answer, error) {
	r, err := of(tx, req.Role)
	if err != nil {
		return nil, err
	}
	if !r.BindSecretID {
		return nil, engine.Bad("bind_secret_id is not set on the role")
	}
	s, err := plan(tx, r, req)
	if err != nil {
		return nil, err
	}
	if s.Accessor, err = newID(); err != nil {
		return nil, err
	}
	k, err := key(tx)
	if err != nil {
		return nil, err
	}
	id := mac(k, "secret-id", r.Key, value)
	old, err := secrets(tx).Get(id)
	switch {
	case err != nil:
		return nil, err
	case old != nil && !old.expired(tx.Now()):
		return nil, engine.Bad("failed to store secret_id: SecretID is already registered")
	case old != nil:
		remove(tx, id, old)
	}
	add(tx, id, s)
	return &engine.Answer{Data: issued{value, s.Accessor, s.NumUses, engine.Duration(s.TTL)}, Accessor: s.Accessor}, nil
}

// plan decides what a secret-id is like: what was asked for, within what the
// role allows.
func plan(tx engine.Tx, r *role, req issueRequest) (*secret, error) {
	s := &secret{Role: r.Key, Created: tx.Now(), NumUses: r.NumUses, TTL: time.Duration(r.TTL), CIDRs: req.CIDRs, TokenCIDRs: req.TokenCIDRs}
	var err error
	if s.Metadata, err = metadataOf(req.Metadata); err != nil {
		return nil, err
	}
	if req.NumUses != nil {
		switch s.NumUses = *req.NumUses; {
		case s.NumUses < 0:
			return nil, engine.Bad("num_uses cannot be negative")
		case r.NumUses > 0 && (s.NumUses == 0 || s.NumUses > r.NumUses):
			return nil, engine.Bad("num_uses cannot be higher than the role's secret_id_num_uses")
		}
	}
	if req.TTL != nil {
		switch s.TTL = time.Duration(*req.TTL); {
		case r.TTL > 0 && (s.TTL == 0 || s.TTL > time.Duration(r.TTL)):
			return nil, engine.Bad("ttl cannot be longer than the role's secret_id_ttl")
		}
	}
	if most := tx.Mount().MaxTTL; most > 0 && s.TTL > most {
		tx.Warn("the ttl of the secret-id is capped at the mount's maximum of %s", most)
		s.TTL = most
	}
	if s.TTL > 0 {
		s.Expires = s.Created.Add(s.TTL)
	}
	for _, c := range []struct {
		field, of   string
		list, bound []string
	}{{"cidr_list", "CIDR blocks", s.CIDRs, r.CIDRs}, {"token_bound_cidrs", "token CIDR blocks", s.TokenCIDRs, r.BoundCIDRs}} {
		if err := checkCIDRs(c.field, c.list); err != nil {
			return nil, err
		}
		if !inside(c.list, c.bound) {
			return nil, engine.Bad("failed to verify subset relationship between %s on the role %q and %s on the secret ID %q", c.of, c.bound, c.of, c.list)
		}
	}
	return s, nil
}

// maxMetadata bounds the keys and values of a secret-id's metadata, in bytes:
// every token got with it carries them.
const maxMetadata = 16 << 10

// metadataOf reads an object, or a text that holds one, or k=v pairs.
func metadataOf(raw json.RawMessage) (map[string]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, engine.Bad("failed to parse metadata: %s", err)
		}
		if text = strings.TrimSpace(text); text == "" {
			return nil, nil
		}
		if raw = json.RawMessage(text); !json.Valid(raw) {
			return checked(pairs(text))
		}
	}
	var m map[string]string
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, engine.Bad("failed to parse metadata: want an object whose values are texts")
	}
	return checked(m, nil)
}

func pairs(text string) (map[string]string, error) {
	m := make(map[string]string)
	for pair := range strings.SplitSeq(text, ",") {
		k, v, ok := strings.Cut(pair, "=")
		if k = strings.TrimSpace(k); !ok || k == "" {
			return nil, engine.Bad("failed to parse metadata: failed to parse the input: invalid <key,value> format")
		}
		m[k] = strings.TrimSpace(v)
	}
	return m, nil
}

func checked(m map[string]string, err error) (map[string]string, error) {
	n := 0
	for k, v := range m {
		n += len(k) + len(v)
	}
	if err == nil && n > maxMetadata {
		return nil, engine.Bad("metadata has %d bytes, the limit is %d", n, maxMetadata)
	}
	return m, err
}

type secretRequest struct {
	Role     string `path:"role_name" doc:"Name of the role."`
	SecretID string `json:"secret_id" secret:"true" doc:"The secret-id."`
}

type accessorRequest struct {
	Role     string `path:"role_name" doc:"Name of the role."`
	Accessor string `json:"secret_id_accessor" doc:"The accessor of a secret-id."`
}

// found is a secret-id as it is looked up. A time that never comes is the zero
// time.
type found struct {
	CIDRs      []string          `json:"cidr_list"`
	Created    time.Time         `json:"creation_time"`
	Expires    time.Time         `json:"expiration_time"`
	Updated    time.Time         `json:"last_updated_time"`
	Metadata   map[string]string `json:"metadata"`
	Accessor   string            `json:"secret_id_accessor"`
	NumUses    int               `json:"secret_id_num_uses"`
	TTL        engine.Duration   `json:"secret_id_ttl"`
	TokenCIDRs []string          `json:"token_bound_cidrs"`
}

func describe(v engine.View, id string, s *secret) (*found, error) {
	n, err := left(v, id, s)
	return &found{
		CIDRs: orEmpty(s.CIDRs), Created: s.Created, Expires: s.Expires, Updated: s.Created, Metadata: orNone(s.Metadata),
		Accessor: s.Accessor, NumUses: n, TTL: engine.Duration(s.TTL), TokenCIDRs: orEmpty(s.TokenCIDRs),
	}, err
}

func orNone(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// proven finds the secret-id of a request; nil when the role has none such.
func proven(v engine.View, req secretRequest) (*secret, string, error) {
	if req.SecretID == "" {
		return nil, "", engine.Bad("missing secret_id")
	}
	r, err := of(v, req.Role)
	if err != nil {
		return nil, "", err
	}
	k, err := key(v)
	if err != nil {
		return nil, "", err
	}
	return find(v, k, r.Key, req.SecretID)
}

// lookup answers nothing for a secret-id that the role does not have.
func (e *Engine) lookup(v engine.View, req secretRequest) (*found, error) {
	s, id, err := proven(v, req)
	if err != nil || s == nil {
		return nil, err
	}
	return describe(v, id, s)
}

func (e *Engine) destroy(tx engine.Tx, req secretRequest) (engine.None, error) {
	s, id, err := proven(tx, req)
	if err == nil && s != nil {
		remove(tx, id, s)
	}
	return engine.None{}, err
}

func accessed(v engine.View, req accessorRequest) (*secret, string, error) {
	if req.Accessor == "" {
		return nil, "", engine.Bad("missing secret_id_accessor")
	}
	r, err := of(v, req.Role)
	if err != nil {
		return nil, "", err
	}
	return byAccessor(v, r.Key, req.Accessor)
}

func noAccessor(accessor string) string {
	return `failed to find accessor entry for secret_id_accessor: "` + accessor + `"`
}

type lookupFailure struct {
	Error string `json:"error"`
}

// lookupAccessor answers an accessor that the role does not have with a 404
// whose data say so, which is where clients of Vault look.
func (e *Engine) lookupAccessor(v engine.View, req accessorRequest) (*found, error) {
	s, id, err := accessed(v, req)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, engine.Gone(lookupFailure{noAccessor(req.Accessor)})
	}
	return describe(v, id, s)
}

func (e *Engine) destroyAccessor(tx engine.Tx, req accessorRequest) (engine.None, error) {
	s, id, err := accessed(tx, req)
	if err != nil {
		return engine.None{}, err
	}
	if s == nil {
		return engine.None{}, engine.Missing(noAccessor(req.Accessor))
	}
	remove(tx, id, s)
	return engine.None{}, nil
}

func (e *Engine) startTidy(tx engine.Tx, _ engine.None) (*engine.Answer, error) {
	tx.At(tx.Now(), "tidy", "")
	tx.Warn("Tidy operation successfully started. Any information from the operation will be printed to the server's logs.")
	return &engine.Answer{Status: http.StatusAccepted}, nil
}
