package login

import (
	"context"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// Password logs in by a name and a password.
type Password struct {
	Kind     string // userpass, ldap, okta or radius; userpass if empty
	Mount    string // path below auth/; the kind if empty
	Username string
	Password string
}

// Login logs in.
func (m Password) Login(ctx context.Context, c *client.Client) (*api.Answer, error) {
	name, err := segment(m.Username)
	if err != nil {
		return nil, err
	}
	mount := orElse(m.Mount, orElse(m.Kind, "userpass"))
	return send(ctx, c, mount, "login/"+name, struct {
		Password string `json:"password"`
	}{m.Password})
}
