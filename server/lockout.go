package server

import (
	"strconv"
	"time"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/storage"
)

// Lockouts say when users are locked out.
type Lockouts struct {
	Off    bool                     // whatever is said elsewhere
	ByType map[string]quota.Lockout // of the auth method; "all" is of those that are not named
}

// lockouts are those of the configuration and of the environment.
func lockouts(conf *config.Config, getenv func(string) string) Lockouts {
	l := Lockouts{ByType: make(map[string]quota.Lockout, len(conf.UserLockouts))}
	for _, u := range conf.UserLockouts {
		l.ByType[u.Type] = quota.Lockout{Threshold: uint64(max(u.Threshold, 0)), Duration: u.Duration, Reset: u.CounterReset, Disable: u.Disable}
	}
	off := first(getenv("FASTNESS_DISABLE_USER_LOCKOUT"), getenv("VAULT_DISABLE_USER_LOCKOUT"))
	l.Off, _ = strconv.ParseBool(off) // what is no truth value is not true
	return l
}

// of is when a mount locks users out: as it was tuned, else as is configured.
func (l *Lockouts) of(m *mount.Live) (lockout quota.Lockout, locks bool) {
	switch m.Type {
	case "userpass", "approle", "ldap":
	default:
		return lockout, false
	}
	all := l.ByType["all"]
	lockout, named := l.ByType[m.Type]
	if !named {
		lockout.Disable = all.Disable
	}
	lockout = lockout.Or(all)
	if c := m.Config.UserLockout; c != nil {
		tuned := quota.Lockout{Threshold: c.Threshold, Duration: time.Duration(c.Duration) * time.Second,
			Reset: time.Duration(c.CounterReset) * time.Second, Disable: c.Disable}
		lockout = tuned.Or(lockout)
	}
	return lockout, !lockout.Disable && !l.Off
}

// listening refuses a login about a user who is locked out, and says who that
// is; nobody when nobody can be. It is told in the same words whoever it is, and
// before anything is verified.
func (s *Server) listening(tx *storage.Tx, x *exchange) (u quota.User, l quota.Lockout, err error) {
	if !x.match.Info.Grants {
		return u, l, nil
	}
	l, locks := s.lockouts.of(x.live)
	if !locks {
		return u, l, nil
	}
	who, err := x.match.Who(x.call)
	if err != nil || who.Alias == "" {
		return u, l, err
	}
	u = quota.User{Accessor: x.live.Accessor, Alias: who.Alias}
	locked, err := quota.LockedOut(tx, u, s.now())
	if err == nil && locked {
		err = engine.Denied()
	}
	return u, l, err
}

// attempt runs a request's route. A login that fails for a wrong credential
// counts against its user, though nothing else of it is kept. Whether a login
// succeeded is told when its transaction commits, and that was checked against
// all failures before it: guesses at once are as good as one after the other.
func (s *Server) attempt(tx *storage.Tx, x *exchange) (*engine.Answer, error) {
	u, l, err := s.listening(tx, x)
	if err != nil {
		return nil, err
	}
	a, err := x.act()
	switch {
	case u.Alias == "":
	case err == nil:
		err = quota.Succeeded(tx, u)
	case engine.WasRefused(err):
		var failed error
		tx.Always(func() { failed = quota.Failed(tx, u, l, s.now()) })
		if failed != nil {
			return nil, failed
		}
	}
	return a, err
}
