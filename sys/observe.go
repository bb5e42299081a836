package sys

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

type loggerRequest struct {
	Level string `json:"level" doc:"trace, debug, info, warn or error."`
}

type loggerName struct {
	Name string `path:"name"`
}

type namedLogger struct {
	Name  string `path:"name"`
	Level string `json:"level" doc:"trace, debug, info, warn or error."`
}

// The server has one logger, which is shown under the name that clients know.
const loggerCore = "core"

func (s *System) readLoggers(engine.View, engine.None) (map[string]string, error) {
	return map[string]string{loggerCore: s.Node.LogLevel()}, nil
}

func (s *System) readLogger(_ engine.View, req loggerName) (map[string]string, error) {
	if req.Name != loggerCore {
		return nil, noLogger(req.Name)
	}
	return map[string]string{loggerCore: s.Node.LogLevel()}, nil
}

func noLogger(name string) error { return engine.Bad("logger %q not found", name) }

func (s *System) writeLoggers(_ engine.View, req loggerRequest) (engine.None, error) {
	if req.Level == "" {
		return engine.None{}, engine.Bad("level is required")
	}
	if err := s.Node.SetLogLevel(req.Level); err != nil {
		return engine.None{}, engine.Bad("invalid level provided: unknown log level: %s", req.Level)
	}
	return engine.None{}, nil
}

func (s *System) writeLogger(v engine.View, req namedLogger) (engine.None, error) {
	if req.Name != loggerCore {
		return engine.None{}, noLogger(req.Name)
	}
	return s.writeLoggers(v, loggerRequest{req.Level})
}

// resetLoggers goes back to the level of the configuration.
func (s *System) resetLoggers(engine.Tx, engine.None) (engine.None, error) {
	level := s.Settings.LogLevel
	if level == "" {
		level = "info"
	}
	return engine.None{}, s.Node.SetLogLevel(level)
}

func (s *System) resetLogger(tx engine.Tx, req loggerName) (engine.None, error) {
	if req.Name != loggerCore {
		return engine.None{}, noLogger(req.Name)
	}
	return s.resetLoggers(tx, engine.None{})
}

type monitorRequest struct {
	Level  string `json:"log_level" default:"info" doc:"trace, debug, info, warn or error."`
	Format string `json:"log_format" default:"standard" doc:"standard or json."`
}

// monitor follows the log for as long as the client stays.
func (s *System) monitor(ctx context.Context, _ *engine.Caller, req monitorRequest) (*engine.Raw, error) {
	if req.Format != "standard" && req.Format != "json" {
		return nil, engine.Bad("unknown log format %q: it must be standard or json", req.Format)
	}
	follow, err := s.Node.FollowLog(ctx, req.Level, req.Format)
	if err != nil {
		return nil, err
	}
	return &engine.Raw{ContentType: "text/plain", Stream: follow}, nil
}

type metricsRequest struct {
	Format string `json:"format" doc:"prometheus, or nothing for JSON."`
}

func (s *System) metrics(_ engine.View, req metricsRequest) (*engine.Raw, error) {
	if req.Format != "" && req.Format != "prometheus" {
		return &engine.Raw{Status: http.StatusBadRequest, ContentType: "text/plain",
			Body: fmt.Appendf(nil, "metric response format %q unknown", req.Format)}, nil
	}
	if req.Format == "prometheus" && s.Settings.NoPrometheus {
		return &engine.Raw{Status: http.StatusBadRequest, ContentType: "text/plain", Body: []byte("prometheus is not enabled")}, nil
	}
	page, err := s.Node.Metrics()
	if err != nil {
		return nil, err
	}
	if req.Format == "prometheus" {
		return &engine.Raw{ContentType: "text/plain; version=0.0.4; charset=utf-8", Body: page}, nil
	}
	body, err := json.Marshal(metricsSummary(page))
	if err != nil {
		return nil, fmt.Errorf("encode metrics: %w", err)
	}
	return &engine.Raw{ContentType: "application/json", Body: body}, nil
}

type summary struct {
	Timestamp string     `json:"Timestamp"`
	Gauges    []gauge    `json:"Gauges"`
	Points    []struct{} `json:"Points"`
	Counters  []struct{} `json:"Counters"`
	Samples   []struct{} `json:"Samples"`
}

type gauge struct {
	Name   string            `json:"Name"`
	Value  float64           `json:"Value"`
	Labels map[string]string `json:"Labels"`
}

// metricsSummary tells the lines without labels of a page as gauges.
func metricsSummary(page []byte) *summary {
	a := &summary{Timestamp: time.Now().UTC().Format("2006-01-02 15:04:05 -0700 MST"),
		Gauges: []gauge{}, Points: []struct{}{}, Counters: []struct{}{}, Samples: []struct{}{}}
	for lines := bufio.NewScanner(bytes.NewReader(page)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || name == "#" || strings.Contains(name, "{") {
			continue
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil && n-n == 0 { // JSON has no infinities
			a.Gauges = append(a.Gauges, gauge{name, n, map[string]string{}})
		}
	}
	return a
}

func (s *System) inFlight(engine.View, engine.None) (map[string]InFlight, error) {
	return s.Node.InFlight(), nil
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

type versionInfo struct {
	Previous  *string   `json:"previous_version"`
	Installed time.Time `json:"timestamp_installed"`
	BuildDate string    `json:"build_date"`
}

// A ranVersion is a version that led the cluster, in the row of them all.
type ranVersion struct {
	Version string `json:"version"`
	versionInfo
}

func versionLog(tx *storage.Tx) storage.Table[[]ranVersion] {
	return storage.In[[]ranVersion](tx.In(storage.System), "")
}

const rowVersions = "versions"

// noteVersion adds this server's version to those that led the cluster, when the
// last was another.
func (s *System) noteVersion(tx *storage.Tx) error {
	ran, err := versionLog(tx).Get(rowVersions)
	if err != nil {
		return fmt.Errorf("read the history of versions: %w", err)
	}
	if ran == nil {
		ran = &[]ranVersion{}
	}
	now := ranVersion{s.Settings.Version, versionInfo{Installed: time.Now().UTC(), BuildDate: s.Settings.BuildDate}}
	if n := len(*ran); n > 0 {
		last := &(*ran)[n-1]
		if last.Version == now.Version {
			return nil
		}
		now.Previous = &last.Version
	}
	*ran = append(*ran, now)
	versionLog(tx).Put(rowVersions, ran)
	return nil
}

// versionHistory tells a version that came back once, with its last return.
func (s *System) versionHistory(v engine.View, _ engine.None) (engine.Keys, error) {
	ran, err := versionLog(engine.CallOf(v).Whole).Get(rowVersions)
	if err != nil || ran == nil {
		return engine.Keys{}, err
	}
	a := engine.Keys{Info: map[string]any{}}
	for _, r := range *ran {
		if a.Info[r.Version] == nil {
			a.Keys = append(a.Keys, r.Version)
		}
		a.Info[r.Version] = r.versionInfo
	}
	return a, nil
}

func (s *System) sanitized(engine.View, engine.None) (*engine.Answer, error) {
	if s.Settings.Sanitized == nil {
		return &engine.Answer{Data: json.RawMessage("{}")}, nil
	}
	return &engine.Answer{Data: s.Settings.Sanitized}, nil
}

// replicationStatus is asked by clients that would use replication.
func (s *System) replicationStatus(engine.View, engine.None) (json.RawMessage, error) {
	return json.RawMessage(`{"dr":{"mode":"disabled"},"performance":{"mode":"disabled"}}`), nil
}

func observeRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Read("loggers", (*System).readLoggers).RootNamespace().Doc("Show the levels of loggers."),
		engine.Compute("loggers", (*System).writeLoggers).RootNamespace().Doc("Set the level of all loggers."),
		engine.Delete("loggers", (*System).resetLoggers).RootNamespace().Doc("Set all loggers back to the configuration."),
		engine.Read("loggers/{name}", (*System).readLogger).RootNamespace().Doc("Show the level of a logger."),
		engine.Compute("loggers/{name}", (*System).writeLogger).RootNamespace().Doc("Set the level of a logger."),
		engine.Delete("loggers/{name}", (*System).resetLogger).RootNamespace().Doc("Set a logger back to the configuration."),
		engine.Outside("monitor", engine.OpRead, (*System).monitor).RootNamespace().Doc("Follow the log."),
		engine.Read("metrics", (*System).metrics).RootNamespace().Doc("Show the metrics."),
		engine.Read("in-flight-req", (*System).inFlight).Bare().RootNamespace().Doc("List the requests being answered."),
		engine.Read("host-info", (*System).hostInfo).RootNamespace().Doc("Describe the machine."),
		engine.Read("ha-status", (*System).haStatus).OnActive().TopLevel().RootNamespace().Doc("List the nodes of the cluster."),
		engine.List("version-history", (*System).versionHistory).RootNamespace().Doc("List the versions that ran."),
		engine.Read("config/state/sanitized", (*System).sanitized).RootNamespace().Doc("Show the configuration without its secrets."),
		engine.Read("replication/status", (*System).replicationStatus).Public().RootNamespace().Doc("Say that there is no replication."),
	}
}
