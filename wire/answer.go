package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Reply is an answer on its way out: a status and a body.
type Reply struct {
	Status      int
	ContentType string
	Header      http.Header // of the route's own
	Body        []byte      // nil is none
	Stream      func(io.Writer) error
}

// Envelope makes the reply of a route from its answer. A nil answer is 204 for
// a write and 404 for a read.
func Envelope(q *Request, info *engine.RouteInfo, mountType string, a *engine.Answer, warnings []string) (*Reply, error) {
	if a != nil && a.Raw != nil {
		return &Reply{Status: or(a.Raw.Status, 200), ContentType: a.Raw.ContentType, Header: a.Header, Body: a.Raw.Body, Stream: a.Raw.Stream}, nil
	}
	if a != nil && a.Stored != nil {
		return &Reply{Status: 200, ContentType: "application/json", Body: a.Stored}, nil
	}
	if a == nil && len(warnings) == 0 {
		if q.Op == engine.OpRead || q.Op == engine.OpList {
			return nil, engine.Missing()
		}
		return &Reply{Status: http.StatusNoContent, ContentType: "application/json"}, nil
	}
	if a == nil {
		a = &engine.Answer{}
	}
	if k, ok := a.Data.(engine.Keys); ok && len(k.Keys) == 0 && len(warnings) == 0 {
		return nil, engine.Missing()
	}
	data, err := encode(a.Data)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	status := or(a.Status, 200)
	if info.Bare {
		return &Reply{Status: status, ContentType: "application/json", Header: a.Header, Body: append(data, '\n')}, nil
	}
	env := api.Answer{RequestID: q.ID, Data: data, Warnings: warnings, Auth: a.Auth, WrapInfo: a.Wrap,
		LeaseDuration: int64(a.LeaseDuration / time.Second), MountType: mountType}
	if l := a.Lease; l != nil {
		env.LeaseID, env.LeaseDuration, env.Renewable = l.ID, int64(l.Duration.Round(time.Second)/time.Second), l.Renewable
	}
	if a.Wrap != nil {
		env.RequestID, env.MountType = "", "" // as Vault: who unwraps has a request of its own
	}
	body, err := appendEnvelope(make([]byte, 0, len(data)+512), &env)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	if info.Flat && len(data) > 2 && data[0] == '{' {
		body = append(append(body[:len(body)-2], ','), data[1:]...) // the keys of data beside the envelope's
		body = append(body, '\n')
	}
	return &Reply{Status: status, ContentType: "application/json", Body: body}, nil
}

func or(v, d int) int {
	if v == 0 {
		return d
	}
	return v
}

func encode(v any) (json.RawMessage, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return v, nil
	}
	return json.Marshal(v)
}

// appendEnvelope writes an envelope and a newline. Data goes through as it is.
func appendEnvelope(b []byte, a *api.Answer) ([]byte, error) {
	b = append(append(b, `{"request_id":"`...), a.RequestID...)
	b = append(b, `","lease_id":`...)
	b = strconv.AppendQuote(b, a.LeaseID)
	b = strconv.AppendBool(append(b, `,"renewable":`...), a.Renewable)
	b = strconv.AppendInt(append(b, `,"lease_duration":`...), a.LeaseDuration, 10)
	b = append(b, `,"data":`...)
	if a.Data == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, a.Data...)
	}
	for _, part := range []struct {
		key   string
		value any
		null  bool
	}{
		{`,"wrap_info":`, a.WrapInfo, a.WrapInfo == nil},
		{`,"warnings":`, a.Warnings, len(a.Warnings) == 0},
		{`,"auth":`, a.Auth, a.Auth == nil},
	} {
		b = append(b, part.key...)
		if part.null {
			b = append(b, "null"...)
			continue
		}
		v, err := json.Marshal(part.value)
		if err != nil {
			return nil, err
		}
		b = append(b, v...)
	}
	if a.MountType != "" {
		b = strconv.AppendQuote(append(b, `,"mount_type":`...), a.MountType)
	}
	return append(b, "}\n"...), nil
}

// Refusal turns an error into what the client is told: status and sentences. A
// cause that is ours is told without its text.
func Refusal(err error) *api.Error {
	var e *api.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded): // max_request_duration
		return &api.Error{Status: http.StatusInternalServerError, Errors: []string{"context deadline exceeded"}}
	case errors.Is(err, storage.ErrSealed):
		return &api.Error{Status: http.StatusServiceUnavailable, Errors: []string{"Vault is sealed"}}
	case errors.Is(err, storage.ErrFull):
		return &api.Error{Status: http.StatusInsufficientStorage, Errors: []string{storage.ErrFull.Error()}}
	case errors.Is(err, storage.ErrUnknownOutcome):
		return &api.Error{Status: http.StatusInternalServerError, Errors: []string{storage.ErrUnknownOutcome.Error() + ": read it back before you retry"}}
	case errors.Is(err, storage.ErrTooLarge):
		return &api.Error{Status: http.StatusRequestEntityTooLarge, Errors: []string{storage.ErrTooLarge.Error()}}
	case errors.Is(err, storage.ErrCorrupt):
		return &api.Error{Status: http.StatusInternalServerError, Errors: []string{"storage is corrupt: see the server's log"}}
	case errors.Is(err, engine.ErrNoRoute):
		return Refusal(engine.Listed(http.StatusNotFound, "unsupported path"))
	case errors.Is(err, engine.ErrNoOperation):
		return Refusal(engine.Listed(http.StatusMethodNotAllowed, "unsupported operation"))
	}
	return &api.Error{Status: http.StatusInternalServerError, Errors: []string{"internal error"}}
}

// Values of headers that every answer has; nobody changes them.
var noStore, isJSON = []string{"no-store"}, []string{"application/json"}

// shortBody is the length in bytes up to which net/http sees that a body is
// whole and gives its length.
const shortBody = 2 << 10

// Send writes a reply.
func Send(w http.ResponseWriter, q *Request, rep *Reply) {
	h := w.Header()
	h["Cache-Control"] = noStore
	switch rep.ContentType {
	case "":
	case "application/json":
		h["Content-Type"] = isJSON
	default:
		h.Set("Content-Type", rep.ContentType)
	}
	maps.Copy(h, rep.Header)
	// net/http counts short bodies itself.
	if len(rep.Body) > shortBody || q != nil && q.Head {
		h.Set("Content-Length", strconv.Itoa(len(rep.Body)))
	}
	w.WriteHeader(rep.Status)
	switch {
	case q != nil && q.Head:
	case rep.Stream != nil:
		f := flusher{w, http.NewResponseController(w)}
		if f.Flush() == nil {
			_ = rep.Stream(f) // the client has gone: nobody to tell
		}
	default:
		_, _ = w.Write(rep.Body) // as above
	}
}

// A flusher sends what is written at once.
type flusher struct {
	w io.Writer
	*http.ResponseController
}

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.Flush()
	}
	return n, err
}

// Fail writes a refusal.
func Fail(w http.ResponseWriter, q *Request, err error) {
	e := Refusal(err)
	var body []byte
	var merr error
	if e.Data != nil {
		env := api.Answer{Data: e.Data, Warnings: e.Warnings}
		if q != nil {
			env.RequestID = q.ID
		}
		body, merr = appendEnvelope(nil, &env)
	} else {
		errs := e.Errors
		if errs == nil {
			errs = []string{}
		}
		body, merr = json.Marshal(struct {
			Errors   []string `json:"errors"`
			Warnings []string `json:"warnings,omitempty"`
		}{errs, e.Warnings})
		body = append(body, '\n')
	}
	if merr != nil {
		body = []byte(`{"errors":["internal error"]}` + "\n")
	}
	Send(w, q, &Reply{Status: e.Status, ContentType: "application/json", Body: body})
}
