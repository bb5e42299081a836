package oidc

import (
	"slices"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Client is an application that people log in to. How it is known, and what it
// proves itself with, is its credential.
type Client struct {
	Key            string          `json:"key" default:"default" doc:"Key that signs; it cannot be changed."`
	RedirectURIs   []string        `json:"redirect_uris" doc:"Where codes may be sent to."`
	Assignments    []string        `json:"assignments" doc:"Who may log in; allow_all is everybody."`
	ClientType     string          `json:"client_type" default:"confidential" doc:"confidential or public; it cannot be changed."`
	IDTokenTTL     engine.Duration `json:"id_token_ttl" default:"24h" doc:"How long ID tokens are valid."`
	AccessTokenTTL engine.Duration `json:"access_token_ttl" default:"24h" doc:"How long access tokens are valid."`
}

// The types of client.
const (
	confidential = "confidential" // has a secret
	public       = "public"       // has none, and proves by PKCE who asked for a code
)

// Lengths of what is drawn for clients.
const (
	clientIDLength = 32
	secretLength   = 64
	secretPrefix   = "hvo_secret_"
)

// A credential is kept by the name of a client; a clientName by its id.
type (
	credential struct {
		ID     string `json:"id"`
		Secret string `json:"secret,omitempty"`
	}
	clientName struct {
		Name string `json:"name"`
	}
)

func credentials(v engine.View) storage.Table[credential] {
	return engine.Table[credential](v, "oidc/credential/")
}

func clientNames(v engine.View) storage.Table[clientName] {
	return engine.Table[clientName](v, "oidc/client-id/")
}

var clients = engine.Collection[Store, Client]{Path: "oidc/client", Noun: "client"}

func clientRoutes() engine.Routes[Store] {
	c := clients
	c.Check, c.Remove = checkClient, removeClient
	c.Show = func(_ *Store, v engine.View, item *engine.Item[Client]) (any, error) {
		return showClient(v, item, true)
	}
	c.Info = func(_ *Store, v engine.View, item *engine.Item[Client]) (any, error) {
		return showClient(v, item, false)
	}
	return c.Routes()
}

func checkClient(s *Store, tx engine.Tx, item *engine.Item[Client]) error {
	c := &item.Value
	old, err := clients.Table(tx).Get(item.Name)
	if err != nil {
		return err
	}
	switch {
	case old != nil && old.Key != c.Key:
		return engine.Bad("key modification is not allowed")
	case old != nil && old.ClientType != c.ClientType:
		return engine.Bad("client_type modification is not allowed")
	}
	k, err := s.usedKey(tx, c.Key)
	if err != nil {
		return err
	}
	if k == nil {
		return engine.Bad("key %q does not exist", c.Key)
	}
	c.Assignments, c.RedirectURIs = unique(c.Assignments), unique(c.RedirectURIs)
	for _, name := range c.Assignments {
		a, err := assignments.Peek(tx, name)
		if err != nil {
			return err
		}
		if a == nil {
			return engine.Bad("assignment %q does not exist", name)
		}
	}
	if err := c.check(k); err != nil {
		return err
	}
	if old == nil {
		return s.enrol(tx, item.Name, c)
	}
	return nil
}

func (c *Client) check(k *Key) error {
	switch {
	case c.IDTokenTTL > k.VerificationTTL:
		return engine.Bad("a client's id_token_ttl cannot be greater than the verification_ttl of the key it references")
	case c.IDTokenTTL <= 0:
		return engine.Bad("id_token_ttl must be positive")
	case c.AccessTokenTTL <= 0:
		return engine.Bad("access_token_ttl must be positive")
	case c.ClientType != confidential && c.ClientType != public:
		return engine.Bad("invalid client_type %q", c.ClientType)
	}
	for _, uri := range c.RedirectURIs {
		if !redirectable(uri) {
			return engine.Bad("redirect_uris: %q is not an absolute URI without a fragment", uri)
		}
	}
	return nil
}

// enrol draws what a new client is known by.
func (s *Store) enrol(tx engine.Tx, name string, c *Client) (err error) {
	var held credential
	if held.ID, err = s.draw(clientIDLength); err != nil {
		return err
	}
	if c.ClientType == confidential {
		if held.Secret, err = s.draw(secretLength); err != nil {
			return err
		}
		held.Secret = secretPrefix + held.Secret
	}
	credentials(tx).Put(name, &held)
	clientNames(tx).Put(held.ID, &clientName{name})
	return nil
}

func removeClient(_ *Store, tx engine.Tx, item *engine.Item[Client]) error {
	held, err := credentials(tx).Get(item.Name)
	if err != nil {
		return err
	}
	if held != nil {
		clientNames(tx).Delete(held.ID)
	}
	credentials(tx).Delete(item.Name)
	return nil
}

type shownClient struct {
	AccessTokenTTL engine.Duration `json:"access_token_ttl"`
	Assignments    []string        `json:"assignments"`
	ClientID       string          `json:"client_id"`
	ClientSecret   string          `json:"client_secret,omitempty"`
	ClientType     string          `json:"client_type"`
	IDTokenTTL     engine.Duration `json:"id_token_ttl"`
	Key            string          `json:"key"`
	RedirectURIs   []string        `json:"redirect_uris"`
}

func showClient(v engine.View, item *engine.Item[Client], whole bool) (*shownClient, error) {
	held, err := credentials(v).Peek(item.Name)
	if err != nil {
		return nil, err
	}
	if held == nil {
		held = &credential{}
	}
	c := &item.Value
	shown := &shownClient{c.AccessTokenTTL, c.Assignments, held.ID, "", c.ClientType, c.IDTokenTTL, c.Key, c.RedirectURIs}
	if whole {
		shown.ClientSecret = held.Secret
	}
	return shown, nil
}

func eachClient(v engine.View, f func(name string, c *Client) error) error {
	return each(&clients, v, f)
}

// A known client is one that was found by its id.
type knownClient struct {
	*Client
	credential
	Name string
}

// clientByID is the client with an id, or nil.
func clientByID(v engine.View, id string) (*knownClient, error) {
	if id == "" {
		return nil, nil
	}
	row, err := clientNames(v).Peek(id)
	if err != nil || row == nil {
		return nil, err
	}
	c, err := clients.Peek(v, row.Name)
	if err != nil || c == nil {
		return nil, err
	}
	held, err := credentials(v).Peek(row.Name)
	if err != nil || held == nil {
		return nil, err
	}
	return &knownClient{c, *held, row.Name}, nil
}

// An Assignment says who may log in to a client.
type Assignment struct {
	EntityIDs []string `json:"entity_ids" doc:"Entities; * is all."`
	GroupIDs  []string `json:"group_ids" doc:"Groups, whose subgroups count too; * is all."`
}

const allowAll = "allow_all"

var assignments = engine.Collection[Store, Assignment]{Path: "oidc/assignment", Noun: "assignment",
	Given: map[string]Assignment{allowAll: {[]string{"*"}, []string{"*"}}}}

func assignmentRoutes() engine.Routes[Store] {
	c := assignments
	c.Check = func(_ *Store, _ engine.Tx, item *engine.Item[Assignment]) error {
		if item.Name == allowAll {
			return engine.Bad("modification of assignment %q not allowed", allowAll)
		}
		item.Value.EntityIDs, item.Value.GroupIDs = unique(item.Value.EntityIDs), unique(item.Value.GroupIDs)
		return nil
	}
	c.Remove = func(_ *Store, tx engine.Tx, item *engine.Item[Assignment]) error {
		if item.Name == allowAll {
			return engine.Bad("deletion of assignment %q not allowed", allowAll)
		}
		var of []string
		err := eachClient(tx, func(name string, c *Client) error {
			if slices.Contains(c.Assignments, item.Name) {
				of = append(of, name)
			}
			return nil
		})
		if err == nil && len(of) > 0 {
			err = referenced("assignment", item.Name, "clients", of)
		}
		return err
	}
	return c.Routes()
}

// A loginOf is whom a client is asked to let in.
type loginOf struct {
	EntityID string
	Groups   []string
}

// assigned says whether a client's assignments let somebody in.
func (c *knownClient) assigned(v engine.View, who loginOf) (bool, error) {
	for _, name := range c.Assignments {
		if name == allowAll {
			return true, nil
		}
		a, err := assignments.Peek(v, name)
		if err != nil {
			return false, err
		}
		if a == nil {
			continue
		}
		if admits(a.EntityIDs, who.EntityID) || slices.Contains(a.GroupIDs, "*") && len(who.Groups) > 0 ||
			slices.ContainsFunc(who.Groups, func(g string) bool { return slices.Contains(a.GroupIDs, g) }) {
			return true, nil
		}
	}
	return false, nil
}

// codeTTL is how long a code waits for its client.
const codeTTL = 5 * time.Minute
