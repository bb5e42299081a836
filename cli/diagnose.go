package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl"
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
	Fine    Level = "ok"
	Warning Level = "warning"
	Failure Level = "failure"
)

// bindDiagnose reads the configuration only; it dials nothing and opens no
// store, so that it may run beside a live server.
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
		found := diagnose(*configs)
		if c.env.Diagnose != nil {
			found = append(found, c.env.Diagnose(c.ctx, *configs)...)
		}
		found = without(found, *skip)
		if !c.ui.isTable() {
			if err := c.ui.structured(found); err != nil {
				return err
			}
		} else {
			for _, x := range found {
				c.ui.out(fmt.Sprintf("[ %-7s ] %s: %s", x.Level, x.Check, x.Text))
			}
		}
		return grade(found)
	}
}

func without(found []Finding, skip []string) []Finding {
	kept := []Finding{}
	for _, x := range found {
		if !containsFold(skip, x.Check) {
			kept = append(kept, x)
		}
	}
	return kept
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
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

// A serverConfig is as much of a configuration as can be checked from here.
// HCL gives a block as a list of objects, whether it has a label or not.
type serverConfig struct {
	Storage  []map[string][]map[string]any `hcl:"storage"`
	Backend  []map[string][]map[string]any `hcl:"backend"`
	Listener []map[string][]map[string]any `hcl:"listener"`
}

func diagnose(configs []string) []Finding {
	var found []Finding
	var all serverConfig
	for _, path := range configs {
		for _, file := range configFiles(path) {
			conf, f := parseConfig(file)
			found = append(found, f)
			all.Storage = append(all.Storage, append(conf.Storage, conf.Backend...)...)
			all.Listener = append(all.Listener, conf.Listener...)
		}
	}
	return append(append(found, checkStorage(all)...), checkListeners(all)...)
}

// configFiles are a directory's .hcl and .json files, or the file itself.
func configFiles(path string) []string {
	entries, err := os.ReadDir(path)
	if err != nil {
		return []string{path}
	}
	var files []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".hcl" || ext == ".json" {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	return files
}

func parseConfig(file string) (serverConfig, Finding) {
	var conf serverConfig
	text, err := os.ReadFile(file)
	if err == nil {
		err = hcl.Decode(&conf, string(text))
	}
	if err != nil {
		return serverConfig{}, Finding{Failure, "Parse Configuration", fmt.Sprintf("%s: %v", file, err)}
	}
	return conf, Finding{Fine, "Parse Configuration", file}
}

func checkStorage(conf serverConfig) []Finding {
	const check = "Check Storage"
	if len(conf.Storage) == 0 {
		return []Finding{{Failure, check, "no storage block; add one, such as storage \"raft\" { path = \"/var/lib/fastness\" }"}}
	}
	var found []Finding
	for _, block := range conf.Storage {
		for kind, bodies := range block {
			for _, b := range bodies {
				path, _ := b["path"].(string)
				switch {
				case kind == "inmem":
					found = append(found, Finding{Warning, check, "inmem keeps nothing across a restart"})
				case path == "":
					found = append(found, Finding{Failure, check, kind + " has no path"})
				default:
					found = append(found, checkDirectory(check, path))
				}
			}
		}
	}
	return found
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

func checkListeners(conf serverConfig) []Finding {
	const check = "Check Listener TLS"
	var found []Finding
	for _, block := range conf.Listener {
		for _, b := range block["tcp"] {
			if off := fmt.Sprint(b["tls_disable"]); off == "true" || off == "1" {
				found = append(found, Finding{Warning, check, "TLS is off: tokens and secrets cross the network readable"})
				continue
			}
			cert, _ := b["tls_cert_file"].(string)
			key, _ := b["tls_key_file"].(string)
			found = append(found, checkCertificate(check, cert, key, time.Now()))
		}
	}
	if len(found) == 0 && len(conf.Listener) == 0 {
		found = append(found, Finding{Failure, check, "no listener block; nothing could reach the server"})
	}
	return found
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
