package mfa

import (
	"slices"

	"github.com/fastness-dev/fastness/engine"
)

// NamedRoutes are those at sys/mfa/method/totp/: the same methods by their names,
// as policies call them.
func NamedRoutes() engine.Routes[Store] {
	const at = "mfa/method/totp/{name*}"
	return engine.Routes[Store]{
		engine.List("mfa/method/totp", (*Store).listNamed).Doc("List the TOTP methods that have a name."),
		engine.Read(at, (*Store).readNamed).Doc("Show a TOTP method."),
		engine.Write(at, (*Store).writeNamed).Doc("Make or change a TOTP method."),
		engine.Delete(at, (*Store).deleteNamed).Doc("Delete a TOTP method that no enforcement uses."),
		engine.Issue(at+"/generate", (*Store).generateNamed).Doc("Make the caller's own secret of a TOTP method."),
		engine.Write(at+"/admin-generate", (*Store).adminGenerateNamed).Doc("Make the secret of an entity."),
		engine.Write(at+"/admin-destroy", (*Store).adminDestroyNamed).Doc("Destroy the secret of an entity."),
	}
}

type (
	methodName struct {
		Name string `path:"name" doc:"Name of the method."`
	}
	namedTOTP struct {
		Name string `path:"name" doc:"Name of the method."`
		totpFields
	}
	namedSecret struct {
		Name   string `path:"name" doc:"Name of the method."`
		Entity string `json:"entity_id" required:"true" doc:"Id of the entity."`
	}
)

// idOf is the id of the TOTP method with a name, or "".
func (s *Store) idOf(v engine.View, name string) (string, error) {
	c, err := s.configs.Get(whole(v))
	if err != nil {
		return "", err
	}
	if m := c.byName[name]; m != nil && m.TOTP != nil {
		return m.ID, nil
	}
	return "", nil
}

func (s *Store) listNamed(v engine.View, _ engine.None) (engine.Keys, error) {
	all, err := s.listMethods(v, typeTOTP)
	if err != nil {
		return all, err
	}
	c, err := s.configs.Get(whole(v))
	if err != nil {
		return all, err
	}
	var names []string
	for _, id := range all.Keys {
		if n := c.methods[id].Name; n != "" {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return engine.KeysOf(names), nil
}

func (s *Store) readNamed(v engine.View, q methodName) (any, error) {
	id, err := s.idOf(v, q.Name)
	if err != nil || id == "" {
		return nil, err
	}
	return s.readMethod(v, id, typeTOTP)
}

func (s *Store) writeNamed(v engine.Tx, q namedTOTP) (engine.None, error) {
	id, err := s.idOf(v, q.Name)
	if err == nil {
		_, err = s.writeTOTP(v, id, totpRequest{common{Name: q.Name}, q.totpFields})
	}
	return engine.None{}, err
}

func (s *Store) deleteNamed(v engine.Tx, q methodName) (engine.None, error) {
	id, err := s.idOf(v, q.Name)
	if err != nil || id == "" {
		return engine.None{}, err
	}
	return s.deleteMethod(v, id, typeTOTP)
}

func (s *Store) generateNamed(v engine.Tx, q methodName) (*enrolment, error) {
	id, err := s.idOf(v, q.Name)
	if err != nil {
		return nil, err
	}
	return s.generate(v, ownSecret{id})
}

func (s *Store) adminGenerateNamed(v engine.Tx, q namedSecret) (*enrolment, error) {
	id, err := s.idOf(v, q.Name)
	if err != nil {
		return nil, err
	}
	return s.adminGenerate(v, entitySecret{id, q.Entity})
}

func (s *Store) adminDestroyNamed(v engine.Tx, q namedSecret) (engine.None, error) {
	id, err := s.idOf(v, q.Name)
	if err != nil {
		return engine.None{}, err
	}
	return s.adminDestroy(v, entitySecret{id, q.Entity})
}
