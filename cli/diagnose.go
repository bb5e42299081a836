package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/server/config"
)

// A Finding is one check of "operator diagnose".
type Finding struct {
	Level Level  `json:"level"`
	Check string `json:"check"`
	Text  string `json:"text"` // what was found, and what to do about it
}

// A Level grades a finding.
type Level string

// The levels, from good to bad.
const (
	Fine    Level = "success"
	Warning Level = "warning"
	Failure Level = "failure"
)

// bindDiagnose reads what the server would read and asks the services of its
// seals; it opens no store, so that it may run beside a live server.
func bindDiagnose(f *flags) action {
	configs := f.list("config", "Configuration `file` or directory. May be repeated.")
	skip := f.list("skip", "`Name` of a check to leave out. May be repeated.")
	return func(c *call) error {
		if err := c.want(0, 0); err != nil {
			return err
		}
		if len(*configs) == 0 {
			return local("Must specify a configuration file using -config.")
		}
		found := without(append(diagnose(*configs, time.Now()), c.diagnoseSeals(*configs, *skip)...), *skip)
		if !c.ui.isTable() {
			if err := c.ui.structured(found); err != nil {
				return err
			}
			return grade(found)
		}
		for _, x := range found {
			c.ui.out(fmt.Sprintf("[ %-7s ] %s: %s", x.Level, x.Check, x.Text))
		}
		return grade(found)
	}
}

func without(found []Finding, skip []string) []Finding {
	kept := []Finding{}
	for _, x := range found {
		if !slices.ContainsFunc(skip, func(s string) bool { return strings.EqualFold(s, x.Check) }) {
			kept = append(kept, x)
		}
	}
	return kept
}

// grade is 1 for a failure, 2 for a warning: the other way round than for
// commands that speak to a server.
func grade(found []Finding) error {
	code := exitOK
	for _, x := range found {
		switch {
		case x.Level == Failure:
			return silent(exitLocal)
		case x.Level == Warning:
			code = exitServer
		}
	}
	if code != exitOK {
		return silent(code)
	}
	return nil
}

func diagnose(paths []string, now time.Time) []Finding {
	const check = "Parse Configuration"
	conf, warnings, err := config.Load(paths...)
	var found []Finding
	for _, w := range warnings {
		found = append(found, Finding{Warning, check, w.String()})
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			found = append(found, Finding{Failure, check, line})
		}
		return found
	}
	found = append(found, Finding{Fine, check, strings.Join(paths, ", ")}, checkStorage(conf.Storage))
	for _, l := range conf.Listeners {
		found = append(found, checkListener(l, now)...)
	}
	return found
}

// diagnoseSeals asks each seal to encrypt a key and to give it back. What is
// wrong with the configuration as a whole, another check tells.
func (c *call) diagnoseSeals(paths, skip []string) []Finding {
	const check = "Check Seal"
	conf, _, err := config.Load(paths...)
	if err != nil || c.env.TrySeal == nil || len(without([]Finding{{Check: check}}, skip)) == 0 {
		return nil
	}
	var found []Finding
	for i, s := range conf.Seals {
		if s.Type == "shamir" {
			continue
		}
		switch err := c.env.TrySeal(c.ctx, conf.Seals, i); {
		case err == nil:
			found = append(found, Finding{Fine, check, fmt.Sprintf("%q encrypts and gives back what it encrypted", s.Name)})
		case s.Disabled:
			found = append(found, Finding{Warning, check, fmt.Sprintf("%v; it is disabled, and moving away from it needs key shares only", err)})
		default:
			found = append(found, Finding{Failure, check, err.Error()})
		}
	}
	if len(found) == 0 {
		found = append(found, Finding{Fine, check, "people unseal with key shares"})
	}
	return found
}

func checkStorage(s config.Storage) Finding {
	const check = "Check Storage"
	if s.Type == "inmem" {
		return Finding{Warning, check, "inmem keeps nothing across a restart"}
	}
	return checkDirectory(check, s.Path)
}

func checkDirectory(check, path string) Finding {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Finding{Warning, check, path + " does not exist; the server will create it"}
	case err != nil:
		return Finding{Failure, check, err.Error()}
	case !info.IsDir():
		return Finding{Failure, check, path + " is not a directory"}
	case info.Mode().Perm()&0o077 != 0:
		return Finding{Warning, check, fmt.Sprintf("%s can be entered by others (mode %04o); make it 0700", path, info.Mode().Perm())}
	}
	f, err := os.CreateTemp(path, ".diagnose")
	if err != nil {
		return Finding{Failure, check, path + " cannot be written: " + err.Error()}
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	return Finding{Fine, check, path + " can be written"}
}

func checkListener(l config.Listener, now time.Time) []Finding {
	const check = "Check Listener TLS"
	switch {
	case l.Type != "tcp":
		return nil
	case l.TLSDisable:
		return []Finding{{Warning, check, l.Address + ": TLS is off: tokens and secrets cross the network readable"}}
	}
	return []Finding{checkCertificate(check, l.TLSCertFile, l.TLSKeyFile, now)}
}

func checkCertificate(check, cert, key string, now time.Time) Finding {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return Finding{Failure, check, fmt.Sprintf("certificate %q with key %q: %v", cert, key, err)}
	}
	switch left := pair.Leaf.NotAfter.Sub(now); {
	case left <= 0:
		return Finding{Failure, check, fmt.Sprintf("%s expired on %s", cert, pair.Leaf.NotAfter.Format(time.DateOnly))}
	case left < 30*24*time.Hour:
		return Finding{Warning, check, fmt.Sprintf("%s expires on %s", cert, pair.Leaf.NotAfter.Format(time.DateOnly))}
	case now.Before(pair.Leaf.NotBefore):
		return Finding{Failure, check, fmt.Sprintf("%s is not valid before %s", cert, pair.Leaf.NotBefore.Format(time.RFC3339))}
	}
	return Finding{Fine, check, cert}
}
