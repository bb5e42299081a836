package sys

import (
	"encoding/base64"
	"strings"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
)

type policyName struct {
	Name string `path:"name" doc:"Name of the policy."`
}

type policyRequest struct {
	Name   string `path:"name" doc:"Name of the policy."`
	Policy string `json:"policy" doc:"Text of the policy, in HCL or JSON, plain or in base64."`
}

type oldPolicyRequest struct {
	policyRequest
	Rules string `json:"rules" doc:"Old name of policy."`
}

type policyView struct {
	Name   string `json:"name"`
	Policy string `json:"policy"`
}

type oldPolicyView struct {
	Name  string `json:"name"`
	Rules string `json:"rules"`
}

// policyNames is the old list, which says the same twice.
type policyNames struct {
	Keys     []string `json:"keys"`
	Policies []string `json:"policies"`
}

func (s *System) listPolicies(v engine.View, _ engine.None) (engine.Keys, error) {
	names, err := s.Policies.Names(engine.CallOf(v).Whole)
	return engine.KeysOf(names), err
}

func (s *System) oldListPolicies(v engine.View, _ engine.None) (*policyNames, error) {
	names, err := s.Policies.Names(engine.CallOf(v).Whole)
	return &policyNames{names, names}, err
}

// policy gives a policy by name, or nil. Root has no text.
func (s *System) policy(v engine.View, name string) (*policy.Policy, error) {
	if root := policy.Root(); policy.NormalizeName(name) == root.Name {
		return root, nil
	}
	return s.Policies.Get(engine.CallOf(v).Whole, name)
}

func (s *System) readPolicy(v engine.View, req policyName) (*policyView, error) {
	p, err := s.policy(v, req.Name)
	if err != nil || p == nil {
		return nil, err
	}
	return &policyView{p.Name, p.Text}, nil
}

func (s *System) oldReadPolicy(v engine.View, req policyName) (*oldPolicyView, error) {
	p, err := s.policy(v, req.Name)
	if err != nil || p == nil {
		return nil, err
	}
	return &oldPolicyView{p.Name, p.Text}, nil
}

func (s *System) writePolicy(tx engine.Tx, req policyRequest) (engine.None, error) {
	name := policy.NormalizeName(req.Name)
	if name != req.Name {
		tx.Warn("policy name was converted to %s", name)
	}
	if name == "" || strings.ContainsFunc(name, unprintable) || strings.Trim(name, "/") != name {
		return engine.None{}, engine.Bad("a policy name must not be empty, begin or end with a slash, or hold control characters")
	}
	if err := policy.CheckWritable(name); err != nil {
		return engine.None{}, engine.Bad("%s", err)
	}
	if req.Policy == "" {
		return engine.None{}, engine.Bad("'policy' parameter not supplied or empty")
	}
	if plain, err := base64.StdEncoding.DecodeString(req.Policy); err == nil {
		req.Policy = string(plain)
	}
	p, err := policy.Parse(name, req.Policy)
	if err != nil {
		return engine.None{}, engine.Bad("%s", err)
	}
	s.Policies.Put(engine.CallOf(tx).Whole, p)
	return engine.None{}, nil
}

func (s *System) oldWritePolicy(tx engine.Tx, req oldPolicyRequest) (engine.None, error) {
	if req.Policy == "" && req.Rules != "" {
		tx.Warn("'rules' is deprecated, please use 'policy' instead")
		req.Policy = req.Rules
	}
	return s.writePolicy(tx, req.policyRequest)
}

func (s *System) deletePolicy(tx engine.Tx, req policyName) (engine.None, error) {
	if err := policy.CheckDeletable(req.Name); err != nil {
		return engine.None{}, engine.Bad("%s", err)
	}
	s.Policies.Delete(engine.CallOf(tx).Whole, req.Name)
	return engine.None{}, nil
}

func policyRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.List("policies/acl", (*System).listPolicies).Doc("List the ACL policies."),
		engine.Read("policies/acl/{name...}", (*System).readPolicy).Doc("Show an ACL policy."),
		engine.Write("policies/acl/{name...}", (*System).writePolicy).Doc("Write an ACL policy."),
		engine.Delete("policies/acl/{name...}", (*System).deletePolicy).Doc("Delete an ACL policy."),
		engine.List("policy", (*System).listPolicies).TopLevel().Doc("List the policies."),
		engine.Read("policy", (*System).oldListPolicies).TopLevel().Doc("List the policies, by their old route."),
		engine.Read("policy/{name...}", (*System).oldReadPolicy).TopLevel().Doc("Show a policy, by its old route."),
		engine.Write("policy/{name...}", (*System).oldWritePolicy).Doc("Write a policy, by its old route."),
		engine.Delete("policy/{name...}", (*System).deletePolicy).Doc("Delete a policy, by its old route."),
	}
}
