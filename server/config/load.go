package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	sockaddr "github.com/hashicorp/go-sockaddr/template"
)

// A Source is where a configuration comes from besides its files. The zero
// Source has no environment and resolves addresses on this machine.
type Source struct {
	// Env looks up an environment variable.
	Env func(name string) (string, bool)
	// Template resolves an address such as "{{ GetPrivateIP }}:8200".
	Template func(string) (string, error)
}

// Load reads files and directories in the order given, lets the process's
// environment override them and validates the whole. A directory stands for
// its *.hcl and *.json files, sorted. Everything found wrong is in the error.
//
// Files merge as in Vault: listeners, seals and lockouts add up; of storage and
// of strings the later one stays; a switch once on stays on; of the lease
// lifetimes the longest stays.
func Load(paths ...string) (*Config, Warnings, error) {
	return Source{Env: os.LookupEnv}.Load(paths...)
}

// Load is the function Load with the environment of s.
func (s Source) Load(paths ...string) (*Config, Warnings, error) {
	files, err := expand(paths)
	if err != nil {
		return nil, nil, err
	}
	c, d := &Config{}, &decoder{}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("read configuration: %w", err)
		}
		c.read(d, file, src)
	}
	s.applyEnv(d, c)
	s.resolve(d, c)
	if len(d.errs) > 0 {
		return nil, d.warnings, errors.Join(d.errs...)
	}
	if err := c.Validate(); err != nil {
		return nil, d.warnings, err
	}
	return c, d.warnings, nil
}

// Parse reads one file's bytes without environment, templates or validation.
// The name is for errors only.
func Parse(name string, src []byte) (*Config, Warnings, error) {
	c, d := &Config{}, &decoder{}
	c.read(d, name, src)
	if len(d.errs) > 0 {
		return nil, d.warnings, errors.Join(d.errs...)
	}
	return c, d.warnings, nil
}

func (c *Config) read(d *decoder, file string, src []byte) {
	root, err := parse(file, src)
	if err != nil {
		d.errs = append(d.errs, err)
		return
	}
	if s := root.key("storage"); s != nil {
		if b := root.key("backend"); b != nil {
			d.fail(b.pos, "\"backend\" is the old word for \"storage\": keep one of them")
		}
	}
	d.stanza("the configuration", root, c.fields(), manyTop())
}

func (n *node) key(key string) *entry {
	for i := range n.entries {
		if n.entries[i].key == key {
			return &n.entries[i]
		}
	}
	return nil
}

// expand turns directories into their files.
func expand(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, errors.New("no configuration given: start with -config=FILE or -config=DIR, or with -dev to try the server out")
	}
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		found, err := directory(path)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return files, nil
}

func directory(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		hidden := strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") // editors' leavings
		if e.IsDir() || hidden || !strings.HasSuffix(name, ".hcl") && !strings.HasSuffix(name, ".json") {
			continue
		}
		files = append(files, filepath.Join(path, name))
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("read configuration: directory %s holds no *.hcl or *.json file", path)
	}
	slices.Sort(files)
	return files, nil
}

// applyEnv overrides what the files say. FASTNESS_X wins over VAULT_X.
func (s Source) applyEnv(d *decoder, c *Config) {
	for _, v := range []struct {
		name string
		set  setter
	}{
		{"REDIRECT_ADDR", str(&c.APIAddr)}, // Vault's old name for the next one
		{"API_ADDR", str(&c.APIAddr)},
		{"CLUSTER_ADDR", str(&c.ClusterAddr)},
		{"LOG_LEVEL", c.fields()["log_level"]},
		{"LOG_FORMAT", c.fields()["log_format"]},
		{"LOG_FILE", str(&c.LogFile)},
		{"DISABLE_MLOCK", boolean(&c.DisableMlock)},
		{"UI", boolean(&c.UI)},
		{"PLUGIN_TMPDIR", str(&c.PluginTmpdir)},
		{"RAFT_PATH", c.raftOnly(str(&c.Storage.Path))},
		{"RAFT_NODE_ID", c.raftOnly(str(&c.Storage.NodeID))},
		{"RAFT_RETRY_JOIN_AS_NON_VOTER", c.raftOnly(boolean(&c.Storage.NonVoter))},
		{"K8S_NAMESPACE", c.kubernetesOnly(str(&c.Registration.Namespace))},
		{"K8S_POD_NAME", c.kubernetesOnly(str(&c.Registration.PodName))},
		{"SEAL_TYPE", c.setSealType},
	} {
		for _, prefix := range []string{"VAULT_", "FASTNESS_"} {
			value, ok := s.lookup(prefix + v.name)
			if !ok || value == "" {
				continue
			}
			name := prefix + v.name
			v.set(d, entry{key: name, value: &node{kind: text, text: value}})
		}
	}
}

// Set overrides one key of the top level, as a flag does.
func (c *Config) Set(key, value string) error {
	d := &decoder{}
	set, ok := c.fields()[key]
	if !ok {
		return fmt.Errorf("unknown key %q", key)
	}
	set(d, entry{key: key, value: &node{kind: text, text: value}})
	return errors.Join(d.errs...)
}

func (s Source) lookup(name string) (string, bool) {
	if s.Env == nil {
		return "", false
	}
	return s.Env(name)
}

func (c *Config) raftOnly(set setter) setter {
	return func(d *decoder, e entry) {
		if c.Storage.Type == "raft" {
			set(d, e)
		}
	}
}

func (c *Config) kubernetesOnly(set setter) setter {
	return func(d *decoder, e entry) {
		if c.Registration.Type == "kubernetes" {
			set(d, e)
		}
	}
}

// resolve replaces the templates in addresses, as in "{{ GetPrivateIP }}:8200".
func (s Source) resolve(d *decoder, c *Config) {
	c.APIAddr = s.address(d, Position{}, "api_addr", c.APIAddr)
	c.ClusterAddr = s.address(d, Position{}, "cluster_addr", c.ClusterAddr)
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if l.Type == "tcp" {
			l.Address = s.address(d, l.Pos, "address", l.Address)
			l.ClusterAddress = s.address(d, l.Pos, "cluster_address", l.ClusterAddress)
		}
	}
}

func (s Source) address(d *decoder, pos Position, key, value string) string {
	if !strings.Contains(value, "{{") {
		return value
	}
	resolve := s.Template
	if resolve == nil {
		resolve = sockaddr.Parse
	}
	got, err := resolve(value)
	if err != nil {
		d.fail(pos, "%q: resolve address template: %v", key, err)
		return value
	}
	switch found := strings.Fields(got); len(found) {
	case 1:
		return found[0]
	case 0:
		d.fail(pos, "%q: the address template %s gives nothing on this machine", key, value)
	default:
		d.fail(pos, "%q: the address template %s gives %d addresses on this machine: narrow it down to one", key, value, len(found))
	}
	return value
}
