package config

import (
	"strings"
)

// A Seal says what keeps the root key besides the shares.
type Seal struct {
	Pos      Position
	Type     string
	Name     string // the type where the stanza is silent
	Priority int    // the lowest is asked first; 0 where it is the only one
	Disabled bool   // kept for migration away from it
	// Settings are the keys of the stanza but for those above. They may hold
	// credentials: nothing shows them.
	Settings map[string]string
}

// sealKeys are the keys of each kind of seal, those of Vault and OpenBao among
// them.
var sealKeys = map[string]string{
	"shamir": "",
	"static": "current_key_id current_key previous_key_id previous_key",
	"transit": `address token key_name mount_path namespace disable_renewal key_id_prefix
		tls_ca_cert tls_client_cert tls_client_key tls_server_name tls_skip_verify`,
	"awskms":   "region access_key secret_key session_token kms_key_id endpoint shared_creds_filename shared_creds_profile role_arn role_session_name web_identity_token_file",
	"gcpckms":  "credentials project region key_ring crypto_key user_agent endpoint",
	"ocikms":   "key_id crypto_endpoint management_endpoint auth_type_api_key config_file config_profile",
	"pkcs11":   "lib slot token_label pin key_label key_id mechanism rsa_oaep_hash plugin hmac_key_label default_hmac_key_label hmac_key_id default_key_label generate_key force_rw_session hmac_mechanism key_length max_parallel disable_software_encryption",
	"tpm":      "device pcrs pcr_bank",
	"kmip":     "",
	"ovhcloud": "", "tcloudpublic": "", "kms": "",
	"azurekeyvault": "tenant_id client_id client_secret environment vault_name key_name resource endpoint",
	"alicloudkms":   "region domain access_key secret_key security_token kms_key_id ecs_role",
}

// unservedSeals are kinds that Vault or OpenBao have and this build lacks.
const unservedSeals = " kmip ovhcloud tcloudpublic kms "

// idleSealKeys have a meaning elsewhere that nothing here needs.
var idleSealKeys = map[string]string{
	"key_id_prefix":                   "the key's version is told from the ciphertext",
	"management_endpoint":             "only the crypto_endpoint is asked",
	"hmac_key_label":                  "the root key is authenticated by its own envelope",
	"default_hmac_key_label":          "the root key is authenticated by its own envelope",
	"hmac_key_id":                     "the root key is authenticated by its own envelope",
	"hmac_mechanism":                  "the root key is authenticated by its own envelope",
	"default_key_label":               "name the key by key_label",
	"generate_key":                    "make the key with your HSM's tool",
	"key_length":                      "make the key with your HSM's tool",
	"force_rw_session":                "the session only reads",
	"max_parallel":                    "one session is enough",
	"disable_software_encryption":     "encryption is the device's",
	"user_agent":                      "remove it",
	"health_check_enabled":            "the self-test always runs",
	"health_check_timeout":            "a service gets 15 s to answer",
	"health_check_interval":           "a seal is tested every 10 minutes",
	"health_check_interval_unhealthy": "a seal that failed is tested every minute",
}

func (c *Config) addSeals(d *decoder, e entry) {
	for _, l := range d.labels(e.key, e) {
		keys, known := sealKeys[l.label]
		switch {
		case !known:
			d.fail(l.pos, "unknown seal %q", l.label)
			continue
		case strings.Contains(unservedSeals, " "+l.label+" "):
			d.fail(l.pos, "seal %q is not served by this build: use static, transit, awskms, gcpckms, azurekeyvault, ocikms, alicloudkms, pkcs11 or tpm, or remove the stanza to unseal with key shares", l.label)
			continue
		}
		s := Seal{Pos: l.pos, Type: l.label}
		if l.label != "shamir" {
			s.Name, s.Settings = l.label, map[string]string{}
		}
		d.stanza("seal \""+l.label+"\"", l.body, s.fields(keys), nil)
		c.Seals = append(c.Seals, s)
	}
}

func (s *Seal) fields(keys string) fields {
	table := fields{"disabled": boolean(&s.Disabled), "name": str(&s.Name), "priority": integer(&s.Priority)}
	for _, key := range strings.Fields(keys) {
		table[key] = s.keep
	}
	for key, why := range idleSealKeys {
		if _, own := table[key]; own || strings.HasPrefix(key, "health_check_") {
			table[key] = unsupported(why)
		}
	}
	return table
}

// keep stores a value for the seal's own package to read.
func (s *Seal) keep(d *decoder, e entry) {
	var v string
	str(&v)(d, e)
	if v != "" {
		s.Settings[e.key] = v
	}
}

// setSealType adds a seal that the environment alone describes, as Vault's
// VAULT_SEAL_TYPE does.
func (c *Config) setSealType(d *decoder, e entry) {
	for _, s := range c.Seals {
		if s.Type == e.value.text && !s.Disabled {
			return
		}
	}
	if keys, known := sealKeys[e.value.text]; !known || keys == "" && e.value.text != "shamir" {
		d.fail(e.pos, "%s asks for a seal that this build does not have: unset it to unseal with key shares", e.key)
		return
	}
	if e.value.text != "shamir" {
		c.Seals = append(c.Seals, Seal{Type: e.value.text, Name: e.value.text, Settings: map[string]string{}})
	}
}

// seals checks what seals must have to be told from each other.
func (v *validator) seals(seals []Seal) {
	names, priorities := map[string]bool{}, map[int]bool{}
	enabled := 0
	for _, s := range seals {
		if s.Disabled || s.Type == "shamir" {
			continue
		}
		enabled++
		if s.Name == "shares" {
			v.fail(s.Pos, "the name \"shares\" stands for the key shares: give this seal another")
		}
		if names[s.Name] {
			v.fail(s.Pos, "two seals have the name %q: give each its own with name = \"…\"", s.Name)
		}
		names[s.Name] = true
	}
	for _, s := range seals {
		if enabled < 2 || s.Disabled || s.Type == "shamir" {
			continue
		}
		if s.Priority < 1 || priorities[s.Priority] {
			v.fail(s.Pos, "seal %q needs a priority of its own: of several seals that with the lowest number is asked first", s.Name)
		}
		priorities[s.Priority] = true
	}
}
