package client

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/fastness-dev/fastness/api"
)

// A Client speaks to one server. It is safe for use by several goroutines; its
// settings do not change, see With.
type Client struct {
	config Config
	base   *url.URL
	http   *http.Client
}

// New checks the configuration and loads its certificates. It dials nothing.
func New(c Config) (*Client, error) {
	base, socket, err := endpoint(c.Address)
	if err != nil {
		return nil, err
	}
	t, err := transport(c, socket)
	if err != nil {
		return nil, err
	}
	return &Client{
		config: c,
		base:   base,
		http: &http.Client{
			Transport:     t,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// With gives a client that shares connections but differs in what change sets.
// Only what goes into a request may be changed: not addresses, not certificates.
func (c *Client) With(change func(*Config)) *Client {
	other := *c
	other.config.Headers = c.config.Headers.Clone()
	change(&other.config)
	return &other
}

// Config is what the client was made with.
func (c *Client) Config() Config { return c.config }

// A Request is one call. Path is below /v1/ and not escaped: "secret/data/a b".
type Request struct {
	Method  string // GET, LIST, POST, PUT, PATCH, DELETE
	Path    string
	Query   url.Values
	Header  http.Header // wins over the client's own
	Body    []byte      // JSON, or as Content-Type in Header says
	NoToken bool        // for calls that must go without: unseal, init
}

// A Response is what came back, read whole.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request, trying again where that may help, and gives whatever
// 2xx comes back. Any other status is an *Error.
func (c *Client) Do(ctx context.Context, q Request) (*Response, error) {
	target := c.url(q)
	header := c.header(q)
	if c.config.Preview {
		return nil, &Preview{Method: q.Method, Path: q.Path, URL: target.String(), Header: header, Body: q.Body}
	}
	r, at, err := c.follow(ctx, q.Method, target, header, q.Body)
	if err != nil {
		return nil, err
	}
	if r.Status >= 200 && r.Status < 300 {
		return r, nil
	}
	return r, refusal(q.Method, at, header.Get(api.HeaderNamespace), r)
}

// follow sends a request and, once, sends it again where it was redirected to.
func (c *Client) follow(ctx context.Context, method string, to *url.URL, h http.Header, body []byte) (*Response, *url.URL, error) {
	r, err := c.retry(ctx, method, to, h, body)
	if err != nil {
		return nil, to, err
	}
	switch r.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect:
	default:
		return r, to, nil
	}
	if c.config.DisableRedirects {
		return r, to, nil
	}
	next, err := to.Parse(r.Header.Get("Location"))
	if err != nil {
		return nil, to, fmt.Errorf("redirect: %w", err)
	}
	// The token travels with the redirect, so it must not lose its protection.
	if to.Scheme == "https" && next.Scheme != "https" {
		return nil, to, fmt.Errorf("redirect from %s to %s would give up TLS", to.Host, next)
	}
	r, err = c.retry(ctx, method, next, h, body)
	return r, next, err
}

// once is a single try.
func (c *Client) once(ctx context.Context, method string, to *url.URL, h http.Header, body []byte) (*Response, error) {
	if c.config.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.config.Timeout)
		defer cancel()
	}
	r, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = h.Clone()
	if host := h.Get("Host"); host != "" {
		r.Host = host
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, advice(err))
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return &Response{resp.StatusCode, resp.Header, got}, nil
}

// advice says what to do about a server that was not reached; "" is for what
// speaks for itself.
func advice(err error) string {
	var stranger x509.UnknownAuthorityError
	switch {
	case errors.As(err, &stranger):
		return "\n\nSet VAULT_CACERT, or -ca-cert, to the certificate of who signed the server's."
	case errors.Is(err, http.ErrSchemeMismatch):
		return "\n\nThe server speaks http: set VAULT_ADDR, or -address, to an address that begins with http://"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "\n\nNothing listens there: is the server running, and is VAULT_ADDR, or -address, right?"
	}
	return ""
}

// url places a path under /v1/. A trailing slash is kept: LIST of a folder has it.
func (c *Client) url(q Request) *url.URL {
	u := *c.base
	u.Path += "/v1/" + strings.TrimPrefix(q.Path, "/")
	u.RawQuery = q.Query.Encode()
	return &u
}

func (c *Client) header(q Request) http.Header {
	h := http.Header{}
	maps.Copy(h, c.config.Headers.Clone())
	h.Set(api.HeaderRequest, "true")
	if c.config.Token != "" && !q.NoToken {
		h.Set(api.HeaderToken, c.config.Token)
	}
	if c.config.Namespace != "" {
		h.Set(api.HeaderNamespace, c.config.Namespace)
	}
	if c.config.WrapTTL != "" {
		h.Set(api.HeaderWrapTTL, c.config.WrapTTL)
	}
	if len(c.config.MFA) > 0 {
		h[http.CanonicalHeaderKey(api.HeaderMFA)] = c.config.MFA
	}
	if c.config.PolicyOverride {
		h.Set("X-Vault-Policy-Override", "true")
	}
	if q.Body != nil {
		h.Set("Content-Type", "application/json")
	}
	maps.Copy(h, q.Header)
	return h
}
