package server

import (
	"io"
	"net/http"
	"time"

	"github.com/fastness-dev/fastness/server/config"
)

// Edge is the handler of the i-th listener of conf, and what reloads it.
func (s *Server) Edge(conf *config.Config, i int) (http.Handler, func(*config.Config)) {
	e := s.newEdge(func(r *http.Request) (*http.Request, error) { return r, nil }, conf.Listeners[i], conf)
	return e, func(c *config.Config) { e.reload(c.Listeners[i], c) }
}

// SettingsOf are what conf says to sys.
var SettingsOf = settings

// NewHandler logs in a format.
var NewHandler = newHandler

// OpenLogFile opens the log file of conf.
func OpenLogFile(conf *config.Config, now func() time.Time) (io.WriteCloser, error) {
	return openLogFile(conf, now)
}
