package sys

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// Rows of storage.System.
const (
	rowCORS    = "cors"
	rowHeading = "ui-headers"
)

// CORS says which pages of other origins may call the server.
type CORS struct {
	Enabled     bool     `json:"enabled"`
	Origins     []string `json:"allowed_origins,omitempty"`
	Headers     []string `json:"allowed_headers,omitempty"` // all that are allowed
	Credentials bool     `json:"allow_credentials"`
}

// clientHeaders are the headers that Vault's clients send.
var clientHeaders = [...]string{
	"Content-Type", "Authorization", "X-Vault-Token", "X-Vault-MFA", "X-Vault-No-Request-Forwarding",
	"X-Vault-Wrap-Format", "X-Vault-Wrap-TTL", "X-Requested-With", "X-Vault-AWS-IAM-Server-ID", "X-Vault-Policy-Override",
}

// CORS returns what is configured, or nil.
func (s *System) CORS(tx *storage.Tx) (*CORS, error) {
	return storage.In[CORS](tx.In(storage.System), "").Get(rowCORS)
}

func (s *System) readCORS(v engine.View, _ engine.None) (*engine.Answer, error) {
	c, err := s.CORS(engine.CallOf(v).Whole)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return &engine.Answer{Data: json.RawMessage(`{"enabled":false}`)}, nil
	}
	return &engine.Answer{Data: c}, nil
}

type corsRequest struct {
	Enable      bool     `json:"enable" doc:"Not used: writing enables."`
	Origins     []string `json:"allowed_origins" doc:"Origins, or only *."`
	Headers     []string `json:"allowed_headers" doc:"Headers besides those of clients."`
	Credentials bool     `json:"allow_credentials" doc:"Whether cookies may be sent."`
}

func (s *System) writeCORS(tx engine.Tx, req corsRequest) (engine.None, error) {
	switch {
	case len(req.Origins) == 0:
		return engine.None{}, corsError("at least one origin or the wildcard must be provided")
	case len(req.Origins) > 1 && slices.Contains(req.Origins, "*"):
		return engine.None{}, corsError("to allow all origins the '*' must be the only value for allowed_origins")
	}
	c := &CORS{Enabled: true, Origins: req.Origins, Credentials: req.Credentials, Headers: slices.Clone(clientHeaders[:])}
	for _, h := range req.Headers {
		h = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(h))
		same := func(other string) bool { return strings.EqualFold(other, h) }
		if h != "" && !slices.ContainsFunc(c.Headers, same) {
			c.Headers = append(c.Headers, h)
		}
	}
	storage.In[CORS](engine.CallOf(tx).Whole.In(storage.System), "").Put(rowCORS, c)
	return engine.None{}, nil
}

func corsError(sentence string) error {
	return engine.Listed(http.StatusBadRequest, "%s", sentence)
}

func (s *System) deleteCORS(tx engine.Tx, _ engine.None) (engine.None, error) {
	engine.CallOf(tx).Whole.In(storage.System).Delete(rowCORS)
	return engine.None{}, nil
}

// uiHeaders are the headers of the UI's pages, by canonical name.
type uiHeaders map[string][]string

func readHeadings(v engine.View) (uiHeaders, storage.Table[uiHeaders], error) {
	table := storage.In[uiHeaders](engine.CallOf(v).Whole.In(storage.System), "")
	h, err := table.Get(rowHeading)
	if err != nil || h == nil {
		return uiHeaders{}, table, err
	}
	return *h, table, nil
}

// UIHeaders are the headers that an operator wants on the UI's pages.
func (s *System) UIHeaders(tx *storage.Tx) (http.Header, error) {
	h, err := storage.In[uiHeaders](tx.In(storage.System), "").Peek(rowHeading)
	if err != nil || h == nil {
		return nil, err
	}
	return http.Header(*h), nil
}

func (s *System) listUIHeaders(v engine.View, _ engine.None) (engine.Keys, error) {
	h, _, err := readHeadings(v)
	return engine.KeysOf(slices.Sorted(maps.Keys(h))), err
}

type uiHeaderRequest struct {
	Header     string   `path:"header"`
	Values     []string `json:"values" doc:"Values of the header."`
	Multivalue bool     `json:"multivalue" doc:"Answer all values, not the first."`
}

func (s *System) readUIHeader(v engine.View, req uiHeaderRequest) (*engine.Answer, error) {
	h, _, err := readHeadings(v)
	if err != nil {
		return nil, err
	}
	values := h[textproto.CanonicalMIMEHeaderKey(req.Header)]
	switch {
	case len(values) == 0:
		return nil, nil
	case req.Multivalue:
		return &engine.Answer{Data: map[string][]string{"values": values}}, nil
	}
	return &engine.Answer{Data: map[string]string{"value": values[0]}}, nil
}

func (s *System) writeUIHeader(tx engine.Tx, req uiHeaderRequest) (*engine.Answer, error) {
	name := textproto.CanonicalMIMEHeaderKey(req.Header)
	switch {
	case strings.HasPrefix(name, "X-Vault-"):
		return nil, engine.Bad("X-Vault headers cannot be set")
	case len(req.Values) == 0:
		return nil, engine.Bad("header values cannot be empty")
	case slices.ContainsFunc(req.Values, func(v string) bool { return strings.ContainsAny(v, "\r\n\x00") }):
		return nil, engine.Bad("header values cannot hold line breaks")
	}
	h, table, err := readHeadings(tx)
	if err != nil {
		return nil, err
	}
	h[name] = req.Values
	table.Put(rowHeading, &h)
	return &engine.Answer{Status: http.StatusOK}, nil
}

func (s *System) deleteUIHeader(tx engine.Tx, req headerName) (engine.None, error) {
	h, table, err := readHeadings(tx)
	if err != nil {
		return engine.None{}, err
	}
	delete(h, textproto.CanonicalMIMEHeaderKey(req.Header))
	table.Put(rowHeading, &h)
	return engine.None{}, nil
}

func configRoutes() engine.Routes[System] {
	const headers = "config/ui/headers"
	return engine.Routes[System]{
		engine.Read("config/cors", (*System).readCORS).Sudo().TopLevel().RootNamespace().Doc("Show which origins may call."),
		engine.Write("config/cors", (*System).writeCORS).Sudo().RootNamespace().Doc("Let other origins call."),
		engine.Delete("config/cors", (*System).deleteCORS).Sudo().RootNamespace().Doc("Let no other origin call."),
		engine.List(headers, (*System).listUIHeaders).Sudo().RootNamespace().Doc("List the headers of the UI's pages."),
		engine.Read(headers+"/{header}", (*System).readUIHeader).Sudo().RootNamespace().Doc("Show a header of the UI's pages."),
		engine.Write(headers+"/{header}", (*System).writeUIHeader).Sudo().RootNamespace().Doc("Set a header of the UI's pages."),
		engine.Delete(headers+"/{header}", (*System).deleteUIHeader).Sudo().RootNamespace().Doc("Drop a header of the UI's pages."),
	}
}
