package sys

import (
	"encoding/json"
	"net/http"

	"github.com/fastness-dev/fastness/engine"
)

// Counts of things are asked for by user interfaces and by "operator usage".
// How many clients were active is not counted, and never was: what asks for it
// is told that there is nothing to tell.

type total struct {
	Total int `json:"total"`
}

type tokenCounters struct {
	Counters struct {
		Tokens total `json:"service_tokens"`
	} `json:"counters"`
}

// countTokens reads the whole list of accessors.
func (s *System) countTokens(v engine.View, _ engine.None) (*tokenCounters, error) {
	a := &tokenCounters{}
	n, err := s.Tokens.Count(engine.CallOf(v).Whole)
	a.Counters.Tokens.Total = n
	return a, err
}

type entityCounters struct {
	Counters struct {
		Entities total `json:"entities"`
	} `json:"counters"`
}

// countEntities reads the whole list of entities.
func (s *System) countEntities(v engine.View, _ engine.None) (*entityCounters, error) {
	a := &entityCounters{}
	if s.Identities == nil {
		return a, nil
	}
	n, err := s.Identities.Count(engine.CallOf(v).Whole)
	a.Counters.Entities.Total = n
	return a, err
}

type requestCounters struct {
	Counters []struct{} `json:"counters"`
}

func (s *System) countRequests(engine.View, engine.None) (*requestCounters, error) {
	return &requestCounters{Counters: []struct{}{}}, nil
}

type activityConfig struct {
	DefaultReportMonths int    `json:"default_report_months"`
	Enabled             string `json:"enabled"`
	QueriesAvailable    bool   `json:"queries_available"`
	RetentionMonths     int    `json:"retention_months"`
}

func (s *System) activityConfig(engine.View, engine.None) (*activityConfig, error) {
	return &activityConfig{DefaultReportMonths: 12, Enabled: "default-disabled", RetentionMonths: 48}, nil
}

// activity is 204, as Vault has it where no month was counted.
func (s *System) activity(engine.View, engine.None) (*engine.Raw, error) {
	return &engine.Raw{Status: http.StatusNoContent, ContentType: "application/json"}, nil
}

// uiNamespaces are the namespaces that a caller may log in to.
func (s *System) uiNamespaces(engine.View, engine.None) (json.RawMessage, error) {
	return json.RawMessage("{}"), nil
}

func (s *System) featureFlags(engine.View, engine.None) (json.RawMessage, error) {
	return json.RawMessage(`{"feature_flags":[]}`), nil
}

type uiVersion struct {
	Version string `json:"version"`
}

func (s *System) uiVersion(engine.View, engine.None) (*uiVersion, error) {
	return &uiVersion{s.Settings.Version}, nil
}

func counterRoutes() engine.Routes[System] {
	const counters = "internal/counters/"
	return engine.Routes[System]{
		engine.Read(counters+"tokens", (*System).countTokens).RootNamespace().Doc("Count the service tokens."),
		engine.Read(counters+"entities", (*System).countEntities).RootNamespace().Doc("Count the entities."),
		engine.Read(counters+"requests", (*System).countRequests).RootNamespace().Doc("Requests are not counted by month."),
		engine.Read(counters+"config", (*System).activityConfig).RootNamespace().Doc("Say that active clients are not counted."),
		engine.Read(counters+"activity", (*System).activity).RootNamespace().Doc("Active clients are not counted."),
		engine.Read(counters+"activity/monthly", (*System).activity).RootNamespace().Doc("Active clients are not counted."),
		engine.Read("internal/ui/version", (*System).uiVersion).Doc("Say the version that the API has."),
		engine.Read("internal/ui/namespaces", (*System).uiNamespaces).Doc("List the namespaces that the caller may use."),
		engine.Read("internal/ui/feature-flags", (*System).featureFlags).Public().Bare().Quiet().RootNamespace().Doc("List switches of the user interface."),
	}
}
