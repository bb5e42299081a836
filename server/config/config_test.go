package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The transcripts write files, load them, and show every field that is set,
// then warnings and errors. Rewrite them with -rewrite and read the difference.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		dir := t.TempDir()
		env := map[string]string{}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			switch td.Cmd {
			case "file":
				name := filepath.Join(dir, td.CmdArgs[0].Key)
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(td.Input), 0o600); err != nil {
					t.Fatal(err)
				}
				return ""
			case "env":
				clear(env)
				for _, a := range td.CmdArgs {
					env[a.Key] = a.Vals[0]
				}
				return ""
			case "load":
				var paths []string
				for _, a := range td.CmdArgs {
					paths = append(paths, filepath.Join(dir, a.Key))
				}
				return strings.ReplaceAll(load(env, paths), dir+"/", "")
			case "config": // one file, without environment or validation
				c, warnings, err := Parse("c.hcl", []byte(td.Input))
				return transcript(c, warnings, err)
			}
			t.Fatalf("unknown command %s", td.Cmd)
			return ""
		})
	})
}

func load(env map[string]string, paths []string) string {
	s := Source{
		Env:      func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Template: func(in string) (string, error) { return fakeTemplates.Replace(in), nil },
	}
	return transcript(s.Load(paths...))
}

var fakeTemplates = strings.NewReplacer(
	"{{ GetPrivateIP }}", "10.1.2.3", "{{ GetPrivateIPs }}", "10.1.2.3 10.4.5.6", "{{ GetPublicIP }}", "")

func transcript(c *Config, warnings Warnings, err error) string {
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(&b, "error: %s\n", line)
		}
		return b.String()
	}
	show(&b, "", reflect.ValueOf(*c))
	if b.Len() == 0 {
		return "nothing is set\n"
	}
	return b.String()
}

// show prints the fields that are not zero.
func show(b *strings.Builder, name string, v reflect.Value) {
	switch {
	case v.IsZero() || v.Type() == reflect.TypeFor[Position]():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			show(b, strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."), v.Field(i))
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			show(b, fmt.Sprintf("%s[%d]", name, i), v.Index(i))
		}
	case v.Kind() == reflect.Pointer:
		fmt.Fprintf(b, "%s: %v\n", name, v.Elem())
	default:
		fmt.Fprintf(b, "%s: %v\n", name, v)
	}
}

// A secret in a file, wherever it stands and however wrong the file is, comes
// out of no error, no warning and no sanitized state.
func TestNoSecretIsTold(t *testing.T) {
	const canary = "hunter2canary"
	for _, src := range []string{
		`seal "transit" { token = "` + canary + `" }`,
		`seal "transit" { token = ` + canary + ` }`,
		`seal "pkcs11" { pin ` + canary + ` }`,
		`seal "pkcs11" { disabled = "` + canary + `" }`,
		`seal "static" { current_key = ["` + canary + `"`,
		`seal "shamir" { pin = "` + canary + `" }`,
		`storage "consul" { token = "` + canary + `" }`,
		`storage "postgresql" { connection_url = "postgres://u:` + canary + `@h/d" }`,
		`service_registration "consul" { token = "` + canary + `" }`,
		`telemetry { circonus_api_token = "` + canary + `" }`,
		`storage "raft" { retry_join { leader_client_key = "` + canary + `" } }`,
		`listener "tcp" { tls_acme_eab_mac_key = "` + canary + `" }`,
		`{"seal": {"transit": {"token": "` + canary + `"}}`,
		`{"seal": {"transit": {"token": ` + canary + `}}}`,
	} {
		c, warnings, err := Parse("c", []byte(src))
		out := fmt.Sprint(warnings, err)
		if c != nil {
			state, err := json.Marshal(c.Sanitized())
			if err != nil {
				t.Fatal(err)
			}
			out += string(state)
		}
		if strings.Contains(out, canary) {
			t.Errorf("%s\nis told by: %s", src, out)
		}
	}
}

func TestHostileFilesAreRefused(t *testing.T) {
	for name, src := range map[string]string{
		"deep HCL":       "a = " + strings.Repeat("[", 100_000),
		"deep JSON":      strings.Repeat(`{"a":`, 100_000),
		"huge":           strings.Repeat("#", maxFileSize+1),
		"not UTF-8":      "ui = \"\xff\"",
		"bare heredoc":   "cluster_name = <<",
		"number too big": "cache_size = 99999999999999999999",
		"list for text":  "cluster_name = [[1]]",
		"key alone":      "ui",
		"JSON tail":      "{} {}",
		"JSON list":      `{"listener": [1, null, "x"]}`,
	} {
		_, _, err := Parse("c", []byte(src))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v, want an Error with its place", name, err)
		}
	}
}

func TestDevConfigIsValid(t *testing.T) {
	plain, tls := DevConfig(DevOptions{}), DevConfig(DevOptions{CertFile: "c", KeyFile: "k"})
	if err := errors.Join(plain.Validate(), tls.Validate()); err != nil {
		t.Error(err)
	}
	if plain.APIAddr != "http://127.0.0.1:8200" || tls.APIAddr != "https://127.0.0.1:8200" {
		t.Errorf("addresses %s and %s", plain.APIAddr, tls.APIAddr)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"listener \"tcp\" {\n tls_disable = 1\n}", `{"storage": {"raft": {"path": "/d"}}}`,
		"a = <<-E\n  x\n  E\n", "ui = true\nui = false", "/* { */", `a "b" "c" { d = [1, {e = 2}] }`, "x = \"${a}\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, _, err := Parse("c", src)
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v with error %v", c, err)
		}
		if c != nil {
			_ = c.Validate() // must not panic
			if _, err := json.Marshal(c.Sanitized()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
