package cli

import (
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// showPreview prints a request that was shaped but not sent: as a curl command,
// or as the policy that allows it.
func (c *call) showPreview(p *client.Preview) int {
	if c.flags.http.policy {
		c.ui.out(policyFor(p))
		return exitOK
	}
	c.ui.out(curl(p, c.conf))
	return exitOK
}

// curl never shows the token: the command fetches it when it runs.
func curl(p *client.Preview, conf client.Config) string {
	words := []string{"curl"}
	if conf.SkipVerify {
		words = append(words, "--insecure")
	}
	if p.Method != http.MethodGet {
		words = append(words, "-X", p.Method)
	}
	for _, f := range []struct{ flag, value string }{
		{"--cacert", conf.CACert}, {"--capath", conf.CAPath}, {"--cert", conf.ClientCert}, {"--key", conf.ClientKey},
	} {
		if f.value != "" {
			words = append(words, f.flag, shellQuote(f.value))
		}
	}
	if socket, ok := strings.CutPrefix(conf.Address, "unix://"); ok {
		words = append(words, "--unix-socket", shellQuote(socket))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Header)) {
		for _, v := range p.Header[name] {
			if name == api.HeaderToken {
				words = append(words, "-H", `"`+name+`: $(vault print token)"`)
				continue
			}
			if name == "Content-Type" && v == "application/json" {
				continue // what the server takes a body for
			}
			words = append(words, "-H", `"`+doubleQuoted.Replace(name+": "+v)+`"`)
		}
	}
	if len(p.Body) > 0 {
		words = append(words, "-d", shellQuote(string(p.Body)))
	}
	return strings.Join(append(words, quoteIfNeeded(p.URL)), " ")
}

var doubleQuoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`")

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" }

// quoteIfNeeded leaves an URL bare unless a shell would read something into it.
func quoteIfNeeded(s string) string {
	if strings.ContainsAny(s, "?&;*$()<>|'\"` ") {
		return shellQuote(s)
	}
	return s
}

// policyFor is the stanza that allows a request.
func policyFor(p *client.Preview) string {
	caps := map[string][]string{
		"GET": {"read"}, "POST": {"create", "update"}, "PUT": {"create", "update"},
		"PATCH": {"patch"}, "DELETE": {"delete"}, "LIST": {"list"},
	}[p.Method]
	if u, err := url.Parse(p.URL); err == nil && u.Query().Get("list") == "true" {
		caps = []string{"list"}
	}
	if needsSudo(p.Path) {
		caps = append(slices.Clone(caps), "sudo")
	}
	for i, s := range caps {
		caps[i] = `"` + s + `"`
	}
	return "path \"" + p.Path + "\" {\n  capabilities = [" + strings.Join(caps, ", ") + "]\n}"
}

// needsSudo knows the paths on which an ordinary capability is not enough.
func needsSudo(p string) bool {
	p = strings.Trim(p, "/")
	for _, pattern := range []string{
		"auth/token/accessors", "sys/audit", "sys/audit/*", "sys/auth/*", "sys/auth/*/tune",
		"sys/config/auditing/request-headers", "sys/config/auditing/request-headers/*",
		"sys/config/cors", "sys/config/ui/headers", "sys/config/ui/headers/*",
		"sys/internal/inspect/router/*", "sys/leases", "sys/leases/lookup", "sys/plugins/catalog/*/*",
		"sys/remount", "sys/rotate", "sys/rotate/config", "sys/seal", "sys/step-down",
		"sys/storage/raft/remove-peer", "sys/storage/raft/snapshot-force",
	} {
		if ok, _ := path.Match(pattern, p); ok {
			return true
		}
	}
	for _, prefix := range []string{
		"sys/leases/lookup/", "sys/leases/revoke-prefix/", "sys/leases/revoke-force/", "sys/revoke-prefix/",
		"sys/revoke-force/", "sys/raw/", "sys/pprof/",
	} {
		if strings.HasPrefix(p+"/", prefix) {
			return true
		}
	}
	return false
}
