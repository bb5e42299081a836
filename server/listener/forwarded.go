package listener

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/fastness-dev/fastness/server/config"
)

// forwarded is what a listener believes of X-Forwarded-For and of the header
// with the client's certificate. The zero forwarded believes nobody.
type forwarded struct {
	proxies            []netip.Prefix
	skip               int64 // hops, counted from the end of the chain
	allowMissing       bool  // a request without the header is the peer's own
	allowUnauthorized  bool  // a stranger's header is ignored, not refused
	certHeader         string
	certHeaderDecoders []string
}

func newForwarded(conf config.Listener) (forwarded, error) {
	proxies, err := config.ParsePrefixes(conf.ForwardedAuthorized)
	if err != nil {
		return forwarded{}, fmt.Errorf("%s: x_forwarded_for_authorized_addrs: %w", conf.Pos, err)
	}
	return forwarded{proxies: proxies, skip: conf.ForwardedHopSkips, allowMissing: conf.ForwardedAllowNotPresent,
		allowUnauthorized: conf.ForwardedAllowUnauthorized, certHeader: conf.ForwardedCertHeader,
		certHeaderDecoders: conf.ForwardedCertDecoders}, nil
}

// Client returns r as it is to be served: RemoteAddr is the address (host:port)
// that the request is taken to come from, and r.TLS holds the certificate that
// the client showed, be it to us or to a proxy that we trust. The port stays
// that of the connection. The error says why the request is refused.
func (l *Listener) Client(r *http.Request) (*http.Request, error) {
	f := &l.forwarded
	if len(f.proxies) == 0 {
		return r, nil
	}
	addr, trusted, err := f.address(r)
	if err != nil {
		return nil, err
	}
	if !trusted && f.certHeader == "" {
		return r, nil
	}
	client := *r // its header is the request's own
	client.RemoteAddr = addr
	if f.certHeader == "" {
		return &client, nil
	}
	if trusted {
		cert, err := f.certificate(r.Header.Get(f.certHeader))
		if err != nil {
			return nil, err
		}
		client.TLS = showing(r.TLS, cert)
	}
	r.Header.Del(f.certHeader) // nobody behind us is to believe it
	return &client, nil
}

// address is the client's, and whether the peer was believed.
//
// Only the chain's end can be trusted, since each proxy appends its peer: the
// address taken is the last but x_forwarded_for_hop_skips.
func (f *forwarded) address(r *http.Request) (addr string, trusted bool, err error) {
	chain := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	if chain == "" {
		if f.allowMissing {
			return r.RemoteAddr, false, nil
		}
		return "", false, errors.New("missing x-forwarded-for header and configured to reject when not present")
	}
	host, port, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || !contains(f.proxies, host) {
		if f.allowUnauthorized {
			return r.RemoteAddr, false, nil
		}
		return "", false, errors.New("client address not authorized for x-forwarded-for and configured to reject connection")
	}
	hops := strings.Split(chain, ",")
	at := int64(len(hops)) - 1 - f.skip
	if at < 0 {
		return "", false, fmt.Errorf("malformed x-forwarded-for configuration or request, hops to skip (%d) would skip before earliest chain link (chain length %d)", f.skip, len(hops))
	}
	client, err := hop(strings.TrimSpace(hops[at]))
	if err != nil {
		return "", false, errors.New("malformed x-forwarded-for header: it names no address where the client's should be")
	}
	return net.JoinHostPort(client.String(), port), true, nil
}

// hop reads one link of the chain: an address, with or without a port.
func hop(s string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err
}

// certificate decodes what a proxy says the client showed it; "" is nil.
func (f *forwarded) certificate(header string) (*x509.Certificate, error) {
	if header == "" {
		return nil, nil
	}
	der := []byte(header)
	for _, d := range f.certHeaderDecoders {
		var err error
		if der, err = certDecoders[d](der); err != nil {
			return nil, fmt.Errorf("the client certificate in the header %s cannot be decoded by %s", f.certHeader, d)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("the header %s holds no client certificate in DER form after its decoders", f.certHeader)
	}
	return cert, nil
}

// certDecoders are the words of x_forwarded_for_client_cert_header_decoders,
// which the configuration has checked.
var certDecoders = map[string]func([]byte) ([]byte, error){
	"URL": func(b []byte) ([]byte, error) {
		// Not as in a query, since a plus sign belongs to base64.
		s, err := url.PathUnescape(string(b))
		return []byte(s), err
	},
	"BASE64": func(b []byte) ([]byte, error) { return base64.StdEncoding.DecodeString(string(b)) },
	"DER": func(b []byte) ([]byte, error) {
		block, _ := pem.Decode(b)
		if block == nil {
			return nil, errors.New("no PEM block")
		}
		return block.Bytes, nil
	},
}

// showing is state with cert in the place of what the proxy showed for itself:
// a proxy's own certificate must not pass for its client's.
func showing(state *tls.ConnectionState, cert *x509.Certificate) *tls.ConnectionState {
	if state == nil && cert == nil {
		return nil
	}
	var shown tls.ConnectionState
	if state != nil {
		shown = *state
	}
	shown.PeerCertificates, shown.VerifiedChains = nil, nil
	if cert != nil {
		shown.PeerCertificates = []*x509.Certificate{cert}
	}
	return &shown
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
