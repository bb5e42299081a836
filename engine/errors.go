package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/fastness-dev/fastness/api"
)

// Errors of routing.
var (
	ErrNoRoute     = errors.New("unsupported path")
	ErrNoOperation = errors.New("unsupported operation")
)

// ErrMustWrite is what the first function of a ComputeOr answers to have the
// second run.
var ErrMustWrite = errors.New("the request has to write")

// Bad says that the caller sent something wrong: 400 with this sentence.
func Bad(format string, args ...any) error {
	return &api.Error{Status: http.StatusBadRequest, Errors: []string{fmt.Sprintf(format, args...)}}
}

// Denied says that the caller may not: 403.
func Denied() error {
	return &api.Error{Status: http.StatusForbidden, Errors: []string{"permission denied"}}
}

// Listed is a refusal that Vault passes through a list of errors: clients see
// the sentence as the list's only item.
func Listed(status int, format string, args ...any) error {
	return Status(status, "1 error occurred:\n\t* %s\n\n", fmt.Sprintf(format, args...))
}

// Missing says that there is no such thing: 404, with or without sentences.
func Missing(sentences ...string) error {
	if sentences == nil {
		sentences = []string{}
	}
	return &api.Error{Status: http.StatusNotFound, Errors: sentences}
}

// Gone is a 404 that still has something to say (a deleted KV version).
func Gone(data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return &api.Error{Status: http.StatusNotFound, Data: b}
}

// Status is an error with a status of its own.
func Status(status int, format string, args ...any) error {
	return &api.Error{Status: status, Errors: []string{fmt.Sprintf(format, args...)}}
}
