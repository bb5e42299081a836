package sys

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Requester is what the server hands over with a call.
type Requester interface {
	token.Presenter
	RawToken() string
	RequestPath() string
	WrapFor() time.Duration
}

type wrapRequest struct {
	Body json.RawMessage `body:"all"`
}

type wrappingToken struct {
	Token string `json:"token" doc:"The wrapping token; without it, the token of the request."`
}

func (s *System) wrapData(tx engine.Tx, req wrapRequest) (json.RawMessage, error) {
	if engine.CallOf(tx).Data.(Requester).WrapFor() <= 0 {
		return nil, engine.Bad("endpoint requires response wrapping to be used")
	}
	if len(req.Body) == 0 {
		return json.RawMessage("{}"), nil
	}
	return req.Body, nil
}

// wrappedBy finds the wrapping token that a request is about. Where it is not
// the request's own, the server has asked who the caller is.
func (s *System) wrappedBy(tx engine.View, sent string) (*storage.Tx, *token.Entry, error) {
	c := engine.CallOf(tx)
	r := c.Data.(Requester)
	raw := r.RawToken()
	if sent != "" {
		raw = sent
	}
	if raw == "" {
		return nil, nil, noWrapping()
	}
	e, err := s.Tokens.Lookup(c.Whole, raw)
	if err != nil {
		return nil, nil, err
	}
	if e == nil {
		return nil, nil, notWrapping()
	}
	return c.Whole, e, nil
}

func noWrapping() error {
	return engine.Status(http.StatusForbidden, "error validating wrapping token: token is empty")
}

func notWrapping() error { return engine.Bad("wrapping token is not valid or does not exist") }

func (s *System) unwrap(tx engine.Tx, req wrappingToken) (*engine.Answer, error) {
	whole, e, err := s.wrappedBy(tx, req.Token)
	if err != nil {
		return nil, err
	}
	answer, err := s.Wrapping.Take(whole, e)
	if err != nil {
		return nil, err
	}
	if answer == nil {
		return nil, notWrapping()
	}
	return answer, nil
}

func (s *System) rewrap(tx engine.Tx, req wrappingToken) (*engine.Answer, error) {
	whole, e, err := s.wrappedBy(tx, req.Token)
	if err != nil {
		return nil, err
	}
	info, err := s.Wrapping.Rewrap(whole, e)
	if err != nil {
		return nil, err
	}
	if info == nil {
		return nil, notWrapping()
	}
	return &engine.Answer{Wrap: info}, nil
}

type wrapLookup struct {
	Path    string    `json:"creation_path"`
	Created time.Time `json:"creation_time"`
	TTL     int64     `json:"creation_ttl"` // seconds
}

func (s *System) wrapLookup(v engine.View, req wrappingToken) (*wrapLookup, error) {
	c := engine.CallOf(v)
	raw := req.Token
	if raw == "" {
		raw = c.Data.(Requester).RawToken()
	}
	if raw == "" {
		return nil, noWrapping()
	}
	e, err := s.Tokens.Lookup(c.Whole, raw)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, notWrapping()
	}
	path, created, ttl, found, err := s.Wrapping.Lookup(c.Whole, e)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, notWrapping()
	}
	return &wrapLookup{path, created.UTC(), int64(ttl / time.Second)}, nil
}

func wrappingRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Write("wrapping/wrap", (*System).wrapData).Doc("Wrap what is sent."),
		engine.Write("wrapping/unwrap", (*System).unwrap).Unwrapping().Doc("Take a wrapped answer, once."),
		engine.Write("wrapping/rewrap", (*System).rewrap).Unwrapping().Doc("Move a wrapped answer to a new token."),
		engine.Compute("wrapping/lookup", (*System).wrapLookup).Public().Doc("Look at a wrapping token."),
		engine.Read("wrapping/lookup", (*System).wrapLookup).Public().Doc("Look at the request's own wrapping token."),
	}
}
