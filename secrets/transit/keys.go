package transit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strconv"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

func keyRoutes() engine.Routes[Engine] {
	return engine.Routes[Engine]{
		engine.List("keys", (*Engine).list).Doc("List the keys."),
		engine.Read("keys/{name}", (*Engine).read).Doc("Read a key, without its secrets."),
		engine.Write("keys/{name}", (*Engine).make).Doc("Make a key; one that is there stays as it is."),
		engine.Delete("keys/{name}", (*Engine).remove).Doc("Delete a key for good."),
		engine.Delete("keys/{name}/soft-delete", (*Engine).softDelete).Doc("Switch a key off; it can be restored."),
		engine.Write("keys/{name}/soft-delete-restore", (*Engine).softRestore).Doc("Switch a soft-deleted key on again."),
		engine.Write("keys/{name}/config", (*Engine).configure).Doc("Change the settings of a key."),
		engine.Write("keys/{name}/rotate", (*Engine).rotateNow).Doc("Add a version to a key."),
		engine.Write("keys/{name}/trim", (*Engine).trim).Doc("Delete the oldest versions of a key for good."),
	}
}

type listRequest struct {
	After string `json:"after" doc:"Name after which the list begins."`
	Limit int    `json:"limit" doc:"How many names to list; 0 is all."`
}

func (*Engine) list(v engine.View, req listRequest) (engine.Keys, error) {
	var names []string
	for name, err := range v.Children("keys", req.After) {
		if err != nil {
			return engine.Keys{}, err
		}
		if req.Limit > 0 && len(names) == req.Limit {
			break
		}
		names = append(names, name)
	}
	return engine.KeysOf(names), nil
}

type makeRequest struct {
	Name         string          `path:"name"`
	Type         string          `json:"type" default:"aes256-gcm96" doc:"Type of the key."`
	Derived      bool            `json:"derived" doc:"Each context has a key of its own."`
	Convergent   bool            `json:"convergent_encryption" doc:"One plaintext has one ciphertext."`
	Exportable   bool            `json:"exportable" doc:"The key may be exported."`
	Backup       bool            `json:"allow_plaintext_backup" doc:"The key may be backed up."`
	Size         int             `json:"key_size" doc:"Of hmac keys, in bytes."`
	AutoRotate   engine.Duration `json:"auto_rotate_period" doc:"Time after which a version is added; 0 is never."`
	ParameterSet string          `json:"parameter_set" doc:"Of ml-dsa: 44, 65 or 87."`
	PQC          string          `json:"hybrid_key_type_pqc" doc:"Of hybrid: ml-dsa."`
	EC           string          `json:"hybrid_key_type_ec" doc:"Of hybrid: ed25519 or ecdsa-p256, ecdsa-p384, ecdsa-p521."`
	Context      string          `json:"context" doc:"Of a derived ed25519 key: whose public key is answered, in base64."`
	ManagedName  string          `json:"managed_key_name" doc:"Not supported."`
	ManagedID    string          `json:"managed_key_id" doc:"Not supported."`
}

// minRotation is the shortest period of rotation.
const minRotation = time.Hour

func checkPeriod(d engine.Duration) error {
	if d != 0 && time.Duration(d) < minRotation {
		return engine.Bad("auto rotate period must be 0 to disable or at least an hour")
	}
	return nil
}

func (e *Engine) make(tx engine.Tx, req makeRequest) (*description, error) {
	if err := checkPeriod(req.AutoRotate); err != nil {
		return nil, err
	}
	if req.Convergent && !req.Derived {
		return nil, engine.Bad("convergent encryption requires derivation to be enabled")
	}
	kind, err := kindAsked(req.Type, req.ParameterSet, req.PQC, req.EC)
	if err != nil {
		return nil, err
	}
	if req.Size != 0 {
		if kind.name != "hmac" {
			return nil, engine.Bad("key_size is not valid for algorithm %s", req.Type)
		}
		if req.Size < minHMAC || req.Size > maxHMAC {
			return nil, engine.Bad("invalid key_size %d", req.Size)
		}
	}
	if k, err := keys(tx).Peek(req.Name); err != nil || k != nil {
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		return describe(tx, req.Name, k, req.Context)
	}
	k := &key{Type: kind.name, Size: req.Size, Derived: req.Derived, Convergent: req.Convergent, Exportable: req.Exportable,
		Backup: req.Backup, AutoRotate: time.Duration(req.AutoRotate)}
	if err := k.create(tx, req.Name, material{}); err != nil {
		return nil, err
	}
	return describe(tx, req.Name, k, req.Context)
}

// create stores a new key with its first version.
func (k *key) create(tx engine.Tx, name string, m material) error {
	kind := k.kind()
	switch {
	case (k.Derived || k.Convergent) && !kind.derives:
		return engine.Bad("key derivation and convergent encryption not supported for keys of type %s", k.Type)
	case k.Convergent && !k.Derived:
		return engine.Bad("convergent encryption requires derivation to be enabled")
	case k.Convergent && !kind.encrypts:
		return engine.Bad("convergent encryption not supported for keys of type %s", k.Type)
	case k.Type == "hmac" && len(m.Secret) == 0 && (k.Size < minHMAC || k.Size > maxHMAC):
		return engine.Bad("invalid key size for HMAC key, must be between %d and %d bytes", minHMAC, maxHMAC)
	}
	k.ID = rand.Text()
	if err := k.add(tx, m); err != nil {
		return err
	}
	k.schedule(tx, name)
	k.store(tx, name)
	return nil
}

type readKeyRequest struct {
	Name    string `path:"name"`
	Context string `json:"context" doc:"Of a derived ed25519 key: whose public key is answered, in base64."`
}

func (*Engine) read(v engine.View, req readKeyRequest) (*description, error) {
	k, err := keys(v).Peek(req.Name)
	if err != nil || k == nil {
		return nil, err
	}
	return describe(v, req.Name, k, req.Context)
}

// A description is what is told of a key.
type description struct {
	Backup            bool           `json:"allow_plaintext_backup"`
	AutoRotate        int64          `json:"auto_rotate_period"`
	Convergent        bool           `json:"convergent_encryption,omitempty"`
	ConvergentVersion int            `json:"convergent_encryption_version,omitempty"`
	Deletable         bool           `json:"deletion_allowed"`
	Derived           bool           `json:"derived"`
	Exportable        bool           `json:"exportable"`
	Imported          bool           `json:"imported_key"`
	Rotatable         *bool          `json:"imported_key_allow_rotation,omitempty"`
	KDF               string         `json:"kdf,omitempty"`
	Size              int            `json:"key_size,omitempty"`
	Keys              map[string]any `json:"keys,omitempty"`
	Latest            int            `json:"latest_version"`
	MinAvailable      int            `json:"min_available_version"`
	MinDecrypt        int            `json:"min_decryption_version"`
	MinEncrypt        int            `json:"min_encryption_version"`
	Name              string         `json:"name"`
	SoftDeleted       bool           `json:"soft_deleted"`
	Decrypts          bool           `json:"supports_decryption"`
	Derives           bool           `json:"supports_derivation"`
	Encrypts          bool           `json:"supports_encryption"`
	Signs             bool           `json:"supports_signing"`
	Type              string         `json:"type"`
}

// A publicKey is what is told of a version with a public half.
type publicKey struct {
	Chain   string    `json:"certificate_chain"`
	Created time.Time `json:"creation_time"`
	Name    string    `json:"name"`
	Public  string    `json:"public_key"`
}

// latestConvergent is how Vault says "the version of each key version".
const latestConvergent = -1

func describe(v engine.View, name string, k *key, context string) (*description, error) {
	kind := k.kind()
	d := &description{
		Backup: k.Backup, AutoRotate: int64(k.AutoRotate.Seconds()), Convergent: k.Convergent, Deletable: k.Deletable, Derived: k.Derived,
		Exportable: k.Exportable, Imported: k.Imported, Latest: k.Latest, MinAvailable: k.MinAvailable, MinDecrypt: k.MinDecrypt,
		MinEncrypt: k.MinEncrypt, Name: name, SoftDeleted: k.SoftDeleted, Type: k.Type,
		Encrypts: kind.encrypts, Decrypts: kind.encrypts, Derives: kind.derives, Signs: kind.signs,
	}
	if k.Derived {
		d.KDF = "hkdf_sha256"
	}
	if k.Convergent {
		d.ConvergentVersion = latestConvergent
	}
	if k.Imported {
		d.Rotatable = &k.Rotatable
	}
	if k.Type == "hmac" {
		d.Size = k.Size
		return d, nil
	}
	d.Keys = make(map[string]any, k.Latest-k.MinDecrypt+1)
	for n := max(k.MinDecrypt, k.first()); n <= k.Latest; n++ {
		told, err := k.told(v, n, context)
		if err != nil {
			return nil, err
		}
		d.Keys[strconv.Itoa(n)] = told
	}
	return d, nil
}

// told is what is told of a version: when it was made, or its public key.
func (k *key) told(v engine.View, n int, context string) (any, error) {
	e, err := k.version(v, n)
	if err != nil {
		return nil, err
	}
	if !k.kind().public {
		return e.Created.Unix(), nil
	}
	p := publicKey{Created: e.Created, Name: k.publicName(), Chain: chainText(e.Chain)}
	if !k.Derived {
		p.Public = k.publicText(e.Public)
		return p, nil
	}
	if context != "" {
		b, err := bytesOf(context, "failed to decode context: ")
		if err != nil {
			return nil, err
		}
		m, err := k.derive(e, b)
		if err != nil {
			return nil, err
		}
		p.Public = k.publicText(m.Public)
	}
	return p, nil
}

// publicName is how a version with a public half is named.
func (k *key) publicName() string {
	if f, ok := k.kind().family.(weierstrass); ok {
		return f.curve.Params().Name
	}
	return k.Type
}

// publicText spells a public key: PEM where there is a standard for it, else
// base64 of its bytes.
func (k *key) publicText(public []byte) string {
	switch k.kind().family.(type) {
	case weierstrass, rivest:
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	case edwards:
		if len(public) != ed25519.PublicKeySize {
			return ""
		}
	}
	return base64.StdEncoding.EncodeToString(public)
}

func chainText(chain [][]byte) string {
	var b []byte
	for _, der := range chain {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return string(b)
}
