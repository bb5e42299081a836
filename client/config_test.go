package client

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == name {
				return v
			}
		}
		return ""
	}
}

func TestTheEnvironment(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  []string
		want Config
		err  string
	}{
		{name: "nothing set", want: Config{Timeout: time.Minute, MaxRetries: 2}},
		{
			name: "ours wins",
			env:  []string{"VAULT_ADDR=http://a", "FASTNESS_ADDR=http://b", "VAULT_TOKEN=t"},
			want: Config{Address: "http://b", Token: "t", Timeout: time.Minute, MaxRetries: 2},
		},
		{
			name: "an agent wins over the server",
			env:  []string{"VAULT_ADDR=http://a", "VAULT_AGENT_ADDR=unix:///run/a"},
			want: Config{Address: "unix:///run/a", Timeout: time.Minute, MaxRetries: 2},
		},
		{
			name: "typed",
			env: []string{"VAULT_CLIENT_TIMEOUT=5", "VAULT_MAX_RETRIES=0", "VAULT_SKIP_VERIFY=1",
				"VAULT_DISABLE_REDIRECTS=true", `VAULT_HEADERS={"a":"1","b":["2","3"]}`},
			want: Config{Timeout: 5 * time.Second, SkipVerify: true, DisableRedirects: true,
				Headers: http.Header{"A": {"1"}, "B": {"2", "3"}}},
		},
		{name: "bad bool", env: []string{"VAULT_SKIP_VERIFY=perhaps"}, err: "VAULT_SKIP_VERIFY"},
		{name: "bad count", env: []string{"VAULT_MAX_RETRIES=x"}, err: "VAULT_MAX_RETRIES"},
		{name: "bad duration", env: []string{"VAULT_CLIENT_TIMEOUT=soon"}, err: "VAULT_CLIENT_TIMEOUT"},
		{name: "bad headers", env: []string{"VAULT_HEADERS=a=b"}, err: "VAULT_HEADERS"},
	} {
		got, err := FromEnv(env(tc.env...))
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: got %v", tc.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"90": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "-5": -5 * time.Second, "0": 0,
	} {
		if got, err := ParseDuration(in); got != want || err != nil {
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "x", "1y", "d", "99999999999999", "9999999999d"} {
		if _, err := ParseDuration(in); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestUnusableConfigurationIsRefusedBeforeDialling(t *testing.T) {
	dir := t.TempDir()
	notPEM := filepath.Join(dir, "x.pem")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]Config{
		"unix:///PATH":        {Address: "ftp://x"},
		"want http":           {Address: "127.0.0.1:8200x"},
		"no PEM certificate":  {CACert: notPEM},
		"authorities":         {CAPath: dir},
		"given as text":       {CACertBytes: "hello"},
		"no such file":        {CACert: filepath.Join(dir, "none")},
		"both":                {ClientCert: notPEM},
		"client certificate:": {ClientCert: notPEM, ClientKey: notPEM},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", c, err, want)
		}
	}
}
