package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// AppRole logs in by a role-id and a secret-id.
type AppRole struct {
	Mount    string // path below auth/; "approle" if empty
	RoleID   string
	SecretID string // empty for roles that do without

	// WrappedSecretID is a token that wraps the secret-id, in place of it.
	WrappedSecretID string
	// WrappedAt is the path that the secret-id must have been made at, such as
	// auth/approle/role/ci/secret-id: whoever hands over a wrapping token could
	// hand over one of their own making. It must be set if WrappedSecretID is.
	WrappedAt string
}

// Login logs in.
func (m AppRole) Login(ctx context.Context, c *client.Client) (*api.Answer, error) {
	id := m.SecretID
	if m.WrappedSecretID != "" {
		var err error
		if id, err = m.unwrap(ctx, c); err != nil {
			return nil, err
		}
	}
	return send(ctx, c, orElse(m.Mount, "approle"), "login", struct {
		RoleID   string `json:"role_id"`
		SecretID string `json:"secret_id,omitempty"`
	}{m.RoleID, id})
}

// unwrap opens the wrapping token, once it is known where it comes from.
func (m AppRole) unwrap(ctx context.Context, c *client.Client) (string, error) {
	if m.WrappedAt == "" {
		return "", errors.New("a wrapped secret-id needs the path that it was made at")
	}
	body, err := json.Marshal(map[string]string{"token": m.WrappedSecretID})
	if err != nil {
		return "", fmt.Errorf("encode wrapping token: %w", err)
	}
	c = c.With(func(n *client.Config) { n.WrapTTL, n.Token = "", "" })
	var where struct {
		CreationPath string `json:"creation_path"`
	}
	a, err := c.Answer(ctx, client.Request{Method: http.MethodPut, Path: "sys/wrapping/lookup", Body: body})
	if err := data(a, err, &where); err != nil {
		return "", fmt.Errorf("look up the wrapped secret-id: %w", err)
	}
	if where.CreationPath != m.WrappedAt {
		return "", fmt.Errorf("the wrapped secret-id was made at %q, not at %q: somebody may have opened it and wrapped another", where.CreationPath, m.WrappedAt)
	}
	var secret struct {
		SecretID string `json:"secret_id"`
	}
	a, err = c.Unwrap(ctx, m.WrappedSecretID)
	if err := data(a, err, &secret); err != nil {
		return "", fmt.Errorf("unwrap the secret-id: %w", err)
	}
	if secret.SecretID == "" {
		return "", errors.New("the wrapping token holds no secret-id")
	}
	return secret.SecretID, nil
}

// data reads the data of an answer.
func data(a *api.Answer, err error, into any) error {
	switch {
	case err != nil:
		return err
	case a == nil || a.Data == nil:
		return errors.New("the server's answer holds no data")
	}
	return json.Unmarshal(a.Data, into)
}
