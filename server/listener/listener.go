// Package listener opens the places where the server takes requests: TCP with
// or without TLS, and unix sockets. It owns what must hold before a handler
// sees a request: the certificate, the client's certificate, the time and size
// limits of HTTP itself, and the client's true address behind proxies.
//
// It promises that Reload never breaks a running listener: new certificates are
// used from the next handshake on, or the old ones stay and the error says why;
// that one connection's bad bytes end that connection alone; and that Shutdown
// lets requests in flight finish.
package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"

	"github.com/fastness-dev/fastness/server/config"
)

// maxHeaderBytes bounds a request's line and headers; more is answered 431.
const maxHeaderBytes = 128 << 10

// A Listener is one open place. Its methods are safe for concurrent use.
type Listener struct {
	cfg       config.Listener
	log       *slog.Logger
	socket    net.Listener
	server    *http.Server
	tls       *credentials // nil without TLS
	forwarded []netip.Prefix
	cleanup   func() // removes a unix socket's file
}

// Open binds the address of cfg and loads its certificates. Connections wait
// until Serve.
func Open(cfg config.Listener, log *slog.Logger) (*Listener, error) {
	l := &Listener{cfg: cfg, log: log, cleanup: func() {}}
	var err error
	if l.forwarded, err = config.ParsePrefixes(cfg.ForwardedAuthorized); err != nil {
		return nil, fmt.Errorf("x_forwarded_for_authorized_addrs: %w", err)
	}
	if cfg.Type == "tcp" && !cfg.TLSDisable {
		if l.tls, err = loadCredentials(cfg); err != nil {
			return nil, fmt.Errorf("listener %s: %w", cfg.Address, err)
		}
	}
	if l.socket, err = l.bind(); err != nil {
		return nil, err
	}
	l.server = l.newServer()
	return l, nil
}

func (l *Listener) bind() (net.Listener, error) {
	if l.cfg.Type == "unix" {
		socket, remove, err := bindUnix(l.cfg)
		if err == nil {
			l.cleanup = remove
		}
		return socket, err
	}
	proxies, err := config.ParsePrefixes(l.cfg.ProxyProtocolAuthorized)
	if err != nil {
		return nil, fmt.Errorf("proxy_protocol_authorized_addrs: %w", err)
	}
	socket, err := net.Listen("tcp", l.cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("open listener: %w", err)
	}
	if l.cfg.ProxyProtocolBehavior == "" {
		return socket, nil
	}
	return &proxyListener{
		Listener: socket, behavior: l.cfg.ProxyProtocolBehavior, authorized: proxies,
		timeout: l.cfg.Timeouts().ReadHeader,
	}, nil
}

func (l *Listener) newServer() *http.Server {
	t := l.cfg.Timeouts()
	s := &http.Server{
		ReadHeaderTimeout: t.ReadHeader,
		ReadTimeout:       t.Read,
		WriteTimeout:      t.Write,
		IdleTimeout:       t.Idle,
		MaxHeaderBytes:    max(maxHeaderBytes, 2*int(l.cfg.MaxTokenHeaderSize)),
		ErrorLog:          slog.NewLogLogger(l.log.Handler(), slog.LevelInfo),
		Protocols:         new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true) // over TLS only
	if l.tls != nil {
		s.TLSConfig = l.tls.serverConfig()
	}
	return s
}

// Config is what the listener was opened with.
func (l *Listener) Config() config.Listener { return l.cfg }

// Addr is the address bound, with the port that ":0" was given.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Serve answers requests with h until Shutdown, and then returns nil.
func (l *Listener) Serve(h http.Handler) error {
	l.server.Handler = h
	var err error
	if l.tls != nil {
		err = l.server.ServeTLS(l.socket, "", "")
	} else {
		err = l.server.Serve(l.socket)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.cfg.Address, err)
}

// Shutdown takes no more connections and waits for the requests in flight.
// When ctx ends first, it closes what is left and returns ctx's error.
func (l *Listener) Shutdown(ctx context.Context) error {
	defer l.cleanup()
	err := l.server.Shutdown(ctx)
	if err != nil {
		_ = l.server.Close() // the error of ctx says more than this one would
	}
	if closing := l.socket.Close(); err == nil && closing != nil && !errors.Is(closing, net.ErrClosed) {
		err = closing // Serve was never called
	}
	return err
}

// Reload reads certificates, key and client CA anew. On an error the listener
// goes on with what it has.
func (l *Listener) Reload() error {
	if l.tls == nil {
		return nil
	}
	if err := l.tls.reload(); err != nil {
		return fmt.Errorf("listener %s keeps its old certificate: %w", l.cfg.Address, err)
	}
	return nil
}
