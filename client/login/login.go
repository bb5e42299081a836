// Package login gets a token from a server: one file for each way to prove who
// one is. The command line, the agent and whatever else logs in use it.
//
// It promises that a login sends no token, that nothing it was given is in its
// errors, and that a secret-id which came wrapped is taken only if it is known
// where it was made.
package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// A Method is one way to log in, with all that it needs. The answer has Auth, or
// WrapInfo if the client asks for wrapped answers.
type Method interface {
	Login(ctx context.Context, c *client.Client) (*api.Answer, error)
}

// errNothing is a login that was answered without a token.
var errNothing = errors.New("the server answered the login without a token")

// send posts a login below auth/.
func send(ctx context.Context, c *client.Client, mount, below string, fields any) (*api.Answer, error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode login: %w", err)
	}
	path := "auth/" + strings.Trim(mount, "/") + "/" + below
	a, err := c.Answer(ctx, client.Request{Method: http.MethodPut, Path: path, Body: body, NoToken: true})
	switch {
	case err != nil:
		return nil, err
	case a == nil || a.Auth == nil && a.WrapInfo == nil:
		return nil, errNothing
	}
	return a, nil
}

// orElse is where a method is mounted unless told.
func orElse(mount, kind string) string {
	if strings.Trim(mount, "/") == "" {
		return kind
	}
	return mount
}

// segment is a name as one segment of a path: a slash in it would name another
// path.
func segment(name string) (string, error) {
	if name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("%q cannot be a user name", name)
	}
	return name, nil
}
