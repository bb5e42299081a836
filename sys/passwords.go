package sys

import (
	"encoding/base64"

	"github.com/fastness-dev/fastness/access/password"
	"github.com/fastness-dev/fastness/engine"
)

// passwords are the policies that generated passwords follow.
func passwords() password.Store { return password.Store{} }

type passwordPolicyName struct {
	Name string `path:"name" doc:"Name of the password policy."`
}

type passwordPolicyRequest struct {
	Name   string `path:"name" doc:"Name of the password policy."`
	Policy string `json:"policy" doc:"Text of the policy, in HCL or JSON, plain or in base64."`
}

type passwordPolicyView struct {
	Policy string `json:"policy"`
}

type generatedPassword struct {
	Password string `json:"password"`
}

func (s *System) listPasswordPolicies(v engine.View, _ engine.None) (engine.Keys, error) {
	names, err := passwords().Names(engine.CallOf(v).Whole)
	return engine.KeysOf(names), err
}

func (s *System) readPasswordPolicy(v engine.View, req passwordPolicyName) (*passwordPolicyView, error) {
	p, err := passwords().Get(engine.CallOf(v).Whole, req.Name)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return nil, errNoPasswordPolicy()
	}
	return &passwordPolicyView{p.Text}, nil
}

func errNoPasswordPolicy() error { return engine.Missing("policy does not exist") }

func (s *System) writePasswordPolicy(tx engine.Tx, req passwordPolicyRequest) (engine.None, error) {
	if req.Policy == "" {
		return engine.None{}, engine.Bad("missing policy")
	}
	if plain, err := base64.StdEncoding.DecodeString(req.Policy); err == nil {
		req.Policy = string(plain)
	}
	p, err := passwords().Parse(req.Policy)
	if err != nil {
		return engine.None{}, engine.Bad("%s", err)
	}
	passwords().Put(engine.CallOf(tx).Whole, req.Name, p)
	return engine.None{}, nil
}

func (s *System) deletePasswordPolicy(tx engine.Tx, req passwordPolicyName) (engine.None, error) {
	passwords().Delete(engine.CallOf(tx).Whole, req.Name)
	return engine.None{}, nil
}

func (s *System) generatePassword(v engine.View, req passwordPolicyName) (*generatedPassword, error) {
	drawn, ok, err := passwords().Generate(engine.CallOf(v).Whole, req.Name)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, errNoPasswordPolicy()
	}
	return &generatedPassword{drawn}, nil
}

func passwordRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.List("policies/password", (*System).listPasswordPolicies).Doc("List the password policies."),
		engine.Read("policies/password/{name}", (*System).readPasswordPolicy).Doc("Show a password policy."),
		engine.Write("policies/password/{name}", (*System).writePasswordPolicy).Doc("Write a password policy."),
		engine.Delete("policies/password/{name}", (*System).deletePasswordPolicy).Doc("Delete a password policy."),
		engine.Read("policies/password/{name}/generate", (*System).generatePassword).Doc("Generate a password by a policy."),
	}
}
