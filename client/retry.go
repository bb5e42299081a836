package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The pause before the first further try; each later one is half as long again,
// up to maxPause.
const (
	firstPause = time.Second
	maxPause   = 5 * time.Second
)

// retry tries until an answer is final or the tries are used up; the last
// answer or error is then given as it is. Writes are tried again as well: the
// server makes each request atomic, and Vault's clients do the same.
func (c *Client) retry(ctx context.Context, method string, to *url.URL, h http.Header, body []byte) (*Response, error) {
	pause := firstPause
	for left := c.config.MaxRetries; ; left-- {
		r, err := c.once(ctx, method, to, h, body)
		if left <= 0 || ctx.Err() != nil || !again(r, err) {
			return r, err
		}
		if err := c.wait(ctx, max(pause, retryAfter(r))); err != nil {
			return nil, err
		}
		pause = min(pause*3/2, maxPause)
	}
}

// again says whether another try may end differently: 412 is a node that is
// behind, 429 a quota, 5xx a node without a leader. 501 is final, and so is a
// certificate that was refused.
func again(r *Response, err error) bool {
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		return !errors.As(err, &untrusted)
	}
	switch {
	case r.Status == http.StatusPreconditionFailed, r.Status == http.StatusTooManyRequests:
		return true
	case r.Status == http.StatusNotImplemented:
		return false
	}
	return r.Status >= 500
}

// retryAfter is what the server asks for, held within reason.
func retryAfter(r *Response) time.Duration {
	if r == nil {
		return 0
	}
	n, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxPause)
}

func (c *Client) wait(ctx context.Context, d time.Duration) error {
	if c.config.Wait != nil {
		return c.config.Wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
