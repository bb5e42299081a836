package transit

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/fastness-dev/fastness/engine"
)

// A backup is a whole key, as its base64 is handed out.
type backup struct {
	Format   string           `json:"format"` // backupFormat
	Name     string           `json:"name"`
	Key      key              `json:"key"`
	Versions map[int]*version `json:"versions"`
}

const backupFormat = "fastness-transit-1"

type backupAnswer struct {
	Backup string `json:"backup"`
}

func (*Engine) backup(v engine.View, req nameRequest) (*backupAnswer, error) {
	k, err := keys(v).Peek(req.Name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read key: %w", err)
	case k == nil:
		return nil, engine.Bad("could not backup key; not found")
	case !k.Exportable:
		return nil, engine.Bad("exporting is disallowed on the policy")
	case !k.Backup:
		return nil, engine.Bad("plaintext backup is disallowed on the policy")
	}
	b := &backup{Format: backupFormat, Name: req.Name, Key: *k, Versions: make(map[int]*version, k.Latest)}
	for n := k.first(); n <= k.Latest; n++ {
		if b.Versions[n], err = k.version(v, n); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode backup: %w", err)
	}
	return &backupAnswer{base64.StdEncoding.EncodeToString(text)}, nil
}

type restoreRequest struct {
	Name   string `path:"name" doc:"Name of the restored key; that of the backup without it."`
	Backup string `json:"backup" doc:"What backup answered."`
	Force  bool   `json:"force" doc:"A key that is there is replaced."`
}

func (e *Engine) restore(tx engine.Tx, req restoreRequest) (engine.None, error) {
	b, err := parseBackup(req.Backup)
	if err != nil {
		return engine.None{}, err
	}
	name := req.Name
	if name == "" {
		name = b.Name
	}
	if !validName(name) {
		return engine.None{}, engine.Bad("the backup's name is not one of a key; name another in the path")
	}
	old, err := keys(tx).Peek(name)
	switch {
	case err != nil:
		return engine.None{}, fmt.Errorf("read key: %w", err)
	case old != nil && !req.Force:
		return engine.None{}, engine.Bad("key %q already exists", name)
	case old != nil:
		sweepRange(tx, old.ID, old.first(), old.Latest+1)
		tx.Cancel("rotate", name)
	}
	k := &b.Key
	k.ID = rand.Text()
	for n := k.first(); n <= k.Latest; n++ {
		if err := k.putVersion(tx, n, b.Versions[n]); err != nil {
			return engine.None{}, err
		}
	}
	k.schedule(tx, name)
	k.store(tx, name)
	return engine.None{}, nil
}

// parseBackup reads a backup and refuses one that is no whole key.
func parseBackup(s string) (*backup, error) {
	if s == "" {
		return nil, engine.Bad("'backup' must be supplied")
	}
	text, err := bytesOf(s, "backup: ")
	if err != nil {
		return nil, err
	}
	b := &backup{}
	if err := json.Unmarshal(text, b); err != nil {
		return nil, engine.Bad("backup: %s", err)
	}
	k := &b.Key
	kind := k.kind()
	switch {
	case b.Format != backupFormat:
		return nil, engine.Bad("backup: it is not of the format %s", backupFormat)
	case kind == nil:
		return nil, engine.Bad("backup: unknown key type %q", k.Type)
	case k.Latest < 1 || k.MinAvailable < 0 || k.first() > k.Latest || k.MinDecrypt < k.first() || k.MinDecrypt > k.Latest ||
		k.MinEncrypt < 0 || k.MinEncrypt > k.Latest || len(b.Versions) != k.Latest-k.first()+1:
		return nil, engine.Bad("backup: its versions do not add up")
	case (k.Derived || k.Convergent) && !kind.derives || k.Convergent && !(k.Derived && kind.encrypts) ||
		k.AutoRotate != 0 && k.AutoRotate < minRotation:
		return nil, engine.Bad("backup: no key has such settings")
	}
	for n := k.first(); n <= k.Latest; n++ {
		if e := b.Versions[n]; e == nil || k.usable(e) != nil {
			return nil, engine.Bad("backup: version %d is no key of type %s", n, k.Type)
		}
	}
	return b, nil
}

// usable says whether a version's material is of the key's type.
func (k *key) usable(e *version) error {
	if k.Derived && len(e.Secret) == 0 {
		return errWrongKey
	}
	if f, ok := k.kind().family.(symmetric); ok {
		_, err := f.parse(e.Secret)
		return err
	}
	if f, ok := k.kind().family.(signing); ok {
		_, err := f.signer(e.material())
		return err
	}
	if f, ok := k.kind().family.(sealing); ok {
		_, err := f.sealer(e.material())
		return err
	}
	return errWrongKey
}

// validName is the rule that paths follow for the names of keys.
func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		word := c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !word && !(i > 0 && i < len(s)-1 && (c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}
