package listener

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/fastness-dev/fastness/api"
)

// ClientAddr is the address to hold r's client to: host:port as in RemoteAddr,
// or what X-Forwarded-For says when the listener trusts its peer. The port is
// always that of the connection. A refusal is an *api.Error of status 400.
//
// Only the chain's end can be trusted, since each proxy appends its peer: the
// address taken is the last but x_forwarded_for_hop_skips.
func (l *Listener) ClientAddr(r *http.Request) (string, error) {
	if len(l.forwarded) == 0 {
		return r.RemoteAddr, nil
	}
	chain := r.Header.Values("X-Forwarded-For")
	if len(chain) == 0 {
		if l.cfg.ForwardedAllowNotPresent {
			return r.RemoteAddr, nil
		}
		return "", refuse("missing X-Forwarded-For header and configured to reject when not present")
	}
	host, port, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "", refuse("client address cannot be told, and so not matched for X-Forwarded-For")
	}
	if !contains(l.forwarded, host) {
		if l.cfg.ForwardedAllowUnauthorized {
			return r.RemoteAddr, nil
		}
		return "", refuse("client address not authorized for X-Forwarded-For and configured to reject connection")
	}
	hops := strings.Split(strings.Join(chain, ","), ",")
	at := int64(len(hops)) - 1 - l.cfg.ForwardedHopSkips
	if at < 0 {
		return "", refuse(fmt.Sprintf("malformed X-Forwarded-For configuration or request: %d hops to skip of a chain of %d", l.cfg.ForwardedHopSkips, len(hops)))
	}
	client, err := hop(strings.TrimSpace(hops[at]))
	if err != nil {
		return "", refuse("X-Forwarded-For names no address where the client's should be")
	}
	return net.JoinHostPort(client.String(), port), nil
}

// hop reads one link of the chain: an address, with or without a port.
func hop(s string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap(), err
}

func contains(prefixes []netip.Prefix, host string) bool {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func refuse(sentence string) error {
	return &api.Error{Status: http.StatusBadRequest, Errors: []string{sentence}}
}
