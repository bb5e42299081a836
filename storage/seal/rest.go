package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxAnswer is more than any key service answers, in bytes.
const maxAnswer = 1 << 20

// A Refusal is an answer of a key service that is not 2xx.
type Refusal struct {
	Status int
	Body   []byte // at most 4 KiB of it
}

// Error tells no more than the status: what a body holds, its service knows.
func (r *Refusal) Error() string { return fmt.Sprintf("status %d", r.Status) }

// A Call is one request to a key service that takes and answers JSON.
type Call struct {
	Method string
	URL    string
	Body   any // what becomes JSON, or bytes that are sent as they are; nil is none
	// Sign adds what authenticates the request; it may be nil.
	Sign func(ctx context.Context, r *http.Request, body []byte) error
}

// Ask sends a call and decodes the answer into out, unless out is nil. A status
// other than 2xx is a *Refusal.
func Ask(ctx context.Context, client *http.Client, c Call, out any) error {
	body, raw := c.Body.([]byte)
	if !raw && c.Body != nil {
		var err error
		if body, err = json.Marshal(c.Body); err != nil {
			return err
		}
	}
	defer clear(body)
	r, err := http.NewRequestWithContext(ctx, c.Method, c.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.Sign != nil {
		if err := c.Sign(ctx, r, body); err != nil {
			return err
		}
	}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	defer clear(got)
	if answer.StatusCode/100 != 2 {
		return &Refusal{answer.StatusCode, bytes.Clone(got[:min(len(got), 4096)])}
	}
	if out == nil {
		return nil
	}
	if json.Unmarshal(got, out) != nil { // the cause would quote the answer
		return errors.New("the answer is not the JSON of this service: is the endpoint right?")
	}
	return nil
}
