package sys

import (
	"github.com/fastness-dev/fastness/access/control"
	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

type controlAccessor struct {
	Accessor string `json:"accessor" doc:"Accessor of the wrapping token that the request was answered with."`
}

// pending finds the request behind an accessor.
func (s *System) pending(v engine.View, accessor string) (*storage.Tx, *token.Entry, *control.Pending, error) {
	if accessor == "" {
		return nil, nil, nil, engine.Bad("missing accessor")
	}
	tx := engine.CallOf(v).Whole
	e, err := s.Tokens.ByAccessor(tx, accessor)
	if err != nil {
		return nil, nil, nil, err
	}
	if e != nil {
		if tx, err = s.Tokens.Home(tx, e); err != nil {
			return nil, nil, nil, err
		}
		p, err := control.Get(tx, e.ID)
		if err != nil || p != nil {
			return tx, e, p, err
		}
	}
	return nil, nil, nil, engine.Bad("invalid accessor")
}

type approval struct {
	Approved bool `json:"approved"`
}

func (s *System) authorizeControl(v engine.Tx, req controlAccessor) (*approval, error) {
	tx, e, p, err := s.pending(v, req.Accessor)
	if err != nil {
		return nil, err
	}
	who, err := s.Approver(engine.CallOf(v))
	if err != nil {
		return nil, err
	}
	if err := p.Agree(who); err != nil {
		return nil, err
	}
	control.Put(tx, e.ID, p)
	return &approval{p.Approved()}, nil
}

type pendingView struct {
	Approved       bool                `json:"approved"`
	Authorizations []authorizationView `json:"authorizations"`
	Entity         entityName          `json:"request_entity"`
	Path           string              `json:"request_path"`
}

type authorizationView struct {
	ID   string `json:"entity_id"`
	Name string `json:"entity_name"`
}

type entityName struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (s *System) controlRequest(v engine.View, req controlAccessor) (*pendingView, error) {
	_, _, p, err := s.pending(v, req.Accessor)
	if err != nil {
		return nil, err
	}
	a := &pendingView{Approved: p.Approved(), Entity: entityName{p.Entity, p.EntityName}, Path: p.Path, Authorizations: []authorizationView{}}
	for _, g := range p.Agreed {
		a.Authorizations = append(a.Authorizations, authorizationView{g.Entity, g.EntityName})
	}
	return a, nil
}

func (s *System) readControlConfig(v engine.View, _ engine.None) (*control.Config, error) {
	return control.Settings(engine.CallOf(v).Whole)
}

func (s *System) writeControlConfig(v engine.Tx, req control.Config) (engine.None, error) {
	control.SetSettings(engine.CallOf(v).Whole, &req)
	return engine.None{}, nil
}

func (s *System) deleteControlConfig(v engine.Tx, _ engine.None) (engine.None, error) {
	control.SetSettings(engine.CallOf(v).Whole, nil)
	return engine.None{}, nil
}

func controlRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Write("control-group/authorize", (*System).authorizeControl).Doc("Agree to a request that waits for a control group."),
		engine.Compute("control-group/request", (*System).controlRequest).Doc("Show how a request that waits for a control group stands."),
		engine.Read("config/control-group", (*System).readControlConfig).Doc("Show the settings of control groups."),
		engine.Write("config/control-group", (*System).writeControlConfig).Doc("Change the settings of control groups."),
		engine.Delete("config/control-group", (*System).deleteControlConfig).Doc("Set the settings of control groups back."),
	}
}
