package transit

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

// toChange is a key that may be changed, or a sentence about the missing one.
func toChange(tx engine.Tx, name, missing string) (*key, error) {
	k, err := keys(tx).Peek(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read key: %w", err)
	case k == nil:
		return nil, engine.Bad("%s", missing)
	}
	return k.clone(), nil
}

type configureRequest struct {
	Name       string           `path:"name"`
	MinDecrypt *int             `json:"min_decryption_version" doc:"Lowest version that decrypts and verifies."`
	MinEncrypt *int             `json:"min_encryption_version" doc:"Lowest version that encrypts and signs; 0 is the latest."`
	Deletable  *bool            `json:"deletion_allowed" doc:"The key may be deleted."`
	Exportable bool             `json:"exportable" doc:"The key may be exported; there is no way back."`
	Backup     bool             `json:"allow_plaintext_backup" doc:"The key may be backed up; there is no way back."`
	AutoRotate *engine.Duration `json:"auto_rotate_period" doc:"Time after which a version is added; 0 is never."`
}

func (e *Engine) configure(tx engine.Tx, req configureRequest) (*description, error) {
	k, err := toChange(tx, req.Name, "no existing key named "+req.Name+" could be found")
	if err != nil {
		return nil, err
	}
	if err := k.setMinima(tx, req.MinDecrypt, req.MinEncrypt); err != nil {
		return nil, err
	}
	if req.Deletable != nil {
		k.Deletable = *req.Deletable
	}
	k.Exportable = k.Exportable || req.Exportable
	k.Backup = k.Backup || req.Backup
	if req.AutoRotate != nil {
		if err := checkPeriod(*req.AutoRotate); err != nil {
			return nil, err
		}
		if *req.AutoRotate != 0 && !k.mayRotate() {
			return nil, engine.Bad("imported key %s does not allow rotation within Vault", req.Name)
		}
		k.AutoRotate = time.Duration(*req.AutoRotate)
		if err := k.reschedule(tx, req.Name); err != nil {
			return nil, err
		}
	}
	k.store(tx, req.Name)
	return describe(tx, req.Name, k, "")
}

// setMinima changes which versions may be used.
func (k *key) setMinima(tx engine.Tx, decrypt, encrypt *int) error {
	if decrypt != nil {
		n := *decrypt
		if n == 0 {
			n = 1
			tx.Warn("since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1")
		}
		switch {
		case n < 0:
			return engine.Bad("min decryption version cannot be negative")
		case n > k.Latest:
			return engine.Bad("cannot set min decryption version of %d, latest key version is %d", n, k.Latest)
		case n < k.MinAvailable:
			return engine.Bad("min decryption version should not be less then min available version")
		}
		k.MinDecrypt = n
	}
	if encrypt != nil {
		n := *encrypt
		switch {
		case n < 0:
			return engine.Bad("min encryption version cannot be negative")
		case n > k.Latest:
			return engine.Bad("cannot set min encryption version of %d, latest key version is %d", n, k.Latest)
		}
		k.MinEncrypt = n
	}
	if k.MinEncrypt > 0 && k.MinEncrypt < k.MinDecrypt {
		return engine.Bad("cannot set min encryption/decryption values; min encryption version of %d must be greater than or equal to min decryption version of %d",
			k.MinEncrypt, k.MinDecrypt)
	}
	return nil
}

type rotateRequest struct {
	Name        string `path:"name"`
	ManagedName string `json:"managed_key_name" doc:"Not supported."`
	ManagedID   string `json:"managed_key_id" doc:"Not supported."`
}

func (k *key) mayRotate() bool { return !k.Imported || k.Rotatable }

func (e *Engine) rotateNow(tx engine.Tx, req rotateRequest) (*description, error) {
	k, err := toChange(tx, req.Name, "no existing key named "+req.Name+" could be found")
	if err != nil {
		return nil, err
	}
	if k.SoftDeleted {
		return nil, engine.Bad("key %s is soft-deleted; it can be restored", req.Name)
	}
	if !k.mayRotate() {
		return nil, engine.Bad("imported key %s does not allow rotation within Vault", req.Name)
	}
	if err := e.rotateKey(tx, req.Name, k); err != nil {
		return nil, err
	}
	return describe(tx, req.Name, k, "")
}

// rotateKey adds a version to a key that belongs to the caller, and stores it.
func (e *Engine) rotateKey(tx engine.Tx, name string, k *key) error {
	if err := k.add(tx, material{}); err != nil {
		return err
	}
	k.schedule(tx, name)
	k.store(tx, name)
	return nil
}

// schedule has the key rotate a period from now.
func (k *key) schedule(tx engine.Tx, name string) {
	if k.AutoRotate > 0 {
		tx.At(tx.Now().Add(k.AutoRotate), "rotate", name)
	}
}

// reschedule has the key rotate a period after its latest version was made.
func (k *key) reschedule(tx engine.Tx, name string) error {
	if k.AutoRotate == 0 {
		tx.Cancel("rotate", name)
		return nil
	}
	e, err := k.version(tx, k.Latest)
	if err != nil {
		return err
	}
	tx.At(e.Created.Add(k.AutoRotate), "rotate", name)
	return nil
}

// rotateDue is the job that rotates a key. It finds out for itself whether the
// key is still to be rotated.
func (e *Engine) rotateDue(tx engine.Tx, name string) error {
	k, err := keys(tx).Peek(name)
	if err != nil || k == nil || k.AutoRotate == 0 || !k.mayRotate() {
		return err
	}
	k = k.clone()
	last, err := k.version(tx, k.Latest)
	if err != nil {
		return err
	}
	if k.SoftDeleted {
		k.schedule(tx, name)
		return nil
	}
	if due := last.Created.Add(k.AutoRotate); due.After(tx.Now()) {
		tx.At(due, "rotate", name)
		return nil
	}
	return e.rotateKey(tx, name, k)
}

type trimRequest struct {
	Name         string `path:"name"`
	MinAvailable *int   `json:"min_available_version" doc:"Lowest version that is kept."`
}

func (e *Engine) trim(tx engine.Tx, req trimRequest) (*description, error) {
	k, err := toChange(tx, req.Name, "no existing key named "+req.Name+" could be found")
	if err != nil {
		return nil, err
	}
	if req.MinAvailable == nil {
		return nil, engine.Bad("missing min_available_version")
	}
	n := *req.MinAvailable
	switch {
	case n < 1:
		return nil, engine.Bad("minimum available version should be positive")
	case n < k.MinAvailable:
		return nil, engine.Bad("minimum available version cannot be decremented")
	case k.MinEncrypt == 0:
		return nil, engine.Bad("minimum available version cannot be set when minimum encryption version is not set")
	case n > k.MinEncrypt:
		return nil, engine.Bad("minimum available version cannot be greater than minmum encryption version")
	}
	sweepRange(tx, k.ID, k.first(), n)
	k.MinAvailable, k.MinDecrypt = n, max(k.MinDecrypt, n)
	k.store(tx, req.Name)
	return describe(tx, req.Name, k, "")
}

func (e *Engine) remove(tx engine.Tx, req nameRequest) (engine.None, error) {
	k, err := toChange(tx, req.Name, "error deleting policy "+req.Name+": could not delete key; not found")
	if err != nil {
		return engine.None{}, err
	}
	if !k.Deletable {
		return engine.None{}, engine.Bad("error deleting policy %s: deletion is not allowed for this key", req.Name)
	}
	keys(tx).Delete(req.Name)
	tx.Cancel("rotate", req.Name)
	sweepRange(tx, k.ID, k.first(), k.Latest+1)
	return engine.None{}, nil
}

// sweepAtOnce is how many versions one transaction deletes.
const sweepAtOnce = 1000

// sweepRange deletes the versions of an id from one on and before another: many
// of them later, piece by piece. No key names them any more.
func sweepRange(tx engine.Tx, id string, from, before int) {
	end := min(before, from+sweepAtOnce)
	for n := from; n < end; n++ {
		tx.DeleteUnlisted("v/" + rowName(id, n))
		tx.DeleteUnlisted("u/" + rowName(id, n))
	}
	if end < before {
		tx.At(tx.Now(), "sweep", fmt.Sprintf("%s/%d/%d", id, end, before))
	}
}

// sweep is the job that goes on with sweepRange.
func (e *Engine) sweep(tx engine.Tx, what string) error {
	parts := strings.Split(what, "/")
	if len(parts) != 3 {
		return fmt.Errorf("sweep %q: not an id and two numbers", what)
	}
	from, err := strconv.Atoi(parts[1])
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	before, err := strconv.Atoi(parts[2])
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	sweepRange(tx, parts[0], from, before)
	return nil
}

func (e *Engine) softDelete(tx engine.Tx, req nameRequest) (engine.None, error) {
	k, err := toChange(tx, req.Name, "could not delete key; not found")
	if err != nil {
		return engine.None{}, err
	}
	k.SoftDeleted = true
	k.store(tx, req.Name)
	return engine.None{}, nil
}

func (e *Engine) softRestore(tx engine.Tx, req nameRequest) (*description, error) {
	k, err := toChange(tx, req.Name, "could not restore key; not found")
	if err != nil {
		return nil, err
	}
	if !k.SoftDeleted {
		tx.Warn("key was already restored")
		return describe(tx, req.Name, k, "")
	}
	k.SoftDeleted = false
	k.store(tx, req.Name)
	return describe(tx, req.Name, k, "")
}
