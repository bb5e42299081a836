package server

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

var strictTransport = []string{"max-age=31536000; includeSubDomains"}

// An edge is what a listener asks of every request before it is one of the API,
// and puts on every answer.
type edge struct {
	server   *Server
	conf     config.Listener
	client   func(*http.Request) (*http.Request, error)
	deadline time.Duration // of a request; 0 or less is none
	api      http.Handler
	settings atomic.Pointer[edgeSettings]
}

// edgeSettings are the part of an edge that a reload replaces.
type edgeSettings struct {
	always    http.Header // on every answer
	byStatus  []config.ResponseHeader
	logLevel  slog.Level // of the line for each request
	logsLines bool
}

// isPlain says that there is nothing to add to an answer or to note of it.
func (s *edgeSettings) isPlain() bool {
	return len(s.always) == 0 && len(s.byStatus) == 0 && !s.logsLines
}

// newEdge is the handler of one listener, whose client says who a request is of.
func (s *Server) newEdge(client func(*http.Request) (*http.Request, error), lc config.Listener, conf *config.Config) *edge {
	limits := conf.Limits(lc)
	e := &edge{server: s, conf: lc, client: client, deadline: limits.RequestDuration, api: s.handler(newDoor(lc, limits))}
	e.reload(lc, conf)
	return e
}

// reload takes over what a listener may change while it is open.
func (e *edge) reload(lc config.Listener, conf *config.Config) {
	n := &edgeSettings{always: http.Header{}, byStatus: lc.ResponseHeaders}
	n.logLevel, n.logsLines = levels[conf.LogRequestsLevel]
	if conf.ResponseHeaderHostname {
		n.always.Set("X-Vault-Hostname", hostname())
	}
	if conf.ResponseHeaderRaftNodeID && conf.Storage.Type == "raft" && conf.Storage.NodeID != "" {
		n.always.Set("X-Vault-Raft-Node-ID", conf.Storage.NodeID)
	}
	e.settings.Store(n)
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil {
		w.Header()["Strict-Transport-Security"] = strictTransport
	}
	client, err := e.client(r)
	if err == nil {
		r = client
	}
	settings := e.settings.Load()
	if settings.isPlain() {
		e.serve(w, r, err)
		return
	}
	start, a := time.Now(), &answering{ResponseWriter: w, settings: settings}
	e.serve(a, r, err)
	if settings.logsLines {
		e.server.logger.Log(r.Context(), settings.logLevel, "completed_request", "start_time", start.UTC().Format(time.RFC3339),
			"duration", time.Since(start).Round(time.Microsecond).String(), "client_address", r.RemoteAddr,
			"status_code", a.status, "request_method", r.Method, "request_path", r.URL.Path)
	}
}

// serve answers r, or says why its client cannot be told.
func (e *edge) serve(w http.ResponseWriter, r *http.Request, unknown error) {
	if unknown != nil {
		wire.Fail(w, nil, engine.Bad("%s", unknown))
		return
	}
	if err := refused(e.conf, r.URL.Path); err != nil {
		wire.Fail(w, nil, err)
		return
	}
	if e.conf.RequireRequestHeader && r.Header.Get("X-Vault-Request") != "true" {
		wire.Fail(w, nil, engine.Status(http.StatusPreconditionFailed, "missing 'X-Vault-Request' header"))
		return
	}
	if origin := r.Header.Get("Origin"); origin != "" && e.server.sys.Serving() && e.server.cors(w, r, origin) {
		return
	}
	if isUI(r.URL.Path) && e.server.sys.Serving() {
		e.server.headings(w, r)
	}
	if e.deadline > 0 && r.URL.Path != "/v1/sys/monitor" { // which lasts as long as somebody looks
		ctx, cancel := context.WithTimeout(r.Context(), e.deadline)
		defer cancel()
		r = r.WithContext(ctx)
	}
	e.api.ServeHTTP(w, r)
}

func isUI(path string) bool { return path == "/ui" || strings.HasPrefix(path, "/ui/") }

// headings puts the headers of sys/config/ui/headers on an answer of the UI.
func (s *Server) headings(w http.ResponseWriter, r *http.Request) {
	err := s.store.View(r.Context(), func(tx *storage.Tx) error {
		h, err := s.sys.UIHeaders(tx)
		for name, values := range h {
			w.Header()[name] = values
		}
		return err
	})
	if err != nil {
		s.logger.Error("read the headers of the user interface", "error", err)
	}
}

// cors applies sys/config/cors. It returns true when it has answered.
func (s *Server) cors(w http.ResponseWriter, r *http.Request, origin string) bool {
	var c *sys.CORS
	err := s.store.View(r.Context(), func(tx *storage.Tx) (err error) {
		c, err = s.sys.CORS(tx)
		return err
	})
	if err != nil || c == nil || !c.Enabled {
		return false
	}
	if !slices.Contains(c.Origins, "*") && !slices.Contains(c.Origins, origin) {
		wire.Fail(w, nil, engine.Status(http.StatusForbidden, "origin not allowed"))
		return true
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Vary", "Origin")
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method != http.MethodOptions {
		return false
	}
	h.Set("Cache-Control", "no-store")
	if !slices.Contains(corsMethods, r.Header.Get("Access-Control-Request-Method")) {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return true
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(corsMethods, ","))
	h.Set("Access-Control-Allow-Headers", strings.Join(c.Headers, ","))
	h.Set("Access-Control-Max-Age", "300")
	w.WriteHeader(http.StatusOK)
	return true
}

// corsMethods are what pages of other origins may ask for.
var corsMethods = []string{"DELETE", "GET", "OPTIONS", "POST", "PUT", "LIST", "PATCH"}

// answering puts a listener's custom_response_headers on an answer and notes
// its status. The headers of the code win over those of its class, and these
// over the default.
type answering struct {
	http.ResponseWriter
	settings *edgeSettings
	status   int
}

func (a *answering) WriteHeader(status int) {
	a.status = status
	h := a.Header()
	for name, values := range a.settings.always {
		h[name] = values
	}
	if len(a.settings.byStatus) > 0 {
		code := strconv.Itoa(status)
		for _, of := range []string{"default", code[:1] + "xx", code} {
			for _, c := range a.settings.byStatus {
				if c.Status == of {
					h.Set(c.Name, c.Value)
				}
			}
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answering) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }
