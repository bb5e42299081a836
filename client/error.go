package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/fastness-dev/fastness/api"
)

// An Error is a refusal together with the call that met it. Its text is the
// block that Vault's client prints; scripts match on it.
//
// errors.As also finds the *api.Error inside.
type Error struct {
	Refused   api.Error
	Method    string
	URL       string
	Namespace string
	Raw       string // the body, when it was not the wire's JSON
	Decision  string // id of a refusal by policy, from a server that gives one
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("Error making API request.\n\n")
	if e.Namespace != "" {
		fmt.Fprintf(&b, "Namespace: %s\n", e.Namespace)
	}
	fmt.Fprintf(&b, "URL: %s %s\n", e.Method, e.URL)
	if e.Raw != "" {
		fmt.Fprintf(&b, "Code: %d. Raw Message:\n\n%s", e.Refused.Status, e.Raw)
		return b.String()
	}
	fmt.Fprintf(&b, "Code: %d. Errors:\n\n", e.Refused.Status)
	for i, s := range e.Refused.Errors {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("* " + s)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return &e.Refused }

// Status is the HTTP status of a refusal anywhere in err, or 0.
func Status(err error) int {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// refusal reads a body that came with a status of refusal.
func refusal(method string, at *url.URL, namespace string, r *Response) *Error {
	e := &Error{Method: method, URL: at.String(), Namespace: namespace, Decision: r.Header.Get(api.HeaderDecision)}
	e.Refused.Status = r.Status
	var body struct {
		Errors   []string        `json:"errors"`
		Data     json.RawMessage `json:"data"`
		Warnings []string        `json:"warnings"`
	}
	if json.Unmarshal(r.Body, &body) != nil {
		e.Raw = string(bytes.TrimSpace(r.Body))
		return e
	}
	e.Refused.Errors, e.Refused.Warnings = body.Errors, body.Warnings
	if string(body.Data) != "null" {
		e.Refused.Data = body.Data
	}
	return e
}

// A Preview is a request that was shaped but not sent.
type Preview struct {
	Method string
	Path   string // below /v1/, not escaped
	URL    string
	Header http.Header
	Body   []byte
}

func (p *Preview) Error() string { return "not sent: " + p.Method + " " + p.URL }
