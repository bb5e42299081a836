package oidc

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// redirectable says whether a code can be sent to a URI: it is absolute, and
// has no fragment for the code to end up behind.
func redirectable(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.IsAbs() && !strings.Contains(uri, "#") && (u.Host != "" || u.Opaque != "" || u.Path != "")
}

// redirects says whether a URI is one of a client's, character for character.
// Only the port of a URI on the user's own machine is free: a native
// application listens where there is room (RFC 8252, section 7.3).
func redirects(registered []string, uri string) bool {
	if !redirectable(uri) {
		return false
	}
	if slices.Contains(registered, uri) {
		return true
	}
	asked, ok := withoutPort(uri)
	return ok && slices.ContainsFunc(registered, func(r string) bool {
		own, ok := withoutPort(r)
		return ok && own == asked
	})
}

// withoutPort is a loopback URI without its port. Any spelling but the plain one
// is no loopback URI.
func withoutPort(uri string) (string, bool) {
	rest, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", false
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
		port, ok := strings.CutPrefix(rest[:end], host)
		if !ok {
			continue
		}
		if port == "" {
			return host + rest[end:], true
		}
		digits, ok := strings.CutPrefix(port, ":")
		n, err := strconv.ParseUint(digits, 10, 16)
		if !ok || err != nil || n == 0 || strconv.FormatUint(n, 10) != digits {
			return "", false
		}
		return host + rest[end:], true
	}
	return "", false
}
