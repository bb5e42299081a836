package login

import (
	"context"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// GitHub logs in by a personal access token.
type GitHub struct {
	Mount string // path below auth/; "github" if empty
	Token string
}

// Login logs in.
func (m GitHub) Login(ctx context.Context, c *client.Client) (*api.Answer, error) {
	return send(ctx, c, orElse(m.Mount, "github"), "login", struct {
		Token string `json:"token"`
	}{m.Token})
}
