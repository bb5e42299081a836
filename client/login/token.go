package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// Token takes a token that there is already, and asks the server about it. The
// answer is what a login that gave it would have said, as far as it is known.
type Token struct {
	Token string
}

// Login looks the token up.
func (m Token) Login(ctx context.Context, c *client.Client) (*api.Answer, error) {
	if m.Token == "" {
		return nil, errors.New("there is no token to log in with")
	}
	c = c.With(func(n *client.Config) { n.Token, n.WrapTTL = m.Token, "" })
	var t struct {
		Accessor         string            `json:"accessor"`
		EntityID         string            `json:"entity_id"`
		Policies         []string          `json:"policies"`
		IdentityPolicies []string          `json:"identity_policies"`
		Meta             map[string]string `json:"meta"`
		NumUses          int               `json:"num_uses"`
		Orphan           bool              `json:"orphan"`
		Renewable        bool              `json:"renewable"`
		TTL              int64             `json:"ttl"` // seconds
		Type             string            `json:"type"`
	}
	a, err := c.Read(ctx, "auth/token/lookup-self", nil)
	if err == nil && a == nil {
		return nil, errors.New("the server knows no such token")
	}
	if err != nil {
		return nil, err
	}
	if err := data(a, nil, &t); err != nil {
		return nil, fmt.Errorf("look up the token: %w", err)
	}
	return &api.Answer{RequestID: a.RequestID, Warnings: a.Warnings, Auth: &api.Auth{
		ClientToken: m.Token, Accessor: t.Accessor, Policies: append(t.Policies[:len(t.Policies):len(t.Policies)], t.IdentityPolicies...),
		TokenPolicies: t.Policies, IdentityPolicies: t.IdentityPolicies, Metadata: t.Meta, LeaseDuration: t.TTL,
		Renewable: t.Renewable, EntityID: t.EntityID, TokenType: t.Type, Orphan: t.Orphan, NumUses: t.NumUses,
	}}, nil
}
