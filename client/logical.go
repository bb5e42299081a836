package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/fastness-dev/fastness/api"
)

// errNoToken is Unwrap without anything to unwrap.
var errNoToken = errors.New("no wrapping token")

// Read gives the answer at a path. It is nil without an error when there is
// none; a 404 that carries data or warnings, as a deleted version does, is an
// answer.
func (c *Client) Read(ctx context.Context, path string, query url.Values) (*api.Answer, error) {
	return c.Answer(ctx, Request{Method: http.MethodGet, Path: path, Query: query})
}

// List gives the names under a path; nil without an error when there are none.
// It is sent as GET with list=true, which passes proxies that know no LIST.
func (c *Client) List(ctx context.Context, path string) (*api.Answer, error) {
	return c.Read(ctx, path, url.Values{"list": {"true"}})
}

// Write sends JSON to a path. The answer is nil when the server has none to give.
func (c *Client) Write(ctx context.Context, path string, body []byte) (*api.Answer, error) {
	return c.Answer(ctx, Request{Method: http.MethodPut, Path: path, Body: body})
}

// Patch sends a JSON merge patch (RFC 7396) to a path.
func (c *Client) Patch(ctx context.Context, path string, body []byte) (*api.Answer, error) {
	return c.Answer(ctx, Request{Method: http.MethodPatch, Path: path, Body: body,
		Header: http.Header{"Content-Type": {"application/merge-patch+json"}}})
}

// Delete removes what is at a path.
func (c *Client) Delete(ctx context.Context, path string, query url.Values) (*api.Answer, error) {
	return c.Answer(ctx, Request{Method: http.MethodDelete, Path: path, Query: query})
}

// Unwrap opens a wrapping token. Without a token of its own the client
// authenticates by the wrapping token.
func (c *Client) Unwrap(ctx context.Context, token string) (*api.Answer, error) {
	if token == "" {
		token = c.config.Token
	}
	if token == "" {
		return nil, errNoToken
	}
	plain := c.With(func(n *Config) { n.WrapTTL = "" })
	if c.config.Token == "" || c.config.Token == token {
		plain = plain.With(func(n *Config) { n.Token = token })
		return plain.Write(ctx, "sys/wrapping/unwrap", nil)
	}
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return nil, err
	}
	return plain.Write(ctx, "sys/wrapping/unwrap", body)
}

// Answer sends any request and reads the envelope of its answer. The answer is
// nil without an error for 204, an empty body, and a 404 that says nothing more.
func (c *Client) Answer(ctx context.Context, q Request) (*api.Answer, error) {
	r, err := c.Do(ctx, q)
	if err != nil {
		return absent(err)
	}
	if r.Status == http.StatusNoContent || len(bytes.TrimSpace(r.Body)) == 0 {
		return nil, nil
	}
	a := &api.Answer{}
	if err := json.Unmarshal(r.Body, a); err != nil {
		return nil, fmt.Errorf("read the answer of %s %s: not the JSON of this API: %w", q.Method, q.Path, err)
	}
	if string(a.Data) == "null" {
		a.Data = nil
	}
	return a, nil
}

// absent tells a 404 from other refusals.
func absent(err error) (*api.Answer, error) {
	var e *Error
	if !errors.As(err, &e) || e.Refused.Status != http.StatusNotFound || len(e.Refused.Errors) > 0 {
		return nil, err
	}
	if e.Raw != "" {
		return nil, err
	}
	if e.Refused.Data == nil && len(e.Refused.Warnings) == 0 {
		return nil, nil
	}
	return &api.Answer{Data: e.Refused.Data, Warnings: e.Refused.Warnings}, nil
}

// JSON sends a request and decodes the whole body of its answer into out, for
// those paths of sys/ that answer without an envelope.
func (c *Client) JSON(ctx context.Context, q Request, out any) error {
	r, err := c.Do(ctx, q)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(r.Body, out); err != nil {
		return fmt.Errorf("read the answer of %s %s: %w", q.Method, q.Path, err)
	}
	return nil
}
