// Package listener opens the places where the server takes requests: TCP with
// or without TLS, and unix sockets. Certificates are replaced while
// connections live; a bad replacement leaves the old one in use and is told.
//
// It does not know what is served.
package listener

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/fastness-dev/fastness/server/config"
)

// A Listener is one open place.
type Listener struct {
	conf  config.Listener
	net   net.Listener
	http  http.Server
	tls   atomic.Pointer[tls.Config]
	trust []netip.Prefix // whose X-Forwarded-For is believed
}

// Open listens. Errors name the file or address that is at fault.
func Open(conf config.Listener, logger *slog.Logger) (*Listener, error) {
	l := &Listener{conf: conf}
	for _, a := range conf.ForwardedAuthorized {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			ip, ierr := netip.ParseAddr(a)
			if ierr != nil {
				return nil, fmt.Errorf("%s: x_forwarded_for_authorized_addrs: %q is no address and no network", conf.Pos, a)
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		l.trust = append(l.trust, p)
	}
	if conf.Type == "tcp" && !conf.TLSDisable {
		if err := l.Reload(); err != nil {
			return nil, err
		}
	}
	if err := l.listen(); err != nil {
		return nil, err
	}
	t := conf.Timeouts()
	l.http = http.Server{ReadHeaderTimeout: t.ReadHeader, ReadTimeout: t.Read, WriteTimeout: t.Write, IdleTimeout: t.Idle,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
	return l, nil
}

func (l *Listener) listen() error {
	if l.conf.Type == "unix" {
		return l.listenUnix()
	}
	n, err := net.Listen("tcp", l.conf.Address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", l.conf.Address, err)
	}
	l.net = n
	if !l.conf.TLSDisable {
		l.net = tls.NewListener(n, &tls.Config{
			MinVersion:         tls.VersionTLS12,
			NextProtos:         []string{"h2", "http/1.1"},
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.tls.Load(), nil },
		})
	}
	return nil
}

func (l *Listener) listenUnix() error {
	path := l.conf.Address
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSocket != 0 {
		if c, err := net.Dial("unix", path); err == nil {
			_ = c.Close() // only asked whether somebody answers
			return fmt.Errorf("listen on %s: another process answers there", path)
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove stale socket: %w", err)
		}
	}
	n, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	l.net = n
	mode := fs.FileMode(0o600)
	if l.conf.SocketMode != 0 {
		mode = fs.FileMode(l.conf.SocketMode)
	}
	if err := os.Chmod(path, mode); err != nil {
		return errors.Join(fmt.Errorf("set mode of %s: %w", path, err), n.Close())
	}
	if l.conf.SocketUser == "" && l.conf.SocketGroup == "" {
		return nil
	}
	uid, gid, err := owner(l.conf.SocketUser, l.conf.SocketGroup)
	if err == nil {
		err = os.Chown(path, uid, gid)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("set owner of %s: %w", path, err), n.Close())
	}
	return nil
}

// owner resolves names or numbers; -1 leaves what is.
func owner(name, group string) (uid, gid int, err error) {
	uid, gid = -1, -1
	if name != "" {
		if uid, err = strconv.Atoi(name); err != nil {
			u, err := user.Lookup(name)
			if err != nil {
				return 0, 0, err
			}
			if uid, err = strconv.Atoi(u.Uid); err != nil {
				return 0, 0, err
			}
		}
	}
	if group != "" {
		if gid, err = strconv.Atoi(group); err != nil {
			g, err := user.LookupGroup(group)
			if err != nil {
				return 0, 0, err
			}
			if gid, err = strconv.Atoi(g.Gid); err != nil {
				return 0, 0, err
			}
		}
	}
	return uid, gid, nil
}

var versions = map[string]uint16{"": tls.VersionTLS12, "tls12": tls.VersionTLS12, "tls13": tls.VersionTLS13}

// Reload reads certificate, key and client CAs again. On an error, what was
// loaded before stays in use.
func (l *Listener) Reload() error {
	if l.conf.Type != "tcp" || l.conf.TLSDisable {
		return nil
	}
	c := l.conf
	pair, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
	if err != nil {
		return fmt.Errorf("load certificate %s with key %s: %w", c.TLSCertFile, c.TLSKeyFile, err)
	}
	t := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: versions[c.TLSMinVersion], NextProtos: []string{"h2", "http/1.1"}}
	if c.TLSMaxVersion != "" {
		t.MaxVersion = versions[c.TLSMaxVersion]
	}
	if t.CipherSuites, err = suites(c.TLSCipherSuites); err != nil {
		return err
	}
	if !c.TLSDisableClientCert {
		t.ClientAuth = tls.RequestClientCert
	}
	if c.TLSRequireClientCert {
		t.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if c.TLSClientCAFile != "" {
		pem, err := os.ReadFile(c.TLSClientCAFile)
		if err != nil {
			return fmt.Errorf("read tls_client_ca_file: %w", err)
		}
		t.ClientCAs = x509.NewCertPool()
		if !t.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls_client_ca_file %s holds no certificate", c.TLSClientCAFile)
		}
	} else if c.TLSRequireClientCert {
		return fmt.Errorf("%s: tls_require_and_verify_client_cert needs tls_client_ca_file", c.Pos)
	}
	l.tls.Store(t)
	return nil
}

func suites(names []string) (ids []uint16, err error) {
	for _, n := range names {
		found := false
		for _, s := range tls.CipherSuites() {
			if s.Name == strings.TrimSpace(n) {
				ids, found = append(ids, s.ID), true
			}
		}
		if !found {
			return nil, fmt.Errorf("tls_cipher_suites: %q is not a suite that is safe to offer", n)
		}
	}
	return ids, nil
}

// Addr is where the listener listens.
func (l *Listener) Addr() net.Addr { return l.net.Addr() }

// Serve answers until Shutdown.
func (l *Listener) Serve(h http.Handler) error {
	l.http.Handler = h
	return l.http.Serve(l.net)
}

// Shutdown stops taking requests and waits for those under way, until ctx ends.
func (l *Listener) Shutdown(ctx context.Context) error {
	if err := l.http.Shutdown(ctx); err != nil {
		return errors.Join(err, l.http.Close())
	}
	return nil
}

// ClientAddr is the address (host:port) that a request is taken to come from:
// the peer's, or what a proxy that is trusted says.
func (l *Listener) ClientAddr(r *http.Request) (string, error) {
	if len(l.trust) == 0 {
		return r.RemoteAddr, nil
	}
	host, port, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, nil //nolint:nilerr // a unix socket has no host and port
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return r.RemoteAddr, nil //nolint:nilerr // a unix socket has no address
	}
	if !l.trusts(ip) {
		if l.conf.ForwardedAllowUnauthorized {
			return r.RemoteAddr, nil
		}
		return "", errors.New("client address not authorized for x-forwarded-for and configured to reject connection")
	}
	var hops []string
	for _, h := range r.Header.Values("X-Forwarded-For") {
		for hop := range strings.SplitSeq(h, ",") {
			hops = append(hops, strings.TrimSpace(hop))
		}
	}
	if len(hops) == 0 {
		if l.conf.ForwardedAllowNotPresent {
			return r.RemoteAddr, nil
		}
		return "", errors.New("missing x-forwarded-for header and configured to reject when not present")
	}
	i := len(hops) - 1 - int(l.conf.ForwardedHopSkips)
	if i < 0 {
		return "", errors.New("x_forwarded_for_hop_skips would skip before earliest value in chain")
	}
	if _, err := netip.ParseAddr(hops[i]); err != nil {
		return "", errors.New("the x-forwarded-for header holds what is no address")
	}
	return net.JoinHostPort(hops[i], port), nil
}

func (l *Listener) trusts(ip netip.Addr) bool {
	for _, p := range l.trust {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}
