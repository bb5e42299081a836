package transit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// How long to wait before the token is renewed again.
const (
	renewAgain = time.Minute    // after a failure
	renewAtAll = 24 * time.Hour // at most, since somebody may shorten a token's life
)

// keepToken renews the token when half of its time is over, until Close. A token
// that cannot be renewed is told once and left alone.
func (w *wrapper) keepToken() {
	failed := false
	for {
		wait, err := w.renewToken()
		switch {
		case w.end.Err() != nil:
			return
		case err != nil && !failed:
			failed = true
			w.logger.Warn("the token of the transit seal was not renewed: without it the next start stays sealed", "error", err)
		case err == nil && wait == 0:
			return
		case err == nil:
			failed = false
		}
		if err != nil {
			wait = renewAgain
		}
		select {
		case <-w.end.Done():
			return
		case <-w.after(wait):
		}
	}
}

// renewToken says when to do it again; 0 is never.
func (w *wrapper) renewToken() (time.Duration, error) {
	const lookup, renew = "auth/token/lookup-self", "auth/token/renew-self"
	a, err := w.client.Read(w.end, lookup, nil)
	if err != nil {
		return 0, w.explain(lookup, err)
	}
	var token struct {
		Renewable bool  `json:"renewable"`
		TTL       int64 `json:"ttl"`    // seconds
		Period    int64 `json:"period"` // seconds
	}
	if a == nil {
		return 0, errors.New("the server says nothing about the token: is the address that of a Fastness or Vault?")
	}
	if err := json.Unmarshal(a.Data, &token); err != nil {
		return 0, fmt.Errorf("read what the server says about the token: %w", err)
	}
	if token.TTL == 0 {
		return 0, nil // a root token, or one without an end
	}
	if !token.Renewable {
		w.logger.Warn("the token of the transit seal cannot be renewed: give it a periodic one before this one ends",
			"ends_in", (time.Duration(token.TTL) * time.Second).String())
		return 0, nil
	}
	var got struct {
		Auth *api.Auth `json:"auth"`
	}
	if err := w.client.JSON(w.end, client.Request{Method: http.MethodPut, Path: renew, Body: []byte("{}")}, &got); err != nil {
		return 0, w.explain(renew, err)
	}
	left := time.Duration(token.TTL) * time.Second
	if got.Auth != nil && got.Auth.LeaseDuration > 0 {
		left = time.Duration(got.Auth.LeaseDuration) * time.Second
	}
	return min(max(left/2, time.Second), renewAtAll), nil
}
