package transit

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/keywrap"
)

func materialRoutes() engine.Routes[Engine] {
	return engine.Routes[Engine]{
		engine.Issue("wrapping_key", (*Engine).wrappingKey).Doc("Read the public key that imports are wrapped for."),
		engine.Write("keys/{name}/import", (*Engine).importKey).Doc("Make a key of imported material."),
		engine.Write("keys/{name}/import_version", (*Engine).importVersion).Doc("Add an imported version to an imported key."),
		engine.Read("export/{type}/{name}[/{version}]", (*Engine).export).Doc("Read the material of an exportable key."),
		engine.Read("byok-export/{destination}/{source}[/{version}]", (*Engine).exportWrapped).
			Doc("Read the material of an exportable key, wrapped for another server to import."),
		engine.Read("backup/{name}", (*Engine).backup).Doc("Read a whole key, to restore it."),
		engine.Write("restore[/{name}]", (*Engine).restore).Doc("Restore a key that was backed up."),
	}
}

// wrappingBits is the length of the key that imports are wrapped for.
const wrappingBits = 4096

// wrapping is the key that imports are wrapped for. It is made when it is first
// asked for.
func (e *Engine) wrapping(tx engine.Tx) (*rsa.PrivateKey, error) {
	der, err := tx.Get(wrappingPath)
	if err != nil {
		return nil, fmt.Errorf("read wrapping key: %w", err)
	}
	if der == nil {
		k, err := rsa.GenerateKey(rand.Reader, e.wrappingBits)
		if err != nil {
			return nil, fmt.Errorf("generate wrapping key: %w", err)
		}
		tx.PutUnlisted(wrappingPath, x509.MarshalPKCS1PrivateKey(k))
		return k, nil
	}
	k, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("decode wrapping key: %w", err)
	}
	return k, nil
}

type wrappingAnswer struct {
	Public string `json:"public_key"`
}

func (e *Engine) wrappingKey(tx engine.Tx, _ engine.None) (*wrappingAnswer, error) {
	k, err := e.wrapping(tx)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return nil, fmt.Errorf("encode wrapping key: %w", err)
	}
	return &wrappingAnswer{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, nil
}

type importRequest struct {
	Name       string          `path:"name"`
	Type       string          `json:"type" default:"aes256-gcm96" doc:"Type of the key."`
	Ciphertext string          `json:"ciphertext" doc:"The key, wrapped for wrapping_key, in base64."`
	Public     string          `json:"public_key" doc:"A public key alone, in PEM."`
	Hash       string          `json:"hash_function" default:"SHA256" doc:"Of the RSA-OAEP: SHA1, SHA224, SHA256, SHA384 or SHA512."`
	Rotatable  bool            `json:"allow_rotation" doc:"The key may be rotated here."`
	Derived    bool            `json:"derived" doc:"Each context has a key of its own."`
	Exportable bool            `json:"exportable" doc:"The key may be exported."`
	Backup     bool            `json:"allow_plaintext_backup" doc:"The key may be backed up."`
	AutoRotate engine.Duration `json:"auto_rotate_period" doc:"Time after which a version is added; 0 is never."`
	Context    string          `json:"context" doc:"Not used."`
}

func (e *Engine) importKey(tx engine.Tx, req importRequest) (engine.None, error) {
	kind := kindOf(req.Type)
	switch err := checkPeriod(req.AutoRotate); {
	case err != nil:
		return engine.None{}, err
	case req.AutoRotate != 0 && !req.Rotatable:
		return engine.None{}, engine.Bad("allow_rotation must be set to true if auto-rotation is enabled")
	case kind == nil:
		return engine.None{}, engine.Bad("unknown key type: %s", req.Type)
	}
	old, err := keys(tx).Peek(req.Name)
	switch {
	case err != nil:
		return engine.None{}, fmt.Errorf("read key: %w", err)
	case old != nil:
		return engine.None{}, engine.Bad("the import path cannot be used with an existing key; use import-version to rotate an existing imported key")
	}
	m, err := e.imported(tx, kind, req.Ciphertext, req.Public, req.Hash)
	if err != nil {
		return engine.None{}, err
	}
	k := &key{Type: kind.name, Derived: req.Derived, Exportable: req.Exportable, Backup: req.Backup, Imported: true,
		Rotatable: req.Rotatable, AutoRotate: time.Duration(req.AutoRotate)}
	if k.Type == "hmac" {
		k.Size = len(m.Secret)
	}
	if k.Derived && len(m.Secret) == 0 {
		return engine.None{}, engine.Bad("a public key alone derives nothing")
	}
	return engine.None{}, k.create(tx, req.Name, m)
}

// imported reads the material of a request to import.
func (e *Engine) imported(tx engine.Tx, kind *kind, ciphertext, public, hash string) (material, error) {
	h, ok := keywrap.Hash(hash)
	if !ok {
		return material{}, engine.Bad("unknown hash function: %s", hash)
	}
	if ciphertext == "" {
		return importedPublic(kind, public)
	}
	if public != "" {
		return material{}, engine.Bad("only one of the following fields, ciphertext and public_key, can be set")
	}
	wrapped, err := bytesOf(ciphertext, "")
	if err != nil {
		return material{}, err
	}
	if len(wrapped) <= e.wrappingBits/8 {
		return material{}, engine.Bad("provided ciphertext is too short")
	}
	w, err := e.wrapping(tx)
	if err != nil {
		return material{}, err
	}
	secret, err := keywrap.Open(w, h, wrapped)
	if err != nil {
		return material{}, engine.Bad("%s", err)
	}
	m, err := kind.parse(secret)
	if err != nil {
		return material{}, badImport(kind, err)
	}
	return m, nil
}

func badImport(kind *kind, err error) error {
	var size errSize
	if errors.As(err, &size) {
		return engine.Bad("error importing key: %s for key type %s", size, kind.name)
	}
	return engine.Bad("error importing key: %s", err)
}

func importedPublic(kind *kind, public string) (material, error) {
	f, ok := kind.family.(publisher)
	if !ok {
		return material{}, engine.Bad("provided type does not support public_key import")
	}
	if public == "" {
		return material{}, engine.Bad("either ciphertext or public_key must be set")
	}
	block, _ := pem.Decode([]byte(public))
	if block == nil {
		return material{}, engine.Bad("public_key is not in PEM")
	}
	m, err := f.parsePublic(block.Bytes)
	if err != nil {
		return material{}, badImport(kind, err)
	}
	return m, nil
}

type importVersionRequest struct {
	Name       string `path:"name"`
	Ciphertext string `json:"ciphertext" doc:"The key, wrapped for wrapping_key, in base64."`
	Public     string `json:"public_key" doc:"A public key alone, in PEM."`
	Hash       string `json:"hash_function" default:"SHA256" doc:"Of the RSA-OAEP: SHA1, SHA224, SHA256, SHA384 or SHA512."`
	Version    *int   `json:"version" doc:"Version whose private half is imported; without it a version is added."`
}

func (e *Engine) importVersion(tx engine.Tx, req importVersionRequest) (engine.None, error) {
	k, err := toChange(tx, req.Name, "no key found with name "+req.Name+"; to import a new key, use the import/ endpoint")
	if err != nil {
		return engine.None{}, err
	}
	if !k.Imported {
		return engine.None{}, engine.Bad("the import_version endpoint can only be used with an imported key")
	}
	m, err := e.imported(tx, k.kind(), req.Ciphertext, req.Public, req.Hash)
	switch {
	case err != nil:
		return engine.None{}, err
	case k.Derived && len(m.Secret) == 0:
		return engine.None{}, engine.Bad("a public key alone derives nothing")
	case req.Version != nil:
		return engine.None{}, k.complete(tx, *req.Version, m)
	}
	if k.Type == "hmac" {
		k.Size = len(m.Secret)
	}
	if err := k.add(tx, m); err != nil {
		return engine.None{}, err
	}
	k.schedule(tx, req.Name)
	k.store(tx, req.Name)
	return engine.None{}, nil
}

// complete adds the private half to a version of which the public one is known.
func (k *key) complete(tx engine.Tx, n int, m material) error {
	if n < k.first() || n > k.Latest {
		return engine.Bad("version %d of the key does not exist", n)
	}
	old, err := k.version(tx, n)
	switch {
	case err != nil:
		return err
	case !k.kind().public:
		return engine.Bad("a version can be set for asymmetric keys only")
	case len(old.Secret) > 0:
		return engine.Bad("private key imported, key version cannot be updated")
	case len(m.Secret) == 0 || string(m.Public) != string(old.Public):
		return engine.Bad("the imported private key is not that of the version's public key")
	}
	return k.putVersion(tx, n, &version{Created: old.Created, Secret: m.Secret, Public: old.Public, HMAC: old.HMAC, Chain: old.Chain})
}
