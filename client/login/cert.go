package login

import (
	"context"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// Cert logs in by the client's TLS certificate.
type Cert struct {
	Mount string // path below auth/; "cert" if empty
	Name  string // of the role; any that fits if empty
}

// Login logs in.
func (m Cert) Login(ctx context.Context, c *client.Client) (*api.Answer, error) {
	return send(ctx, c, orElse(m.Mount, "cert"), "login", struct {
		Name string `json:"name,omitempty"`
	}{m.Name})
}
