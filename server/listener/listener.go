// Package listener opens the places where the server takes requests: TCP with
// or without TLS, and unix sockets. It owns what must hold before a handler
// sees a request: the server's certificate and the client's, the times and
// sizes of HTTP itself, and the client's true address behind proxies.
//
// It promises that Reload never breaks a running listener: new certificates are
// used from the next handshake on, or the old ones stay and the error says why;
// that the bad bytes of one connection end that connection alone; and that
// Shutdown lets requests under way finish. It does not know what is served.
package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"

	"github.com/fastness-dev/fastness/server/config"
)

// maxHeaderBytes bounds a request's line and headers; more is answered 431.
const maxHeaderBytes = 64 << 10

// A Listener is one open place. Its methods are safe for concurrent use.
type Listener struct {
	conf      config.Listener
	net       net.Listener
	http      http.Server
	tls       atomic.Pointer[tls.Config] // nil without TLS
	forwarded forwarded
	remove    func() // takes away the file of a unix socket
}

// Open listens. Connections wait until Serve. Errors name the file, address or
// option that is at fault.
func Open(conf config.Listener, logger *slog.Logger) (*Listener, error) {
	l := &Listener{conf: conf, remove: func() {}}
	var err error
	if l.forwarded, err = newForwarded(conf); err != nil {
		return nil, err
	}
	if l.encrypts() {
		if err := l.Reload(); err != nil {
			return nil, err
		}
	}
	if err := l.listen(); err != nil {
		return nil, err
	}
	t := conf.Timeouts()
	l.http = http.Server{ReadHeaderTimeout: t.ReadHeader, ReadTimeout: t.Read, WriteTimeout: t.Write, IdleTimeout: t.Idle,
		MaxHeaderBytes: max(maxHeaderBytes, 2*int(conf.MaxTokenHeaderSize)),
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelInfo)}
	if l.encrypts() {
		l.http.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS12,
			// Each handshake asks anew, so that Reload replaces all at once.
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.tls.Load(), nil },
		}
	}
	return l, nil
}

func (l *Listener) encrypts() bool { return l.conf.Type == "tcp" && !l.conf.TLSDisable }

func (l *Listener) listen() (err error) {
	if l.conf.Type == "unix" {
		l.net, l.remove, err = listenUnix(l.conf)
		return err
	}
	proxies, err := config.ParsePrefixes(l.conf.ProxyProtocolAuthorized)
	if err != nil {
		return fmt.Errorf("%s: proxy_protocol_authorized_addrs: %w", l.conf.Pos, err)
	}
	if l.net, err = net.Listen("tcp", l.conf.Address); err != nil {
		return fmt.Errorf("listen on %s: %w%s", l.conf.Address, err, advice(err))
	}
	if b := l.conf.ProxyProtocolBehavior; b != "" {
		l.net = &proxyListener{Listener: l.net, behavior: b, authorized: proxies, timeout: l.conf.Timeouts().ReadHeader}
	}
	return nil
}

// advice says what to do about an address that cannot be listened on.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return ": stop what listens there, or give this listener another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": no interface of this machine has the address: give the listener one that it has, or 0.0.0.0"
	case errors.Is(err, syscall.EACCES):
		return ": ports below 1024 need a privilege (CAP_NET_BIND_SERVICE): grant it, or take a higher port"
	}
	return ""
}

// Reload reads certificate, key and client CAs again. On an error, what was
// loaded before stays in use.
func (l *Listener) Reload() error {
	if !l.encrypts() {
		return nil
	}
	t, err := loadTLS(l.conf)
	if err != nil {
		return fmt.Errorf("listener %s: %w", l.conf.Address, err)
	}
	l.tls.Store(t)
	return nil
}

// Addr is where the listener listens.
func (l *Listener) Addr() net.Addr { return l.net.Addr() }

// Serve answers until Shutdown, and then returns nil.
func (l *Listener) Serve(h http.Handler) error {
	l.http.Handler = h
	var err error
	if l.encrypts() {
		err = l.http.ServeTLS(l.net, "", "")
	} else {
		err = l.http.Serve(l.net)
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.conf.Address, err)
}

// Shutdown stops taking requests and waits for those under way, until ctx ends.
// What is not done by then is cut off.
func (l *Listener) Shutdown(ctx context.Context) error {
	defer l.remove()
	err := l.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, l.http.Close())
	}
	if cerr := l.net.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) { // open still if nobody served
		err = errors.Join(err, cerr)
	}
	return err
}
