package transit

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A key is the row of one key. Versions are numbered from 1; those below
// MinAvailable are gone.
type key struct {
	ID           string        `json:"id"`
	Type         string        `json:"type"`
	Size         int           `json:"size,omitempty"` // of hmac keys, in bytes
	Derived      bool          `json:"derived,omitempty"`
	Convergent   bool          `json:"convergent,omitempty"`
	Exportable   bool          `json:"exportable,omitempty"`
	Backup       bool          `json:"backup,omitempty"`
	Deletable    bool          `json:"deletable,omitempty"`
	Imported     bool          `json:"imported,omitempty"`
	Rotatable    bool          `json:"rotatable,omitempty"` // although imported
	SoftDeleted  bool          `json:"soft_deleted,omitempty"`
	AutoRotate   time.Duration `json:"auto_rotate,omitempty"`
	Latest       int           `json:"latest"`
	MinDecrypt   int           `json:"min_decrypt"`           // at least 1
	MinEncrypt   int           `json:"min_encrypt,omitempty"` // 0 is the latest
	MinAvailable int           `json:"min_available,omitempty"`
}

// A version is the row of one version of a key. A reader shares it with others.
type version struct {
	Created time.Time `json:"created"`
	Secret  []byte    `json:"secret,omitempty"`
	Public  []byte    `json:"public,omitempty"`
	HMAC    []byte    `json:"hmac,omitempty"`  // what hmac/ uses, unless the key is one
	Chain   [][]byte  `json:"chain,omitempty"` // certificates, DER
	Worn    bool      `json:"worn,omitempty"`  // encrypted as often as it may

	once   sync.Once
	opened any // a sealer or signer, or an error
}

func (e *version) material() material { return material{e.Secret, e.Public} }

func keys(v engine.View) storage.Table[key] { return engine.Table[key](v, keysFolder) }

func versions(v engine.View) storage.Table[version] { return engine.Table[version](v, "v/") }

func rowName(id string, n int) string { return id + "/" + strconv.Itoa(n) }

func (k *key) kind() *kind { return kindOf(k.Type) }

// first is the lowest version that is there.
func (k *key) first() int { return max(k.MinAvailable, 1) }

// find returns a key that may be used; without one, what is missing is said.
func find(v engine.View, name, missing string) (*key, error) {
	k, err := keys(v).Peek(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read key: %w", err)
	case k == nil:
		return nil, engine.Bad("%s", missing)
	case k.SoftDeleted:
		return nil, engine.Bad("key %s is soft-deleted; it can be restored", name)
	}
	return k, nil
}

// version returns a version of the key.
func (k *key) version(v engine.View, n int) (*version, error) {
	e, err := versions(v).Peek(rowName(k.ID, n))
	if err != nil {
		return nil, fmt.Errorf("read key version: %w", err)
	}
	if e == nil {
		return nil, engine.Bad("version %d of the key does not exist", n)
	}
	return e, nil
}

// putVersion stores a version. Nobody may change it afterwards.
func (k *key) putVersion(tx engine.Tx, n int, e *version) error {
	b, err := encodeVersion(e)
	if err != nil {
		return err
	}
	tx.PutUnlisted("v/"+rowName(k.ID, n), b)
	return nil
}

// toUse is the number of the version that a request to encrypt or sign means.
func (k *key) toUse(asked int, doing string) (int, error) {
	switch {
	case asked == 0:
		return k.Latest, nil
	case asked < 0:
		return 0, engine.Bad("requested version for %s is negative", doing)
	case asked > k.Latest:
		return 0, engine.Bad("requested version for %s is higher than the latest key version", doing)
	case asked < k.MinEncrypt:
		return 0, engine.Bad("requested version for %s is less than the minimum encryption key version", doing)
	case asked < max(k.MinDecrypt, k.first()):
		return 0, engine.Bad("requested version for %s is less than the minimum decryption key version", doing)
	}
	return asked, nil
}

// toUndo is the number of the version that made a ciphertext, signature or MAC.
func (k *key) toUndo(n int, what string) (int, error) {
	switch {
	case n == 0:
		n = 1 // Vault's numbers once began there
	case n > k.Latest:
		return 0, engine.Bad("invalid %s: version is too new", what)
	}
	if n < max(k.MinDecrypt, k.first()) {
		return 0, engine.Bad("ciphertext or signature version is disallowed by policy (too old)")
	}
	return n, nil
}

// add makes the next version of a key: new material, or what was imported.
func (k *key) add(tx engine.Tx, m material) error {
	kind := k.kind()
	e := &version{Created: tx.Now(), Secret: m.Secret, Public: m.Public}
	if len(m.Secret) == 0 && len(m.Public) == 0 {
		made, err := kind.generate(k.Size)
		if err != nil {
			return fmt.Errorf("generate key: %w", err)
		}
		e.Secret, e.Public = made.Secret, made.Public
	}
	if k.Type != "hmac" {
		e.HMAC = make([]byte, 32)
		rand.Read(e.HMAC)
	}
	k.Latest++
	if k.MinDecrypt == 0 {
		k.MinDecrypt = 1
	}
	return k.putVersion(tx, k.Latest, e)
}

func (k *key) store(tx engine.Tx, name string) { keys(tx).Keep(name, k) }

// clone is a key that may be changed.
func (k *key) clone() *key {
	c := *k
	return &c
}

// private is the refusal to do with a public key what needs the private one.
func private(doing string) error {
	return engine.Bad("requested version for %s does not contain a private part", doing)
}

// sealer is what a version of the key encrypts with.
func (k *key) sealer(e *version, context []byte) (sealer, error) {
	f, ok := k.kind().family.(sealing)
	if !ok {
		return nil, fmt.Errorf("keys of type %s do not encrypt", k.Type)
	}
	if !k.Derived {
		return opened(e, f.sealer)
	}
	m, err := k.derive(e, context)
	switch {
	case err != nil:
		return nil, err
	case k.Convergent:
		return convergentOf(f, m)
	}
	return f.sealer(m)
}

// signer is what a version of the key signs with.
func (k *key) signer(e *version, context []byte) (signer, error) {
	f, ok := k.kind().family.(signing)
	if !ok {
		return nil, fmt.Errorf("keys of type %s do not sign", k.Type)
	}
	if !k.Derived {
		return opened(e, f.signer)
	}
	m, err := k.derive(e, context)
	if err != nil {
		return nil, err
	}
	return f.signer(m)
}

// opened is what a version's material was made into, by the first who used it. A
// type of key has one way only, or one for both.
func opened[T any](e *version, open func(material) (T, error)) (T, error) {
	e.once.Do(func() {
		made, err := open(e.material())
		if e.opened = made; err != nil {
			e.opened = fmt.Errorf("open key: %w", err)
		}
	})
	if made, ok := e.opened.(T); ok {
		return made, nil
	}
	var none T
	err, _ := e.opened.(error)
	return none, err
}

// missingContext is Vault's sentence for a derived key without a context.
const missingContext = "missing 'context' for key derivation; the key was created using a derived key, which means additional, " +
	"per-request information must be included in order to perform operations with the key"

func (k *key) derive(e *version, context []byte) (material, error) {
	if len(context) == 0 {
		return material{}, engine.Bad("%s", missingContext)
	}
	f, ok := k.kind().family.(deriving)
	if !ok {
		return material{}, fmt.Errorf("keys of type %s do not derive", k.Type)
	}
	return f.derive(e.material(), context, k.Convergent)
}
