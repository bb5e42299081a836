package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Stream sends a body of any length as it is read, once, and gives the answer as
// it comes: the caller closes it. A status that is not 2xx is an *Error, and
// neither the configured timeout nor retries apply. size is the body's length in
// bytes, or below 0 when it is not known; body may be nil.
func (c *Client) Stream(ctx context.Context, q Request, body io.Reader, size int64) (io.ReadCloser, error) {
	target := c.url(q)
	header := c.header(q)
	if c.config.Preview {
		return nil, &Preview{Method: q.Method, Path: q.Path, URL: target.String(), Header: header}
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, target.String(), body)
	if err != nil {
		return nil, err
	}
	r.Header = header
	if body != nil {
		r.ContentLength = size
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, advice(err))
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return nil, refusal(q.Method, target, c.config.Namespace, &Response{resp.StatusCode, resp.Header, text})
}
