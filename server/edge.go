package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

var strictTransport = []string{"max-age=31536000; includeSubDomains"}

// edge is what a listener asks of every request before it is one of the API,
// and puts on every answer.
func (s *Server) edge(conf config.Listener, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			w.Header()["Strict-Transport-Security"] = strictTransport
		}
		if len(conf.ResponseHeaders) > 0 {
			w = &headed{ResponseWriter: w, headers: conf.ResponseHeaders}
		}
		if conf.RequireRequestHeader && r.Header.Get("X-Vault-Request") != "true" {
			wire.Fail(w, nil, engine.Status(http.StatusPreconditionFailed, "missing 'X-Vault-Request' header"))
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && s.sys.Serving() && s.cors(w, r, origin) {
			return
		}
		if (r.URL.Path == "/ui" || strings.HasPrefix(r.URL.Path, "/ui/")) && s.sys.Serving() {
			s.headings(w, r)
		}
		next.ServeHTTP(w, r)
	})
}

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

// headed puts a listener's custom_response_headers on answers: those of the
// code win over those of its class, and these over the default.
type headed struct {
	http.ResponseWriter
	headers []config.ResponseHeader
}

func (h *headed) WriteHeader(status int) {
	code := strconv.Itoa(status)
	for _, of := range []string{"default", code[:1] + "xx", code} {
		for _, c := range h.headers {
			if c.Status == of {
				h.Header()[c.Name] = c.Values
			}
		}
	}
	h.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (h *headed) Unwrap() http.ResponseWriter { return h.ResponseWriter }
