package quota

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// A Lockout says when an auth method stops listening to a user. Zero fields are
// Vault's defaults.
type Lockout struct {
	Threshold uint64        // failures that lock; 5
	Duration  time.Duration // of the lock; 15 minutes
	Reset     time.Duration // without a failure, after which none count; 15 minutes
	Disable   bool
}

// Vault's defaults.
const (
	DefaultThreshold = 5
	DefaultLockout   = 15 * time.Minute
)

// Or fills in from another what is not said.
func (l Lockout) Or(other Lockout) Lockout {
	if l.Threshold == 0 {
		l.Threshold = other.Threshold
	}
	if l.Duration <= 0 {
		l.Duration = other.Duration
	}
	if l.Reset <= 0 {
		l.Reset = other.Reset
	}
	return l
}

// A User is whom logins at a mount are about, by the name that the mount knows
// all their spellings by. They need not exist.
type User struct {
	Accessor string // of the mount
	Alias    string
}

// The rows of storage.Lockouts:
//
//	failed/<accessor>/<alias>         failures; not listed
//	locked/<accessor>/<base64 alias>  empty
//
// Both end with a job of KindLockout, and mean nothing from ends on, whether or
// not it has run.
type failures struct {
	Count  uint64    `json:"n"`
	Locked bool      `json:"l,omitempty"`
	Ends   time.Time `json:"e"`
}

// KindLockout is the job that forgets failures, of the user that is its id.
const KindLockout = "lockout"

// longestAlias is the length of names that are kept as they are. Longer ones,
// which a stranger may send, are kept as their hash.
const longestAlias = 256

func (u User) id() string {
	if len(u.Alias) > longestAlias {
		sum := sha256.Sum256([]byte(u.Alias))
		u.Alias = "sha256:" + hex.EncodeToString(sum[:])
	}
	return u.Accessor + "/" + u.Alias
}

func failed(tx *storage.Tx, id string) (*failures, error) {
	f, err := storage.In[failures](tx.In(storage.Lockouts), "failed/").Get(id)
	if err != nil {
		return nil, fmt.Errorf("read failed logins: %w", err)
	}
	return f, nil
}

func (f *failures) put(tx *storage.Tx, id string) {
	b, err := json.Marshal(f)
	if err != nil {
		tx.Fail(fmt.Errorf("encode failed logins: %w", err))
		return
	}
	tx.In(storage.Lockouts).PutUnlisted("failed/"+id, b)
}

func lockedRow(id string) string {
	accessor, alias, _ := strings.Cut(id, "/")
	return "locked/" + accessor + "/" + base64.RawURLEncoding.EncodeToString([]byte(alias))
}

// LockedOut says whether a user is not to be listened to.
func LockedOut(tx *storage.Tx, u User, now time.Time) (bool, error) {
	f, err := failed(tx, u.id())
	return f != nil && f.Locked && now.Before(f.Ends), err
}

// Failed counts a failed login, and locks the user when it was one too many.
func Failed(tx *storage.Tx, u User, l Lockout, now time.Time) error {
	id := u.id()
	f, err := failed(tx, id)
	if err != nil {
		return err
	}
	l = l.Or(Lockout{Threshold: DefaultThreshold, Duration: DefaultLockout, Reset: DefaultLockout})
	scheduled := f != nil
	if f == nil || !now.Before(f.Ends) {
		if f != nil && f.Locked {
			tx.In(storage.Lockouts).Delete(lockedRow(id))
		}
		f = &failures{}
	}
	f.Count++
	f.Ends = now.Add(l.Reset)
	if !f.Locked && f.Count >= l.Threshold {
		f.Locked, f.Ends, scheduled = true, now.Add(l.Duration), false
		tx.In(storage.Lockouts).Put(lockedRow(id), nil)
	}
	f.put(tx, id)
	if !scheduled { // else the job finds out that it is early
		schedule.At(tx, f.Ends, schedule.Job{Kind: KindLockout, ID: id})
	}
	return nil
}

// Succeeded forgets what failed before.
func Succeeded(tx *storage.Tx, u User) error { return Unlock(tx, u) }

// Unlock listens to a user again.
func Unlock(tx *storage.Tx, u User) error { return forget(tx, u.id()) }

func forget(tx *storage.Tx, id string) error {
	f, err := failed(tx, id)
	if err != nil || f == nil {
		return err
	}
	rows := tx.In(storage.Lockouts)
	rows.DeleteUnlisted("failed/" + id)
	if f.Locked {
		rows.Delete(lockedRow(id))
	}
	schedule.Cancel(tx, KindLockout, id)
	return nil
}

// Expire is the handler of KindLockout.
func Expire(now func() time.Time) schedule.Handler {
	return func(tx *storage.Tx, j schedule.Job) error {
		f, err := failed(tx, j.ID)
		if err != nil || f == nil {
			return err
		}
		if now().Before(f.Ends.Truncate(time.Millisecond)) { // jobs are due to the millisecond
			schedule.At(tx, f.Ends, schedule.Job{Kind: KindLockout, ID: j.ID})
			return nil
		}
		return forget(tx, j.ID)
	}
}

// Locked lists the users of a mount who are not listened to, in order.
func Locked(tx *storage.Tx, accessor string, now time.Time) ([]string, error) {
	var users []string
	for name, err := range tx.In(storage.Lockouts).Children("locked/"+accessor, "") {
		if err != nil {
			return nil, fmt.Errorf("list locked users: %w", err)
		}
		alias, err := base64.RawURLEncoding.DecodeString(name)
		if err != nil {
			return nil, fmt.Errorf("list locked users: %w", err)
		}
		u := User{accessor, string(alias)}
		switch locked, err := LockedOut(tx, u, now); {
		case err != nil:
			return nil, err
		case locked:
			users = append(users, u.Alias)
		}
	}
	slices.Sort(users)
	return users, nil
}

// LockedAt lists the accessors of mounts that have, or lately had, users who are
// not listened to.
func LockedAt(tx *storage.Tx) ([]string, error) {
	var accessors []string
	for name, err := range tx.In(storage.Lockouts).Children("locked", "") {
		if err != nil {
			return nil, fmt.Errorf("list locked users: %w", err)
		}
		accessors = append(accessors, strings.TrimSuffix(name, "/"))
	}
	return accessors, nil
}
