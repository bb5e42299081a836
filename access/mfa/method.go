package mfa

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// The types of method.
const (
	typeTOTP   = "totp"
	typeDuo    = "duo"
	typeOkta   = "okta"
	typePingID = "pingid"
)

// A Method is one way to prove who one is. One of its parts is set, that of its
// type.
type Method struct {
	ID       string  `json:"id"`
	Type     string  `json:"type"`
	Name     string  `json:"name"`               // unique in its namespace; may be empty
	Username string  `json:"username,omitempty"` // template of the name by which others know an entity; not of TOTP
	TOTP     *TOTP   `json:"totp,omitempty"`
	Duo      *Duo    `json:"duo,omitempty"`
	Okta     *Okta   `json:"okta,omitempty"`
	PingID   *PingID `json:"pingid,omitempty"`
}

// usesPasscode says whether people type a code.
func (m *Method) usesPasscode() bool { return m.TOTP != nil || m.Duo != nil && m.Duo.UsePasscode }

// common is what every method's request has.
type common struct {
	ID   string `json:"method_id" doc:"Id of the method to change, if there is one already."`
	Name string `json:"method_name" doc:"Name by which the method can be called instead of its id."`
}

type methodID struct {
	ID string `path:"method_id"`
}

type madeMethod struct {
	ID string `json:"method_id"`
}

// shown is what every method's answer has.
type shown struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	NamespaceID   string `json:"namespace_id"`
	NamespacePath string `json:"namespace_path"`
	Type          string `json:"type"`
}

// kind is the routes of one type of method.
func kind[Req any](name string, write func(*Store, engine.Tx, string, Req) (*madeMethod, error)) engine.Routes[Store] {
	at := "mfa/method/" + name
	return engine.Routes[Store]{
		engine.List(at, func(s *Store, v engine.View, _ engine.None) (engine.Keys, error) {
			return s.listMethods(v, name)
		}).Doc("List the MFA methods of type " + name + "."),
		engine.Write(at, func(s *Store, tx engine.Tx, q Req) (*madeMethod, error) {
			return write(s, tx, "", q)
		}).Doc("Make an MFA method of type " + name + "."),
		engine.Read(at+"/{method_id*}", func(s *Store, v engine.View, q methodID) (any, error) {
			return s.readMethod(v, q.ID, name)
		}).Doc("Show an MFA method of type " + name + "."),
		engine.Delete(at+"/{method_id*}", func(s *Store, tx engine.Tx, q methodID) (engine.None, error) {
			return s.deleteMethod(tx, q.ID, name)
		}).Doc("Delete an MFA method that no enforcement uses."),
	}
}

func methodRoutes() engine.Routes[Store] {
	return slices.Concat(
		engine.Routes[Store]{
			engine.List("mfa/method", func(s *Store, v engine.View, _ engine.None) (engine.Keys, error) {
				return s.listMethods(v, "")
			}).Doc("List the MFA methods."),
			engine.Read("mfa/method/{method_id*}", func(s *Store, v engine.View, q methodID) (any, error) {
				return s.readMethod(v, q.ID, "")
			}).Doc("Show an MFA method."),
		},
		kind(typeTOTP, (*Store).writeTOTP), kind(typeDuo, (*Store).writeDuo),
		kind(typeOkta, (*Store).writeOkta), kind(typePingID, (*Store).writePingID),
		engine.Routes[Store]{
			engine.Write("mfa/method/totp/{method_id*}", (*Store).changeTOTP).Doc("Change an MFA method of type totp."),
			engine.Write("mfa/method/duo/{method_id*}", (*Store).changeDuo).Doc("Change an MFA method of type duo."),
			engine.Write("mfa/method/okta/{method_id*}", (*Store).changeOkta).Doc("Change an MFA method of type okta."),
			engine.Write("mfa/method/pingid/{method_id*}", (*Store).changePingID).Doc("Change an MFA method of type pingid."),
		},
	)
}

func whole(v engine.View) *storage.Tx { return engine.CallOf(v).Whole }

// known gives a method of a type, "" for any, of the namespace itself; nil when
// there is none.
func (s *Store) known(tx *storage.Tx, id, typ string) (*Method, error) {
	c, err := s.configs.Get(tx)
	if err != nil {
		return nil, err
	}
	if m := c.methods[id]; m != nil && (typ == "" || m.Type == typ) {
		return m, nil
	}
	return nil, nil
}

// open gives the method that a request is to write: a new one, or a copy of the
// one with the id that it names, in its path or its body.
func (s *Store) open(v engine.Tx, inPath string, q common, typ string) (*Method, error) {
	id := inPath
	if id == "" {
		id = q.ID
	} else if q.ID != "" && q.ID != inPath {
		return nil, engine.Bad("'method_id' in the body is not the one in the path")
	}
	c, err := s.configs.Get(whole(v))
	if err != nil {
		return nil, err
	}
	m := &Method{Type: typ}
	if id != "" {
		old := c.methods[id]
		if old == nil || old.Type != typ {
			return nil, engine.Missing("there is no " + typ + " method with this id")
		}
		*m = *old
	} else {
		m.ID = s.o.NewID()
	}
	if q.Name == "" {
		return m, nil
	}
	if err := checkName("method_name", q.Name); err != nil {
		return nil, err
	}
	if strings.Contains(q.Name, ":") { // where the header's passcode begins
		return nil, engine.Bad("'method_name' cannot contain a colon")
	}
	if other := c.byName[q.Name]; other != nil && other.ID != m.ID {
		return nil, engine.Bad("'method_name' is that of another method")
	}
	m.Name = q.Name
	return m, nil
}

// store keeps a method. Its id is told of a new one only.
func (s *Store) store(v engine.Tx, m *Method, changed bool) (*madeMethod, error) {
	methods(whole(v)).Put(m.ID, m)
	if changed {
		return nil, nil
	}
	return &madeMethod{m.ID}, nil
}

func (s *Store) listMethods(v engine.View, typ string) (engine.Keys, error) {
	keys := engine.Keys{Info: map[string]any{}}
	c, err := s.configs.Get(whole(v))
	if err != nil {
		return keys, err
	}
	for id, m := range c.methods {
		if typ != "" && m.Type != typ {
			continue
		}
		keys.Keys = append(keys.Keys, id)
		if keys.Info[id], err = s.show(whole(v), m); err != nil {
			return keys, err
		}
	}
	slices.Sort(keys.Keys)
	return keys, nil
}

func (s *Store) readMethod(v engine.View, id, typ string) (any, error) {
	m, err := s.known(whole(v), id, typ)
	if err != nil || m == nil {
		return nil, err
	}
	return s.show(whole(v), m)
}

// show is a method as it is answered, without what is secret of it.
func (s *Store) show(tx *storage.Tx, m *Method) (any, error) {
	id, path, err := s.o.Spaces.ID(tx)
	if err != nil {
		return nil, fmt.Errorf("find the namespace: %w", err)
	}
	all := shown{ID: m.ID, Name: m.Name, NamespaceID: id, NamespacePath: path, Type: m.Type}
	switch {
	case m.TOTP != nil:
		return &shownTOTP{all, *m.TOTP}, nil
	case m.Duo != nil:
		return &shownDuo{all, m.Username, m.Duo.Integration, m.Duo.Host, m.Duo.PushInfo, m.Duo.UsePasscode}, nil
	case m.Okta != nil:
		return &shownOkta{all, m.Username, m.Okta.Org, m.Okta.BaseURL, m.Okta.PrimaryEmail}, nil
	case m.PingID != nil:
		p := m.PingID
		return &shownPingID{all, m.Username, p.UseSignature, p.IDPURL, p.AdminURL, p.AuthenticatorURL, p.OrgAlias}, nil
	}
	return &all, nil
}

// deleteMethod refuses to take away what logins are still asked for: they would
// all be locked out, or, worse, let in.
func (s *Store) deleteMethod(v engine.Tx, id, typ string) (engine.None, error) {
	none := engine.None{}
	m, err := s.known(whole(v), id, typ)
	if err != nil || m == nil {
		return none, err
	}
	below, err := s.o.Spaces.Below(whole(v))
	if err != nil {
		return none, err
	}
	for _, at := range append([]*storage.Tx{whole(v)}, below...) {
		c, err := s.configs.Get(at)
		if err != nil {
			return none, err
		}
		for _, e := range c.enforcements {
			if slices.Contains(e.Methods, id) {
				return none, engine.Bad("methodID is still used by an enforcement configuration with ID: %s", e.ID)
			}
		}
	}
	methods(whole(v)).Delete(id)
	return none, nil
}
