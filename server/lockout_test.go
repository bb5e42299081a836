package server

import (
	"testing"
	"time"

	"github.com/fastness-dev/fastness/access/quota"
	"github.com/fastness-dev/fastness/mount"
	"github.com/fastness-dev/fastness/server/config"
)

// What a mount is tuned to wins over the stanza of its type, that over the stanza
// of all, field by field; the environment turns all of it off.
func TestWhichLockoutCounts(t *testing.T) {
	conf := &config.Config{UserLockouts: []config.UserLockout{
		{Type: "all", Threshold: 3, Duration: time.Minute},
		{Type: "approle", Threshold: 7},
		{Type: "ldap", Disable: true},
	}}
	tuned := &mount.Lockout{Threshold: 9, Duration: 60, CounterReset: 30}
	for _, c := range []struct {
		typ   string
		tuned *mount.Lockout
		env   string
		want  quota.Lockout
		locks bool
	}{
		{"userpass", nil, "", quota.Lockout{Threshold: 3, Duration: time.Minute}, true},
		{"approle", nil, "", quota.Lockout{Threshold: 7, Duration: time.Minute}, true},
		{"ldap", nil, "", quota.Lockout{Threshold: 3, Duration: time.Minute, Disable: true}, false},
		{"ldap", tuned, "", quota.Lockout{Threshold: 9, Duration: time.Minute, Reset: 30 * time.Second}, true},
		{"userpass", &mount.Lockout{Disable: true}, "", quota.Lockout{Threshold: 3, Duration: time.Minute, Disable: true}, false},
		{"userpass", tuned, "true", quota.Lockout{Threshold: 9, Duration: time.Minute, Reset: 30 * time.Second}, false},
		{"userpass", nil, "perhaps", quota.Lockout{Threshold: 3, Duration: time.Minute}, true},
		{"kubernetes", tuned, "", quota.Lockout{}, false},
	} {
		l := lockouts(conf, func(name string) string {
			if name == "VAULT_DISABLE_USER_LOCKOUT" {
				return c.env
			}
			return ""
		})
		got, locks := l.of(&mount.Live{Entry: &mount.Entry{Type: c.typ, Config: mount.Config{UserLockout: c.tuned}}})
		if got != c.want || locks != c.locks {
			t.Errorf("%s, tuned to %+v, with %q: %+v %v, want %+v %v", c.typ, c.tuned, c.env, got, locks, c.want, c.locks)
		}
	}
}
